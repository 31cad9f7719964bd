-- numbers of all types compare by their values
select i < b, i < d, n >= i, d = 2.5 from samples order by id
----
false | false | false | true
NULL | NULL | NULL | NULL
false | true | false | false
true | true | true | false
false | false | false | false
false | true | false | false
NULL | NULL | NULL | NULL

-- NaN equals itself and is the greatest
select d = d, d > 1e300, d <= 1, d < 'nan'::double from samples order by id
----
true | false | false | true
NULL | NULL | NULL | NULL
true | true | false | false
true | false | true | true
true | false | true | true
true | false | false | true
NULL | NULL | NULL | NULL

-- a WHERE finds NaN above a bound
select id from samples where d > 5 order by id
----
3
6

-- a WHERE does not find NaN below a bound
select id from samples where d < 5 order by id
----
1
4
5

-- negative zero is zero
select id from samples where d = 0 order by id
----
4

-- a text literal becomes what it is compared with
select dt = '2024-02-29', ts > '2020-01-01', i = '7', f = 'true' from samples order by id
----
true | true | true | true
NULL | NULL | NULL | NULL
false | false | false | false
false | true | false | true
false | true | false | false
false | false | false | NULL
NULL | NULL | NULL | NULL

-- texts compare by their code points
select s < 'b', s = '', s >= 'a' from samples order by id
----
false | false | true
NULL | NULL | NULL
true | true | false
true | false | false
true | false | true
true | false | false
NULL | NULL | NULL

-- IN among literals
select i in (7, 2), i not in (7, 2) from samples order by id
----
true | false
NULL | NULL
false | true
false | true
true | false
false | true
NULL | NULL

-- a NULL in IN makes what is not found unknown
select i in (7, null), i not in (7, null) from samples order by id
----
true | false
NULL | NULL
NULL | NULL
NULL | NULL
NULL | NULL
NULL | NULL
NULL | NULL

-- NOT IN finds no row beside a NULL
select id from samples where i not in (7, null) order by id
----


-- IN among columns
select i in (b, 2) from samples order by id
----
false
NULL
false
false
true
false
NULL

-- BETWEEN includes its ends
select i between 0 and 7, i not between 0 and 7, dt between '2000-01-01' and '2023-01-01' from samples order by id
----
true | false | false
NULL | NULL | NULL
true | false | false
false | true | true
true | false | false
false | true | true
NULL | NULL | NULL

-- IS DISTINCT FROM treats NULL as a value
select i is distinct from 7, i is not distinct from null, d is not distinct from 'nan'::double from samples order by id
----
false | false | false
true | true | false
true | false | true
true | false | false
true | false | false
true | false | false
true | true | false

-- lists are equal item by item
select l = [5, 5], l <> [5, 5] from samples order by id
----
false | true
NULL | NULL
false | true
true | false
false | true
false | true
NULL | NULL

-- row values compare part by part
select id from samples where (i, b) = (7, 3) or (i, b) in ((2, 2), (1, 1)) order by id
----
1
5

-- ANY and ALL over literal lists
select i = any([7, 2]), i <> all([7, 2]), i > any([1, 50]) from samples order by id
----
true | false | true
NULL | NULL | NULL
false | true | false
false | true | false
true | false | true
false | true | true
NULL | NULL | NULL
