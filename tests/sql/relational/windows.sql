-- row numbers and ranks over one key
select id, row_number() over (order by i, id) a, rank() over (order by i) b, dense_rank() over (order by i desc) c from t;
-- all ranks, NaN and NULL among the keys
select id, rank() over w a, dense_rank() over w b, percent_rank() over w c, cume_dist() over w d
from t window w as (partition by o order by d);
-- ranks over keys in different directions
select id, rank() over (partition by o order by s desc nulls first, i) a, dense_rank() over (partition by o order by s, i desc) b,
    cume_dist() over (partition by i order by s desc, ts) c
from t;
-- ranks over texts in different directions
select id, rank() over w a, dense_rank() over w b, sum(i) over w c
from t window w as (order by s desc, (case when o then 'x' else 'y' end));
-- buckets
select id, ntile(4) over (order by id) a, ntile(7) over (partition by i order by id desc) b, ntile(100) over (partition by o order by id) c from t;
-- neighbours
select id, lag(i) over (order by id) a, lead(s, 2, 'none') over (partition by o order by id) b, lag(b, 3, id) over (order by id desc) c,
    lag(i, -1) over (order by id) d
from t;
-- one row of the frame
select id, first_value(i) over (order by id) a, last_value(i) over (order by id) b, nth_value(i, 3) over (partition by o order by id) c,
    first_value(s) over (partition by o order by id rows between 2 preceding and 1 preceding) d
from t;
-- one row of the frame that is not NULL
select id, first_value(i ignore nulls) over (order by id) a,
    last_value(i ignore nulls) over (order by id rows between 3 preceding and 1 preceding) b,
    last_value(s ignore nulls) over (partition by o order by id) c
from t;
-- rows
select id, sum(i) over (order by id) a, avg(m) over (partition by s order by id rows between 3 preceding and current row) b,
    count(*) over (partition by i) c, count(i) over (order by id rows between 1 following and 3 following) d
from t;
-- peers belong to the frame
select id, sum(i) over (partition by o order by s) a, max(d) over (partition by o order by s) b, min(d) over (order by i) c,
    count(*) over (order by d) d
from t;
-- peers and those behind
select id, sum(i) over (order by i range between current row and unbounded following) a,
    sum(i) over (order by d range between current row and unbounded following) b
from t;
-- distances
select id, sum(i) over (order by i range between 1 preceding and 1 following) a,
    count(*) over (order by i desc range between 2 preceding and current row) b,
    count(*) over (order by i nulls first range between 1 preceding and 1 following) c,
    count(*) over (order by m range between 0.5 preceding and 0.5 following) d
from t;
-- distances on one side, NULLs at the end
select id, count(*) over (order by i range between unbounded preceding and 1 preceding) a,
    count(*) over (order by i nulls first range between 1 following and unbounded following) b
from t;
-- distances in time
select id, count(*) over (order by ts range between interval 5 hours preceding and interval 1 day following) a,
    count(*) over (order by da desc range between interval 3 days preceding and current row) b,
    count(*) over (order by da + interval 0 days range between interval 1 month preceding and current row) c
from t;
-- filters
select id, sum(i) filter (where o) over (order by id) a, count(*) filter (where s = 'a') over (partition by o) b from t;
-- no order
select id, sum(i) over () a, sum(i) over (partition by o, s) b from t;
-- a constant order: all rows are peers
select id, sum(1.5) over (order by 'a') a, rank() over (order by 'a') b, ntile(3) over (order by 1.5 desc, id) c from t;
-- collected values
select id, string_agg(s, ',') over (order by id rows between 2 preceding and current row) a, list(i) over (order by id rows 1 preceding) b,
    stddev(i) over (partition by o) c, median(i) over (partition by o) d, bool_or(o) over (order by id) e
from t;
-- over groups
select i, sum(count(*)) over (order by i) a, rank() over (order by count(*) desc) b from t group by i;
-- qualify
select id, i from t qualify row_number() over (partition by i order by id) <= 2;
-- distinct on
select distinct on (i) i, id from t order by i, id desc;
-- an empty table
select id, row_number() over (order by id) from e
