-- a SELECT without FROM gives one row
select 1 as a, 'x' as b
----
1 | x

-- VALUES stand alone
values (1, 'a'), (2, 'b')
----
1 | a
2 | b

-- UNION removes duplicates, UNION ALL keeps them
with t(a) as (values (1), (1), (null), (null)) select count(*) as n from (select a from t union
select a from t)
----
2

-- UNION ALL of different numbers
select 1 as a union all select 2.5 order by a
----
1.0
2.5

-- INTERSECT and EXCEPT take NULLs as alike
with a(i) as (values (1), (1), (null)), b(i) as (values (1), (null), (2)) select i from a intersect
select i from b order by i
----
1
NULL

-- EXCEPT ALL counts
with a(i) as (values (1), (1), (1), (2)), b(i) as (values (1)) select i from a except all select i
from b order by i
----
1
1
2

-- INTERSECT ALL counts
with a(i) as (values (1), (1), (2)), b(i) as (values (1), (1), (1)) select i from a intersect all
select i from b order by i
----
1
1

-- NULLs come last in both directions
with t(a) as (values (2), (null), (1)) select a from t order by a desc
----
2
1
NULL

-- NULLS FIRST when asked for
with t(a) as (values (2), (null), (1)) select a from t order by a nulls first
----
NULL
1
2

-- order by a column that is not selected
with t(a, b) as (values (1, 'z'), (2, 'y')) select a from t order by b
----
2
1

-- LIMIT and OFFSET
with t(a) as (values (1), (2), (3), (4)) select a from t order by a limit 2 offset 1
----
2
3

-- LIMIT 0 gives nothing
with t(a) as (values (1)) select a from t limit 0
----


-- a CTE may be used often
with t(a) as (values (1::bigint), (2)), u as (select a * 2 as b from t) select x.b, y.b as c from u
x join u y on x.b = y.b order by 1
----
2 | 2
4 | 4

-- a CTE may shadow another
with t(a) as (values (1)), u as (with t(a) as (values (7)) select a from t) select u.a, t.a as b
from u, t
----
7 | 1

-- * with EXCLUDE, REPLACE and RENAME
with t(a, b, c) as (values (1::bigint, 2, 3)) select * exclude (b) replace (a + 10 as a) rename (c
as d) from t
----
11 | 3

-- an alias can be used by what follows
with t(a) as (values (1::bigint), (2)) select a + 1 as b, b * 2 as c from t where b > 2
----
3 | 6

-- UNNEST gives a row per item
with t(a, l) as (values (1, [10, 20]), (2, []), (3, [30])) select a, x from t, unnest(l) u(x) order
by a, x
----
1 | 10
1 | 20
3 | 30

-- UNNEST in the SELECT list
with t(a, l) as (values (1, [10, 20]), (3, [30])) select a, unnest(l) as x from t order by a, x
----
1 | 10
1 | 20
3 | 30

-- a left join with UNNEST keeps rows without items
with t(a, l) as (values (1, [10, 20]), (2, [])) select a, x from t left join unnest(l) u(x) on true
order by a, x
----
1 | 10
1 | 20
2 | NULL

-- a series of numbers
select * from range(3) r(i)
----
0
1
2

-- a date spine
select d::date as day from generate_series(timestamp '2026-02-27', timestamp '2026-03-02', interval
1 day) g(d) order by 1
----
2026-02-27
2026-02-28
2026-03-01
2026-03-02

-- a day without rows shows up
with t(d, v) as (values (date '2026-01-01', 5), (date '2026-01-03', 7)), spine as (select d::date as
day from generate_series(timestamp '2026-01-01', timestamp '2026-01-03', interval 1 day) g(d))
select day, coalesce(sum(v), 0) as v from spine left join t on t.d = day group by day order by day
----
2026-01-01 | 5
2026-01-02 | 0
2026-01-03 | 7

-- FROM first
from (values (1), (2)) t(a) select a order by a
----
1
2

-- three-valued AND, OR and NOT
with t(a) as (values (true), (false), (null)) select a, a and null as c, a or null as d, not a as e
from t order by a
----
false | false | NULL | true
true | NULL | true | false
NULL | NULL | NULL | NULL

-- a struct's fields
with t(s) as (values ({'a': 1, 'b': 'x'})) select s.a, s.b from t
----
1 | x

-- VALUES may be ordered and limited
values (1), (3), (2) order by 1 desc limit 2
----
3
2

-- FETCH FIRST is a LIMIT
with t(a) as (values (1), (2), (3)) select a from t order by a offset 1 rows fetch first 1 rows only
----
2
