-- union all
select i, s from t union all select i, s from u;
-- union
select i, s from t union select i, s from u;
-- intersect
select i, s from t intersect select i, s from u;
-- intersect all
select i from t intersect all select i from u;
-- except
select i, s from t except select i, s from u;
-- except all
select i from t except all select i from u;
-- of different types
select i from t union all select d from u union all select 1.5;
-- no column needed
select count(*) from (select i from t union all select i from u);
-- distinct
select distinct i, o from t;
-- distinct, NaN and NULL
select distinct d from t;
-- values
select * from (values (1, 'a'), (2, null)) v(x, y);
-- nothing to read
select 1 as a, 'x' as b
