-- CASE takes the first branch that is true
select case when i > 5 then 'big' when i >= 0 then 'small' else 'other' end from samples order by id
----
big
other
small
other
small
big
other

-- CASE over a value
select case i when 7 then 'seven' when 0 then 'zero' end from samples order by id
----
seven
NULL
zero
NULL
NULL
NULL
NULL

-- branches take the type they have in common
select case when f then i else n end, case when f then i else d end from samples order by id
----
7.00 | 7.0
NULL | NULL
-2.35 | nan
-3.00 | -3.0
0.05 | -inf
7.00 | 1e+20
NULL | NULL

-- COALESCE and IFNULL
select coalesce(i, b, -1), coalesce(n, d), ifnull(s, 'none') from samples order by id
----
7 | 1.25 | héllo
-1 | NULL | none
0 | -2.35 | 
-3 | 100.0 | Straße 👍🏽 %_x
2 | 0.05 | a,b,,c
100 | 7.0 |   7.5 
-1 | NULL | none

-- NULLIF
select nullif(i, 7), nullif(s, '') from samples order by id
----
NULL | héllo
NULL | NULL
0 | NULL
-3 | Straße 👍🏽 %_x
2 | a,b,,c
100 |   7.5 
NULL | NULL

-- IF
select if(f, 1, 2), if(i > 0, 'yes', null) from samples order by id
----
1 | yes
2 | NULL
2 | NULL
1 | NULL
2 | yes
2 | yes
2 | NULL

-- GREATEST and LEAST leave NULL out and know NaN
select greatest(i, b), least(i, b, 1), greatest(d, 1), least(d, 1) from samples order by id
----
7 | 1 | 2.5 | 1.0
NULL | 1 | 1.0 | 1.0
0 | -5 | nan | 1.0
1099511627776 | -3 | 1.0 | 0.0
2 | 1 | 1.0 | -inf
100 | 1 | 1e+20 | 1.0
NULL | 1 | 1.0 | 1.0
