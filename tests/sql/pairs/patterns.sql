-- LIKE
select s like 'h%', s like '%l_o', s not like '%,%', s like '' from samples order by id
----
true | true | true | false
NULL | NULL | NULL | NULL
false | false | true | true
false | false | true | false
false | false | false | false
false | false | true | false
NULL | NULL | NULL | NULL

-- ESCAPE makes % and _ letters
select s like '%!%!_x' escape '!' from samples order by id
----
false
NULL
false
true
false
false
NULL

-- ILIKE ignores case, also beyond ASCII
select s ilike 'HÉ%', s ilike 'straSSe%' from samples order by id
----
true | false
NULL | NULL
false | false
false | false
false | false
false | false
NULL | NULL

-- a pattern from a column
select 'a' like s, s like s from samples order by id
----
false | true
NULL | NULL
false | true
false | true
false | true
false | true
NULL | NULL

-- a WHERE with a fixed start
select id from samples where s like 'h%' order by id
----
1

-- GLOB
select s glob 'h*', s glob '?,*' from samples order by id
----
true | false
NULL | NULL
false | false
false | false
false | true
false | false
NULL | NULL

-- SIMILAR TO and REGEXP_FULL_MATCH match all of the text
select s similar to 'h.*', s similar to 'h', regexp_full_match(s, '[a-c,]+') from samples order by id
----
true | false | false
NULL | NULL | NULL
false | false | false
false | false | false
false | false | true
false | false | false
NULL | NULL | NULL

-- REGEXP_MATCHES finds a part
select regexp_matches(s, 'l+'), regexp_matches(s, 'HÉ', 'i') from samples order by id
----
true | true
NULL | NULL
false | false
false | false
false | false
false | false
NULL | NULL

-- REGEXP_EXTRACT
select regexp_extract(s, '[a-z]+'), regexp_extract(s, '(.),(.)', 2) from samples order by id
----
h | 
NULL | NULL
 | 
tra | 
a | b
 | 
NULL | NULL

-- REGEXP_REPLACE, once and everywhere
select regexp_replace(s, '[a-z]', '_'), regexp_replace(s, '([a-z])', '<\1>', 'g') from samples order by id
----
_éllo | <h>é<l><l><o>
NULL | NULL
 | 
S_raße 👍🏽 %_x | S<t><r><a>ß<e> 👍🏽 %_<x>
_,b,,c | <a>,<b>,,<c>
  7.5  |   7.5 
NULL | NULL
