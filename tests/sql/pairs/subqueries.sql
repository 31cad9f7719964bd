-- a scalar subquery gives one value to every row
with t(a) as (values (1), (2)) select a, (select max(a) from t) as most from t order by a
----
1 | 2
2 | 2

-- a scalar subquery of no rows is NULL
with t(a) as (values (1), (2)) select a, (select a from t where a > 5) as none from t order by a
----
1 | NULL
2 | NULL

-- a correlated aggregate is computed for each row
with t(a, b) as (values (1, 10), (1, 20), (2, 5)), k(a) as (values (1), (2), (3)) select a, (select
sum(b) from t where t.a = k.a) as total from k order by a
----
1 | 30
2 | 5
3 | NULL

-- a correlated count of nothing is 0, not NULL
with t(a) as (values (1), (1)), k(a) as (values (1), (3)) select a, (select count(*) from t where
t.a = k.a) as n from k order by a
----
1 | 2
3 | 0

-- what is computed from a correlated count starts from 0, too
with t(a) as (values (1), (1)), k(a) as (values (1), (3)) select a, (select count(*) * 10 + 1 from t
where t.a = k.a) as n from k order by a
----
1 | 21
3 | 1

-- a correlated aggregate may stand in a condition
with t(a, b) as (values (1, 10), (1, 20), (2, 5)) select a, b from t x where b > (select avg(b) from
t where t.a = x.a) order by a
----
1 | 20

-- IN keeps the rows that have a match, once
with t(a) as (values (1), (2), (3)), u(b) as (values (2), (2), (3)) select a from t where a in
(select b from u) order by a
----
2
3

-- NOT IN is never true where the subquery has a NULL
with t(a) as (values (1), (2)), u(b) as (values (2), (null)) select a from t where a not in (select
b from u) order by a
----


-- NOT IN over no rows is true, even for NULL
with t(a) as (values (1), (null)), u(b) as (values (2)) select a from t where a not in (select b
from u where b > 5) order by a
----
1
NULL

-- NULL NOT IN some rows is unknown
with t(a) as (values (1), (null)), u(b) as (values (2)) select a from t where a not in (select b
from u) order by a
----
1

-- IN is a value with three states in the SELECT list
with t(a) as (values (1), (2), (null)), u(b) as (values (2), (null)) select a, a in (select b from
u) as found from t order by a
----
1 | NULL
2 | true
NULL | NULL

-- two columns may be IN
with t(a, b) as (values (1, 1), (1, 2), (null, 2)), u(c, d) as (values (1, 2), (3, null)) select a,
b, (a, b) in (select c, d from u) as found from t order by a, b
----
1 | 1 | false
1 | 2 | true
NULL | 2 | NULL

-- EXISTS with a correlated condition
with t(a) as (values (1), (2), (null)), u(b) as (values (2), (4)) select a from t where exists
(select 1 from u where u.b = t.a * 2) order by a
----
1
2

-- NOT EXISTS keeps rows without a match, NULL included
with t(a) as (values (1), (2), (null)), u(b) as (values (2)) select a from t where not exists
(select 1 from u where u.b = t.a) order by a
----
1
NULL

-- EXISTS with an inequality beside the equality
with t(k, a) as (values (1, 1), (1, 2), (2, 3)) select k, a from t x where exists (select 1 from t y
where y.k = x.k and y.a <> x.a) order by k, a
----
1 | 1
1 | 2

-- EXISTS with an inequality alone
with t(a) as (values (1), (2), (3)) select a from t x where not exists (select 1 from t y where y.a
> x.a)
----
3

-- EXISTS or another condition
with t(a) as (values (1), (2), (3)), u(b) as (values (2)) select a from t where a = 1 or exists
(select 1 from u where b = a) order by a
----
1
2

-- a subquery inside a subquery sees both
with t(a) as (values (1), (2), (3)) select a from t x where exists (select 1 from t y where y.a =
x.a + 1 and exists (select 1 from t z where z.a = y.a and z.a > x.a)) order by a
----
1
2

-- ANY is true for one row, ALL for each
with t(a) as (values (1), (2), (3)), u(b) as (values (1), (2)) select a, a > any (select b from u)
as some, a > all (select b from u) as every from t order by a
----
1 | false | false
2 | true | false
3 | true | true

-- ALL over a NULL is unknown unless it is false
with t(a) as (values (1), (5)), u(b) as (values (2), (null)) select a, a > all (select b from u) as
every from t order by a
----
1 | false
5 | NULL

-- a subquery in HAVING
with t(a, b) as (values (1, 1), (1, 2), (2, 9)) select a, sum(b) as s from t group by a having
sum(b) > (select avg(b) from t) order by a
----
2 | 9

-- a subquery over a grouped column
with t(a, b) as (values (1, 1), (1, 2), (2, 9)), n(a, name) as (values (1, 'one'), (2, 'two'))
select a, (select name from n where n.a = t.a) as name, sum(b) as s from t group by a order by a
----
1 | one | 3
2 | two | 9

-- a correlated subquery with a LIMIT runs for each row
with t(k, v) as (values (1, 5), (1, 7), (2, 3)), k(k) as (values (1), (2), (3)) select k, (select v
from t where t.k = k.k order by v desc limit 1) as top from k order by k
----
1 | 7
2 | 3
3 | NULL

-- a subquery in FROM may be grouped and joined
with t(a, b) as (values (1, 1), (1, 2), (2, 9)) select t.a, t.b, s.total from t join (select a,
sum(b) as total from t group by a) s on s.a = t.a order by 1, 2
----
1 | 1 | 3
1 | 2 | 3
2 | 9 | 9
