-- inner, one key
select t.id, u.id from t join u on t.i = u.i;
-- inner, keys of different number types
select t.id, u.id from t join u on t.i = u.d;
-- inner, equal NaN, and zero of either sign
select t.id, u.id from t join u on t.d = u.d;
-- inner, with another condition over both sides
select t.id, u.id from t join u on t.i = u.i and t.d < u.d;
-- left, two keys
select t.id, u.id, t.s, u.d from t left join u on t.i = u.i and t.s = u.s;
-- left, with another condition over both sides
select t.id, u.id from t left join u on t.i = u.i and t.d < u.d;
-- left, with a condition on the left alone
select t.id, u.id from t left join u on t.i = u.i and t.o;
-- left, never true
select t.id, u.id from t left join u on false;
-- right
select t.id, u.id from t right join u on t.i = u.i;
-- full, NULL keys of either side do not meet
select t.id, u.id from t full join u on t.i = u.i;
-- full, two keys
select t.id, u.id from t full join u on t.d = u.d and t.o = u.o;
-- full, with another condition
select t.id, u.id from t full join u on t.i = u.i and t.d < u.d;
-- full, without keys
select t.id, u.id from t full join u on t.i < u.i and t.s > u.s;
-- full, with an empty table
select t.id, e.id from t full join e on t.i = e.i;
-- cross, all columns idle
select count(*) from t, u;
-- cross, with an empty table
select count(*) from t, u, e;
-- not equal
select t.id, u.id from t, u where t.m = u.m or t.b = u.b;
-- left, not equal
select t.id, u.id from t left join u on t.i < u.i and t.s > u.s;
-- semi
select t.id from t semi join u on t.i = u.i;
-- anti, with another condition
select t.id from t anti join u on t.i = u.i and t.d > u.d;
-- NULL is a key like others
select t.id, u.id from t full join u on t.i is not distinct from u.i and t.o is not distinct from u.o;
-- with itself
select a.id, b.id from t a, t b where a.i = b.i and a.id < b.id;
-- three tables
select t.id, u.id, v.id from t join u on t.i = u.i left join u v on v.s = u.s;
-- rows of the query itself
select v.x, t.id from (values (1, 'a'), (2, null)) v(x, y) left join t on t.i = v.x;
-- natural
select * from t natural join u
