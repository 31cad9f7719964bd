-- NULLS last by default
select i, s, id from t order by i, s desc, id;
-- NULLS first, NaN is the greatest
select d, id from t order by d nulls first, id;
-- descending, NULLS last
select d, id from t order by d desc nulls last, id;
-- descending, NULLS first, some rows
select d, id from t order by d desc nulls first, id limit 20 offset 3;
-- other types
select m, ts, id from u order by m desc, ts nulls first, id limit 7;
-- by what is not shown
select id from t order by i + b, id;
-- by an aggregate
select i, sum(m) x from t group by i order by x desc nulls last, i;
-- above a union
select i, id from t union all select i, id from u order by 1, 2 limit 30;
-- no rows
select id from t order by id limit 0
