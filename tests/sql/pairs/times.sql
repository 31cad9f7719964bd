-- parts of a DATE
select year(dt), month(dt), day(dt), quarter(dt), week(dt), dayofweek(dt), isodow(dt), dayofyear(dt) from samples order by id
----
2024 | 2 | 29 | 1 | 9 | 4 | 4 | 60
NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL
1969 | 12 | 31 | 4 | 1 | 3 | 3 | 365
2023 | 1 | 1 | 1 | 52 | 0 | 7 | 1
2024 | 12 | 30 | 4 | 1 | 1 | 1 | 365
2000 | 1 | 1 | 1 | 52 | 6 | 6 | 1
NULL | NULL | NULL | NULL | NULL | NULL | NULL | NULL

-- parts of a TIMESTAMP
select extract(hour from ts), minute(ts), second(ts), date_part('millisecond', ts), epoch_ms(ts) from samples order by id
----
13 | 14 | 15 | 15123 | 1709212455123
NULL | NULL | NULL | NULL | NULL
23 | 59 | 59 | 59999 | -1
0 | 0 | 0 | 0 | 1672531200000
8 | 5 | 7 | 7000 | 1735545907000
12 | 0 | 0 | 0 | 946728000000
NULL | NULL | NULL | NULL | NULL

-- ISO years around New Year
select isoyear(dt), yearweek(dt) from samples order by id
----
2024 | 202409
NULL | NULL
1970 | 197001
2022 | 202252
2025 | 202501
1999 | 199952
NULL | NULL

-- DATE_TRUNC; weeks begin on Monday
select date_trunc('month', ts), date_trunc('week', ts), date_trunc('hour', ts), date_trunc('quarter', dt) from samples order by id
----
2024-02-01 00:00:00 | 2024-02-26 00:00:00 | 2024-02-29 13:00:00 | 2024-01-01 00:00:00
NULL | NULL | NULL | NULL
1969-12-01 00:00:00 | 1969-12-29 00:00:00 | 1969-12-31 23:00:00 | 1969-10-01 00:00:00
2023-01-01 00:00:00 | 2022-12-26 00:00:00 | 2023-01-01 00:00:00 | 2023-01-01 00:00:00
2024-12-01 00:00:00 | 2024-12-30 00:00:00 | 2024-12-30 08:00:00 | 2024-10-01 00:00:00
2000-01-01 00:00:00 | 1999-12-27 00:00:00 | 2000-01-01 12:00:00 | 2000-01-01 00:00:00
NULL | NULL | NULL | NULL

-- DATE_DIFF counts boundaries
select date_diff('day', ts, timestamp '2024-03-01 20:00:00'), date_diff('month', dt, date '2024-03-01'), date_diff('week', dt, date '2024-03-11') from samples order by id
----
1 | 1 | 1
NULL | NULL | NULL
19784 | 651 | 2827
425 | 14 | 62
-304 | -9 | -42
8826 | 290 | 1262
NULL | NULL | NULL

-- datediff with two arguments counts days
--! differs: DuckDB has no datediff with two arguments
select datediff(dt, date '2024-01-01') from samples order by id
----
59
NULL
-19724
-365
364
-8766
NULL

-- a DATE and days
select dt + 1, dt - 1, dt - date '2024-01-01' from samples order by id
----
2024-03-01 | 2024-02-28 | 59
NULL | NULL | NULL
1970-01-01 | 1969-12-30 | -19724
2023-01-02 | 2022-12-31 | -365
2024-12-31 | 2024-12-29 | 364
2000-01-02 | 1999-12-31 | -8766
NULL | NULL | NULL

-- INTERVALs; the end of a month stays in its month
select dt + interval 1 month, ts - interval '1 month 2 days', ts + interval 36 hour from samples order by id
----
2024-03-29 00:00:00 | 2024-01-27 13:14:15.123 | 2024-03-02 01:14:15.123
NULL | NULL | NULL
1970-01-31 00:00:00 | 1969-11-28 23:59:59.999 | 1970-01-02 11:59:59.999
2023-02-01 00:00:00 | 2022-11-29 00:00:00 | 2023-01-02 12:00:00
2025-01-30 00:00:00 | 2024-11-28 08:05:07 | 2024-12-31 20:05:07
2000-02-01 00:00:00 | 1999-11-29 12:00:00 | 2000-01-03 00:00:00
NULL | NULL | NULL

-- an INTERVAL of as many days as a column says
select dt + interval (i) day, dt + interval (i) month from samples order by id
----
2024-03-07 00:00:00 | 2024-09-29 00:00:00
NULL | NULL
1969-12-31 00:00:00 | 1969-12-31 00:00:00
2022-12-29 00:00:00 | 2022-10-01 00:00:00
2025-01-01 00:00:00 | 2025-02-28 00:00:00
2000-04-10 00:00:00 | 2008-05-01 00:00:00
NULL | NULL

-- a comparison with a computed date
select id from samples where dt >= date '2025-01-01' - interval '1' year order by id
----
1
5

-- LAST_DAY, DAYNAME and MONTHNAME
select last_day(dt), dayname(dt), monthname(ts) from samples order by id
----
2024-02-29 | Thursday | February
NULL | NULL | NULL
1969-12-31 | Wednesday | December
2023-01-31 | Sunday | January
2024-12-31 | Monday | December
2000-01-31 | Saturday | January
NULL | NULL | NULL

-- STRFTIME
select strftime(ts, '%d.%m.%Y %H:%M:%S'), strftime(ts, '%a %b %-d %I %p') from samples order by id
----
29.02.2024 13:14:15 | Thu Feb 29 01 PM
NULL | NULL
31.12.1969 23:59:59 | Wed Dec 31 11 PM
01.01.2023 00:00:00 | Sun Jan 1 12 AM
30.12.2024 08:05:07 | Mon Dec 30 08 AM
01.01.2000 12:00:00 | Sat Jan 1 12 PM
NULL | NULL

-- STRPTIME
select strptime('29.02.2024 13:05', '%d.%m.%Y %H:%M'), try_strptime('x', '%Y') from samples order by id
----
2024-02-29 13:05:00 | NULL
2024-02-29 13:05:00 | NULL
2024-02-29 13:05:00 | NULL
2024-02-29 13:05:00 | NULL
2024-02-29 13:05:00 | NULL
2024-02-29 13:05:00 | NULL
2024-02-29 13:05:00 | NULL

-- making dates
select make_date(2024, 2, 29), make_timestamp(2024, 2, 29, 1, 2, 3.5), epoch_ms(1500) from samples order by id
----
2024-02-29 | 2024-02-29 01:02:03.5 | 1970-01-01 00:00:01.5
2024-02-29 | 2024-02-29 01:02:03.5 | 1970-01-01 00:00:01.5
2024-02-29 | 2024-02-29 01:02:03.5 | 1970-01-01 00:00:01.5
2024-02-29 | 2024-02-29 01:02:03.5 | 1970-01-01 00:00:01.5
2024-02-29 | 2024-02-29 01:02:03.5 | 1970-01-01 00:00:01.5
2024-02-29 | 2024-02-29 01:02:03.5 | 1970-01-01 00:00:01.5
2024-02-29 | 2024-02-29 01:02:03.5 | 1970-01-01 00:00:01.5

-- AT TIME ZONE 'UTC' changes nothing
select ts at time zone 'UTC' from samples order by id
----
2024-02-29 13:14:15.123
NULL
1969-12-31 23:59:59.999
2023-01-01 00:00:00
2024-12-30 08:05:07
2000-01-01 12:00:00
NULL
