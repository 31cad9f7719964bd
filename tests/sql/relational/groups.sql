-- one key, null and missing are one group
select i, count(*) c, sum(b) sb, avg(d) ad, min(d) mi, max(d) ma, sum(m) sm, avg(m) am, min(s) ms from t group by i;
-- two keys, NaN and NULL among them
select s, d, count(*) from t group by s, d;
-- no keys
select count(*), sum(i), min(d), max(s), avg(i), count(i) from t;
-- no keys, an empty table
select count(*), sum(i), min(d), max(s), avg(i), count(i), list(i), string_agg(s), stddev(d), median(i) from e;
-- no keys, no rows left
select count(*), sum(i), min(d), max(s), avg(i), count(i) from t where i > 100;
-- keys, no rows left
select i, count(*) from t where i > 100 group by i;
-- distinct values of one column, other aggregates that add up
select i, count(distinct s), sum(b), count(*) from t group by i;
-- distinct values of several columns, and aggregates that need all rows
select i, count(distinct s), count(distinct d), count(*), avg(m) from t group by i;
-- distinct values of one column, without keys
select count(distinct i), sum(distinct i), max(d) from t;
-- distinct values that a filter keeps
select count(distinct s) filter (where o), sum(distinct b) filter (where false), avg(d) from t;
-- distinct values of an empty table
select count(distinct s), avg(b), count(distinct i) filter (where o) from e;
-- distinct values in a list, in order
select o, list(distinct i order by i desc nulls last), string_agg(distinct s, '/' order by s) from t group by o;
-- filters
select o, count(*) filter (where i > 0), sum(i) filter (where s = 'a'), avg(d) filter (where i > 0) from t group by o;
-- truth
select o, bool_and(i > 0), bool_or(i > 0), count_if(i > 0), count_if(null) from t group by o;
-- spread
select o, stddev(m), stddev_pop(i), var_samp(i), var_pop(m) from t group by o;
-- pairs
select o, corr(m, i), covar_pop(m, b), covar_samp(i, b), regr_slope(m, i), regr_intercept(i, m), regr_r2(m, i),
    regr_avgx(m, i), regr_avgy(m, i), regr_sxx(m, i), regr_syy(m, i), regr_sxy(m, i)
from t group by o;
-- order inside
select o, string_agg(s, '-' order by id desc), list(i order by i desc nulls first, id), first(s order by id),
    last(d order by id), first(s order by i desc nulls last, id), arg_min(id, m), arg_max(id, b)
from t where id <> 41 group by o;
-- quantiles
select o, median(i), median(d), median(m), median(ts), quantile_cont(i, 0.3), quantile_disc(m, 0.7),
    percentile_cont(0.25) within group (order by i desc), percentile_disc(0.25) within group (order by s desc),
    quantile_cont(m, [0.1, 0.9])
from t group by o;
-- the most frequent value
select i, mode(s) from t where s = 'a' group by i;
-- product
select product(m) from t where i = 1;
-- having
select i, sum(i) from t group by i having count(*) > 3;
-- a computed column said several times
select a.x, a.x * a.x y from (select abs(b) as x from t) a where a.x > 4 and a.x < 1000000;
-- groups of groups
select n, count(*) from (select i, count(*) n from t group by i) group by n;
-- rollup
select grouping(i), i, o, count(*) from t group by rollup(i, o);
-- cube
select i, o, sum(b) from t group by cube(i, o)
