-- AND, OR and NOT know three values
select f and i > 0, f or i > 0, not f from samples order by id
----
true | true | false
NULL | NULL | NULL
false | false | true
false | true | false
false | true | true
NULL | true | NULL
NULL | NULL | NULL

-- NULL is neither equal nor unequal to anything
select i = null, i <> null, i is null, i is not null from samples order by id
----
NULL | NULL | false | true
NULL | NULL | true | false
NULL | NULL | false | true
NULL | NULL | false | true
NULL | NULL | false | true
NULL | NULL | false | true
NULL | NULL | true | false

-- IS TRUE and IS FALSE never give NULL
select f is true, f is false, f is not true, f is not false from samples order by id
----
true | false | false | true
false | false | true | true
false | true | true | false
true | false | false | true
false | true | true | false
false | false | true | true
false | false | true | true

-- a WHERE keeps only what is certainly true
select id from samples where not (i > 1 or f) order by id
----
3

-- De Morgan holds for NULLs, too
select id from samples where not (f and not (i > 5)) order by id
----
1
3
5
6

-- a condition is a value
select (i > 0) = f, (i > 0) is distinct from f from samples order by id
----
true | false
NULL | false
true | false
false | true
false | true
NULL | true
NULL | false
