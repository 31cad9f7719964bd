-- in
select id from t where i in (select i from u where o);
-- not in, NULLs among the values
select id from t where i not in (select i from u);
-- not in, no NULLs among the values
select id from t where i not in (select i from u where i is not null);
-- in, correlated
select id from t where s in (select s from u where u.i = t.i);
-- exists
select id from t where exists (select 1 from u where u.i = t.i and u.d > t.d);
-- not exists
select id from t where not exists (select 1 from u where u.i = t.i and u.d > t.d);
-- exists as a value
select id, exists (select 1 from u where u.s < t.s) x from t;
-- a scalar, correlated
select id, (select max(u.d) from u where u.i = t.i) x, (select count(*) from u where u.i = t.i) n from t;
-- a scalar, not correlated
select id from t where d > (select avg(b) from u);
-- a scalar without a table around
select (select max(i) from t) a, (select min(s) from u) b, (select i from e) c;
-- all
select id from t where d >= all (select d from u where d is not null and not isnan(d));
-- lateral
select t.id, x.c from t, lateral (select count(*) c from u where u.i = t.i and u.id > t.id) x;
-- lateral, outer, the first row
select t.id, x.m from t left join lateral (select u.m from u where u.i = t.i order by u.id limit 1) x on true;
-- correlated below a union
select id, (select max(x.i) from (select u.i from u where u.o = t.o union all select 5) x) z from t;
-- materialised
with c as materialized (select i, count(*) n from t group by i) select a.i, b.n from c a join c b on a.i = b.i;
-- unnest
select unnest([1, 2, i]) x, id from t;
-- lateral, a function of an outer column that may be NULL
select q.c1 from t cross join lateral (select length(t.s) c1 from u) q where t.i > 2;
-- correlated, functions of outer columns that may be NULL
select id, (select count(*) from u where length(u.s) < length(t.s)) a, (select max(u.i) from u where u.i < 3 / t.i) b from t;
-- correlated in a correlated one
select id, (select count(*) from u where u.i < t.i and exists (select 1 from u v where length(v.s) > length(t.s) and v.i <> u.i)) z from t;
-- any rows of a left join
select count(*) from (select t.id, u.id from t left join u on t.i = u.i limit 7);
-- any rows of a union
select count(*) from (select i from t union all select i from u limit 70 offset 3)
