-- rows are numbered in each partition
with t(a, b) as (values ('x', 3), ('x', 1), ('y', 2)) select a, b, row_number() over (partition by a
order by b) as n from t order by a, b
----
x | 1 | 1
x | 3 | 2
y | 2 | 1

-- ranks leave gaps, dense ranks don't
with t(a) as (values (1), (1), (2)) select a, rank() over (order by a) as r, dense_rank() over
(order by a) as d, percent_rank() over (order by a) as p, cume_dist() over (order by a) as c from t
order by a
----
1 | 1 | 1 | 0.0 | 0.6666666666666666
1 | 1 | 1 | 0.0 | 0.6666666666666666
2 | 3 | 2 | 1.0 | 1.0

-- NULLs are peers
with t(a, b) as (values (1, 1), (null, 2), (null, 3)) select a, b, rank() over (order by a nulls
first) as r, sum(b) over (order by a nulls first) as s from t order by b
----
1 | 1 | 3 | 6
NULL | 2 | 1 | 5
NULL | 3 | 1 | 5

-- lag and lead look at neighbours
with t(a) as (values (1), (2), (3)) select a, lag(a) over (order by a) as before, lead(a, 2, 0) over
(order by a) as later from t order by a
----
1 | NULL | 3
2 | 1 | 0
3 | 2 | 0

-- a running sum takes peers together
with t(a, b) as (values (1, 1), (2, 10), (2, 100), (3, 1000)) select a, b, sum(b) over (order by a)
as s, sum(b) over (order by a rows unbounded preceding) is not null as r from t order by a, b
----
1 | 1 | 1 | true
2 | 10 | 111 | true
2 | 100 | 111 | true
3 | 1000 | 1111 | true

-- ROWS frames count rows
with t(a) as (values (1), (2), (3), (4)) select a, sum(a) over (order by a rows between 1 preceding
and 1 following) as s, avg(a) over (order by a rows between current row and unbounded following) as
v from t order by a
----
1 | 3 | 2.5
2 | 6 | 3.0
3 | 9 | 3.5
4 | 7 | 4.0

-- RANGE frames measure distances
with t(a) as (values (1), (2), (4), (7)) select a, count(*) over (order by a range between 2
preceding and current row) as n from t order by a
----
1 | 1
2 | 2
4 | 2
7 | 1

-- RANGE frames over time
with t(d, v) as (values (timestamp '2026-01-01', 1), (timestamp '2026-01-02', 2), (timestamp
'2026-01-05', 4)) select v, sum(v) over (order by d range between interval 2 days preceding and
current row) as s from t order by v
----
1 | 1
2 | 3
4 | 4

-- first, last and nth value
with t(a) as (values (1), (2), (3)) select a, first_value(a) over (order by a) as f, last_value(a)
over (order by a rows between unbounded preceding and unbounded following) as l, nth_value(a, 2)
over (order by a) as n from t order by a
----
1 | 1 | 3 | NULL
2 | 1 | 3 | 2
3 | 1 | 3 | 2

-- without ORDER BY the whole partition counts
with t(a, b) as (values ('x', 1), ('x', 2), ('y', 4)) select a, b, sum(b) over (partition by a) as
s, count(*) over () as n from t order by a, b
----
x | 1 | 3 | 3
x | 2 | 3 | 3
y | 4 | 4 | 3

-- windows over groups
with t(a, b) as (values ('x', 1), ('x', 2), ('y', 4)) select a, sum(b) as s, rank() over (order by
sum(b) desc) as r, sum(sum(b)) over () as total from t group by a order by a
----
x | 3 | 2 | 7
y | 4 | 1 | 7

-- QUALIFY keeps the latest of each
with t(k, v) as (values (1, 5), (1, 7), (2, 3)) select k, v from t qualify row_number() over
(partition by k order by v desc) = 1 order by k
----
1 | 7
2 | 3

-- a window may be named
with t(a, b) as (values ('x', 1), ('x', 2), ('y', 4)) select a, b, sum(b) over w as s, row_number()
over w as n from t window w as (partition by a order by b) order by a, b
----
x | 1 | 1 | 1
x | 2 | 3 | 2
y | 4 | 4 | 1

-- ntile makes buckets of nearly equal size
with t(a) as (values (1), (2), (3), (4), (5)) select a, ntile(2) over (order by a) as n from t order
by a
----
1 | 1
2 | 1
3 | 1
4 | 2
5 | 2

-- a window with FILTER
with t(a, b) as (values (1, 1), (2, 2), (3, 3)) select a, sum(b) filter (where a <> 2) over (order
by a) as s from t order by a
----
1 | 1
2 | 1
3 | 4
