-- numbers to text
select i::varchar, n::varchar, d::varchar from samples order by id
----
7 | 1.25 | 2.5
NULL | NULL | NULL
0 | -2.35 | nan
-3 | 100.00 | 0.0
2 | 0.05 | -inf
100 | 7.00 | 1e+20
NULL | NULL | NULL

-- times and booleans to text
select ts::varchar, dt::varchar, f::varchar from samples order by id
----
2024-02-29 13:14:15.123 | 2024-02-29 | true
NULL | NULL | NULL
1969-12-31 23:59:59.999 | 1969-12-31 | false
2023-01-01 00:00:00 | 2023-01-01 | true
2024-12-30 08:05:07 | 2024-12-30 | false
2000-01-01 12:00:00 | 2000-01-01 | NULL
NULL | NULL | NULL

-- a DOUBLE rounds half to even, a DECIMAL half away from zero
select 2.5::double::int, 3.5::double::int, 2.5::int, 3.5::int, n::int from samples order by id
----
2 | 4 | 3 | 4 | 1
2 | 4 | 3 | 4 | NULL
2 | 4 | 3 | 4 | -2
2 | 4 | 3 | 4 | 100
2 | 4 | 3 | 4 | 0
2 | 4 | 3 | 4 | 7
2 | 4 | 3 | 4 | NULL

-- TRY_CAST gives NULL where CAST fails
select try_cast(s as int), try_cast(s as double), try_cast(s as date), try_cast(d as bigint) from samples order by id
----
NULL | NULL | NULL | 2
NULL | NULL | NULL | NULL
NULL | NULL | NULL | NULL
NULL | NULL | NULL | 0
NULL | NULL | NULL | NULL
8 | 7.5 | NULL | NULL
NULL | NULL | NULL | NULL

-- DECIMAL to fewer places, and to fewer digits
select n::decimal(10, 1), try_cast(n as decimal(3, 2)) from samples order by id
----
1.3 | 1.25
NULL | NULL
-2.4 | -2.35
100.0 | NULL
0.1 | 0.05
7.0 | 7.00
NULL | NULL

-- text constants
select '2.7'::int, '2024-2-3'::date, '2024-02-29T10:00:00Z'::timestamp, 'yes'::boolean from samples order by id
----
3 | 2024-02-03 | 2024-02-29 10:00:00 | true
3 | 2024-02-03 | 2024-02-29 10:00:00 | true
3 | 2024-02-03 | 2024-02-29 10:00:00 | true
3 | 2024-02-03 | 2024-02-29 10:00:00 | true
3 | 2024-02-03 | 2024-02-29 10:00:00 | true
3 | 2024-02-03 | 2024-02-29 10:00:00 | true
3 | 2024-02-03 | 2024-02-29 10:00:00 | true

-- DATE and TIMESTAMP
select dt::timestamp, ts::date from samples order by id
----
2024-02-29 00:00:00 | 2024-02-29
NULL | NULL
1969-12-31 00:00:00 | 1969-12-31
2023-01-01 00:00:00 | 2023-01-01
2024-12-30 00:00:00 | 2024-12-30
2000-01-01 00:00:00 | 2000-01-01
NULL | NULL

-- BOOLEAN and numbers
select f::int, i::boolean, f::double from samples order by id
----
1 | true | 1.0
NULL | NULL | NULL
0 | false | 0.0
1 | true | 1.0
0 | true | 0.0
NULL | true | NULL
NULL | NULL | NULL

-- lists, item by item
select l::double[], l::varchar[] from samples order by id
----
[3.0, 1.0, NULL, 2.0] | [3, 1, NULL, 2]
NULL | NULL
[] | []
[5.0, 5.0] | [5, 5]
[-1.0] | [-1]
[1.0, 2.0, 3.0, 4.0] | [1, 2, 3, 4]
NULL | NULL

-- a time with an offset is turned to UTC
--! differs: every TIMESTAMP is UTC
select '2024-02-29 10:00:00+02'::timestamp from samples order by id
----
2024-02-29 08:00:00
2024-02-29 08:00:00
2024-02-29 08:00:00
2024-02-29 08:00:00
2024-02-29 08:00:00
2024-02-29 08:00:00
2024-02-29 08:00:00
