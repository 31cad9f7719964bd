-- fields of a struct
select st.a, st['b'], st.a + 1 from samples order by id
----
1 | x | 2
NULL | NULL | NULL
NULL | NULL | NULL
7 | ü | 8
-1 |  | 0
3 | a b | 4
NULL | NULL | NULL

-- a WHERE on a field
select id from samples where st.a > 0 order by id
----
1
4
6

-- making structs and lists
select {'x': i, 'y': [s]}, [i, 1] from samples order by id
----
{x: 7, y: [héllo]} | [7, 1]
{x: NULL, y: [NULL]} | [NULL, 1]
{x: 0, y: []} | [0, 1]
{x: -3, y: [Straße 👍🏽 %_x]} | [-3, 1]
{x: 2, y: [a,b,,c]} | [2, 1]
{x: 100, y: [  7.5 ]} | [100, 1]
{x: NULL, y: [NULL]} | [NULL, 1]

-- items of a list
select l[1], l[-1], l[9], l[0], len(l) from samples order by id
----
3 | 2 | NULL | NULL | 4
NULL | NULL | NULL | NULL | NULL
NULL | NULL | NULL | NULL | 0
5 | 5 | NULL | NULL | 2
-1 | -1 | NULL | NULL | 1
1 | 4 | NULL | NULL | 4
NULL | NULL | NULL | NULL | NULL

-- slices
select l[2:3], l[:2], l[-2:], l[2:] from samples order by id
----
[1, NULL] | [3, 1] | [NULL, 2] | [1, NULL, 2]
NULL | NULL | NULL | NULL
[] | [] | [] | []
[5] | [5, 5] | [5, 5] | [5]
[] | [-1] | [-1] | []
[2, 3] | [1, 2] | [3, 4] | [2, 3, 4]
NULL | NULL | NULL | NULL

-- LIST_CONTAINS and IN
select list_contains(l, 1), 5 in l from samples order by id
----
true | false
NULL | NULL
false | false
false | true
false | false
true | false
NULL | NULL

-- joining lists
select l || [9], list_append(l, 9), list_prepend(9, l) from samples order by id
----
[3, 1, NULL, 2, 9] | [3, 1, NULL, 2, 9] | [9, 3, 1, NULL, 2]
NULL | [9] | [9]
[9] | [9] | [9]
[5, 5, 9] | [5, 5, 9] | [9, 5, 5]
[-1, 9] | [-1, 9] | [9, -1]
[1, 2, 3, 4, 9] | [1, 2, 3, 4, 9] | [9, 1, 2, 3, 4]
NULL | [9] | [9]

-- LIST_SORT puts NULL last
select list_sort(l), list_sort(l, 'DESC'), list_reverse(l) from samples order by id
----
[1, 2, 3, NULL] | [3, 2, 1, NULL] | [2, NULL, 1, 3]
NULL | NULL | NULL
[] | [] | []
[5, 5] | [5, 5] | [5, 5]
[-1] | [-1] | [-1]
[1, 2, 3, 4] | [4, 3, 2, 1] | [4, 3, 2, 1]
NULL | NULL | NULL

-- LIST_DISTINCT and LIST_UNIQUE
select list_sort(list_distinct(l)), list_unique(l) from samples order by id
----
[1, 2, 3] | 3
NULL | NULL
[] | 0
[5] | 1
[-1] | 1
[1, 2, 3, 4] | 4
NULL | NULL

-- totals of a list
select list_sum(l), list_avg(l), list_min(l), list_max(l), list_count(l) from samples order by id
----
6 | 2.0 | 1 | 3 | 3
NULL | NULL | NULL | NULL | NULL
NULL | NULL | NULL | NULL | 0
10 | 5.0 | 5 | 5 | 2
-1 | -1.0 | -1 | -1 | 1
10 | 2.5 | 1 | 4 | 4
NULL | NULL | NULL | NULL | NULL

-- lists to text
select array_to_string(l, '-') from samples order by id
----
3-1-2
NULL

5-5
-1
1-2-3-4
NULL

-- LIST_POSITION
select list_position(l, 2) from samples order by id
----
4
NULL
NULL
NULL
NULL
2
NULL

-- lists that overlap and contain
select list_has_any(l, [1, 9]), list_has_all(l, [1, 3]) from samples order by id
----
true | true
NULL | NULL
false | false
false | false
false | false
true | true
NULL | NULL

-- -> on a struct gives a typed value
--! differs: DuckDB gives JSON
select (st->'a') + 1 from samples where id = 1
----
2

-- ->> gives text
select st->>'b' from samples order by id
----
x
NULL
NULL
ü

a b
NULL
