-- NULLs are one group
with t(a, b) as (values (1, 1), (null, 2), (null, 3)) select a, sum(b) as s, count(*) as n from t
group by a order by a
----
1 | 1 | 1
NULL | 5 | 2

-- without GROUP BY there is always a row
with t(a) as (values (1)) select count(*) as n, sum(a) as s, max(a) as m from t where a > 5
----
0 | NULL | NULL

-- with GROUP BY no rows give no group
with t(a) as (values (1)) select a, count(*) as n from t where a > 5 group by a
----


-- the sum of NULLs is NULL
with t(a, b) as (values (1, null::integer), (1, null), (2, 3)) select a, sum(b) as s, count(b) as n,
avg(b) as m from t group by a order by a
----
1 | NULL | 0 | NULL
2 | 3 | 1 | 3.0

-- group by a position, an alias, an expression
with t(a, b) as (values (1::bigint, 1), (2, 1), (3, 1)) select a % 2 as odd, sum(b) as s from t
group by odd order by odd
----
0 | 1
1 | 2

-- GROUP BY ALL takes what is not aggregated
with t(a, b) as (values (1::bigint, 1), (1, 2), (2, 3)) select a, a + 1 as c, sum(b) as s from t
group by all order by all
----
1 | 2 | 3
2 | 3 | 3

-- HAVING filters groups
with t(a, b) as (values (1, 1), (1, 2), (2, 3)) select a, sum(b) as s from t group by a having
count(*) > 1
----
1 | 3

-- FILTER counts some rows
with t(a, b) as (values (1, 1), (1, 2), (2, 3)) select a, count(*) filter (where b > 1) as n, sum(b)
filter (where b > 5) as s from t group by a order by a
----
1 | 1 | NULL
2 | 1 | NULL

-- DISTINCT inside aggregates
with t(a, b, c) as (values (1, 1, 'x'), (1, 1, 'y'), (1, 2, 'y'), (2, null, null)) select a,
count(distinct b) as n, sum(distinct b) as s, count(distinct c) as m, count(*) as k from t group by
a order by a
----
1 | 2 | 3 | 2 | 3
2 | 0 | NULL | 0 | 1

-- ROLLUP adds subtotals and a total
with t(a, b, v) as (values ('x', 1, 10), ('x', 2, 20), ('y', 1, 5)) select a, b, sum(v) as s,
grouping(a, b) as g from t group by rollup (a, b) order by g, a, b
----
x | 1 | 10 | 0
x | 2 | 20 | 0
y | 1 | 5 | 0
x | NULL | 30 | 1
y | NULL | 5 | 1
NULL | NULL | 35 | 3

-- CUBE adds all combinations
with t(a, b, v) as (values ('x', 1, 10), ('x', 2, 20), ('y', 1, 5)) select a, b, sum(v) as s from t
group by cube (a, b) order by a, b, s
----
x | 1 | 10
x | 2 | 20
x | NULL | 30
y | 1 | 5
y | NULL | 5
NULL | 1 | 15
NULL | 2 | 20
NULL | NULL | 35

-- GROUPING SETS are chosen one by one
with t(a, b, v) as (values ('x', 1, 10), ('x', 2, 20), ('y', 1, 5)) select a, b, sum(v) as s from t
group by grouping sets ((a), (b), ()) order by a, b, s
----
x | NULL | 30
y | NULL | 5
NULL | 1 | 15
NULL | 2 | 20
NULL | NULL | 35

-- ROLLUP over no rows still has a total
with t(a, v) as (values ('x', 10)) select a, count(*) as n from t where v > 50 group by rollup (a)
----
NULL | 0

-- DISTINCT takes NULLs as alike
with t(a, b) as (values (1, null), (1, null), (2, 3)) select distinct a, b from t order by a
----
1 | NULL
2 | 3

-- DISTINCT ON keeps the first of each
with t(a, b) as (values (1, 5), (1, 7), (2, 3)) select distinct on (a) a, b from t order by a, b
desc
----
1 | 7
2 | 3

-- lists and texts are collected in the order that is asked for
with t(a, b) as (values (1, 'y'), (1, 'x'), (2, 'z')) select a, list(b order by b) as l,
string_agg(b, '-' order by b desc) as s from t group by a order by a
----
1 | [x, y] | y-x
2 | [z] | z

-- quantiles interpolate
with t(a) as (values (1.0), (2.0), (4.0), (10.0)) select percentile_cont(0.5) within group (order by
a) as med, quantile_cont(a, 0.25) as q, median(a) as m from t
----
3.0 | 1.7 | 3.0

-- deviations and correlation
with t(a, b) as (values (1, 2.0), (2, 4.0), (3, 6.5)) select round(stddev(a), 6) as s,
round(stddev_pop(a), 6) as p, round(var_samp(b), 6) as v, round(corr(a, b), 6) as c from t
----
1.0 | 0.816497 | 5.083333 | 0.997949

-- an aggregate of an expression of aggregates' columns
with t(a, b) as (values (1, 1), (1, 2), (2, 3)) select sum(s) as total from (select a, sum(b) * 2 as
s from t group by a)
----
12

-- values at the least and the greatest
with t(a, b) as (values ('x', 3), ('y', 1), ('z', null)) select arg_min(a, b) as least, arg_max(a,
b) as most, any_value(a) is not null as some from t
----
y | x | true

-- ROLLUP over a constant and over a subquery has NULL in its total
with t(a) as (values (1), (2)) select 'nan'::double as x, (select max(a) from t) as m, count(*) as n
from t group by rollup ('nan'::double, (select max(a) from t)) order by x, m
----
nan | 2 | 2
nan | NULL | 2
NULL | NULL | 2

-- grouping by a correlated subquery
with t(a, k) as (values (1, 1), (2, 1), (5, 2)) select (select max(a) from t y where y.k = t.k) as
m, count(*) as n from t group by (select max(a) from t y where y.k = t.k) order by 1
----
2 | 2
5 | 1

-- lists and texts keep the order of a subquery
with t(a, b) as (values (1, 'y'), (1, 'x'), (2, 'z')) select list(b) as l, string_agg(b, '-') as s,
first(b) as f from (select * from t order by a desc, b)
----
[z, x, y] | z-x-y | z
