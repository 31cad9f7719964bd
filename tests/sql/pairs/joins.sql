-- an inner join keeps rows with a match, once for each
with a(i) as (values (1), (2), (2), (null)), b(i) as (values (2), (2), (3), (null)) select a.i, b.i
as j from a join b on a.i = b.i order by 1
----
2 | 2
2 | 2
2 | 2
2 | 2

-- a left join fills up with NULLs
with a(i) as (values (1), (2), (null)), b(i, s) as (values (2, 'x'), (null, 'y')) select a.i, s from
a left join b on a.i = b.i order by 1
----
1 | NULL
2 | x
NULL | NULL

-- a right join does so on the other side
with a(i) as (values (1), (2)), b(i, s) as (values (2, 'x'), (3, 'y')) select a.i, s from a right
join b on a.i = b.i order by s
----
2 | x
NULL | y

-- a full join keeps all
with a(i) as (values (1), (2), (null)), b(i) as (values (2), (3), (null)) select a.i, b.i as j from
a full join b on a.i = b.i order by 1, 2
----
1 | NULL
2 | 2
NULL | 3
NULL | NULL
NULL | NULL

-- a condition on one side of a left join does not remove its rows
with a(i) as (values (1), (2)), b(i, s) as (values (1, 'x'), (2, 'y')) select a.i, s from a left
join b on a.i = b.i and a.i > 1 and s <> 'z' order by 1
----
1 | NULL
2 | y

-- a full join with more than an equality
with a(i) as (values (1), (2)), b(i, s) as (values (1, 5), (2, 1)) select a.i, b.i as j, s from a
full join b on a.i = b.i and s > 2 order by 1, 2
----
1 | 1 | 5
2 | NULL | NULL
NULL | 2 | 1

-- a join without an equality
with a(i) as (values (1), (2), (3)) select x.i, y.i as j from a x join a y on x.i < y.i order by 1,
2
----
1 | 2
1 | 3
2 | 3

-- a left join without an equality
with a(i) as (values (1), (2), (3)) select x.i, y.i as j from a x left join a y on x.i < y.i order
by 1, 2
----
1 | 2
1 | 3
2 | 3
3 | NULL

-- a full join without an equality
with a(i) as (values (1), (5)), b(j) as (values (0), (3)) select i, j from a full join b on i < j
order by 1, 2
----
1 | 3
5 | NULL
NULL | 0

-- a cross join pairs all
with a(i) as (values (1), (2)), b(s) as (values ('x'), ('y')) select i, s from a cross join b order
by 1, 2
----
1 | x
1 | y
2 | x
2 | y

-- several keys
with a(i, j) as (values (1, 1), (1, 2), (1, null)), b(i, j, s) as (values (1, 2, 'x'), (1, null,
'y')) select a.i, a.j, s from a join b on a.i = b.i and a.j = b.j order by 1, 2
----
1 | 2 | x

-- USING gives the column once
with a(i, x) as (values (1, 'a'), (2, 'b')), b(i, y) as (values (2, 'c'), (3, 'd')) select * from a
full join b using (i) order by i
----
1 | a | NULL
2 | b | c
3 | NULL | d

-- NATURAL joins by all common names
with a(i, x) as (values (1, 'a'), (2, 'b')), b(i, y) as (values (2, 'c')) select * from a natural
join b
----
2 | b | c

-- a semi join gives the left's rows once
with a(i) as (values (1), (2)), b(i) as (values (2), (2)) select * from a semi join b on a.i = b.i
----
2

-- an anti join gives those without a match
with a(i) as (values (1), (2), (null)), b(i) as (values (2)) select * from a anti join b on a.i =
b.i order by 1
----
1
NULL

-- a comma binds weaker than JOIN
with a(i) as (values (1)), b(i) as (values (2)), c(i) as (values (3)) select a.i, b.i as j, c.i as k
from a, b full join c on b.i = c.i order by 2
----
1 | 2 | NULL
1 | NULL | 3

-- a comma with a condition in WHERE is a join
with a(i) as (values (1), (2)), b(i, s) as (values (2, 'x')) select a.i, s from a, b where a.i = b.i
----
2 | x

-- a table joined with itself
with e(id, boss) as (values (1, null), (2, 1), (3, 1)) select w.id, m.id as boss from e w left join
e m on m.id = w.boss order by 1
----
1 | NULL
2 | 1
3 | 1

-- numbers of different types are compared by value
with a(i) as (values (1), (2)), b(d) as (values (1.0), (2.5)) select i, d from a join b on i = d
----
1 | 1.0

-- a lateral subquery sees the tables before it
with t(k, v) as (values (1, 5), (1, 7), (2, 3)), k(k) as (values (1), (2), (3)) select k.k, s.v from
k, lateral (select v from t where t.k = k.k order by v desc limit 1) s order by 1
----
1 | 7
2 | 3

-- a left lateral join keeps rows without one
with t(k, v) as (values (1, 5), (1, 7), (2, 3)), k(k) as (values (1), (2), (3)) select k.k, s.v from
k left join lateral (select v from t where t.k = k.k order by v desc limit 1) s on true order by 1
----
1 | 7
2 | 3
3 | NULL

-- two columns of one table that equal one of another are equal to each other
with a(i) as (values (1), (2), (3), (4)), b(i, j) as (values (1, 1), (2, 3)) select a.i, b.j from a
join b on a.i = b.i and a.i = b.j
----
1 | 1

-- what a left lateral join lacks is NULL, also where it comes from outside
with t(a) as (values (1), (3)) select r.a, q.c, sum(q.c) over () as s from t r left join lateral
(select r.a as c from t x where x.a > 5) q on true order by 1
----
1 | NULL | NULL
3 | NULL | NULL

-- the column of USING may be NULL after a later outer join
with a(i) as (values (1)), b(i) as (values (1)), c(k) as (values (1), (2)) select i, k from a join b
using (i) right join c on i = k order by i, k
----
1 | 1
NULL | 2
