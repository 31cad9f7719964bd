-- integers
select i + 1, i - b, i * 2, -i, abs(i) from samples order by id
----
8 | 4 | 14 | -7 | 7
NULL | NULL | NULL | NULL | NULL
1 | 5 | 0 | 0 | 0
-2 | -1099511627779 | -6 | 3 | 3
3 | 0 | 4 | -2 | 2
101 | 99 | 200 | -100 | 100
NULL | NULL | NULL | NULL | NULL

-- / gives a DOUBLE; infinity and NaN for zero
select i / 2, 1 / i, n / 4 from samples order by id
----
3.5 | 0.14285714285714285 | 0.3125
NULL | NULL | NULL
0.0 | inf | -0.5875
-1.5 | -0.3333333333333333 | 25.0
1.0 | 0.5 | 0.0125
50.0 | 0.01 | 1.75
NULL | NULL | NULL

-- // and % go towards zero
select i // 2, i % 2, b // 3, b % 3, -7 // 2, -7 % 2 from samples order by id
----
3 | 1 | 1 | 0 | -3 | -1
NULL | NULL | NULL | NULL | -3 | -1
0 | 0 | -1 | -2 | -3 | -1
-1 | -1 | 366503875925 | 1 | -3 | -1
1 | 0 | 0 | 2 | -3 | -1
50 | 0 | 0 | 1 | -3 | -1
NULL | NULL | NULL | NULL | -3 | -1

-- decimals keep their places
select n + 1, n * n, 1 - n, n * 0.5 from samples order by id
----
2.25 | 1.5625 | -0.25 | 0.625
NULL | NULL | NULL | NULL
-1.35 | 5.5225 | 3.35 | -1.175
101.00 | 10000.0000 | -99.00 | 50.000
1.05 | 0.0025 | 0.95 | 0.025
8.00 | 49.0000 | -6.00 | 3.500
NULL | NULL | NULL | NULL

-- a DECIMAL and a DOUBLE give a DOUBLE
select n + d from samples where id <> 3 order by id
----
3.75
NULL
100.0
-inf
1e+20
NULL

-- ROUND goes half away from zero
select round(n, 1), round(n), round(2.5), round(-2.5), round(2.675::double, 2), round(i, -1) from samples order by id
----
1.3 | 1 | 3 | -3 | 2.68 | 10
NULL | NULL | 3 | -3 | 2.68 | NULL
-2.4 | -2 | 3 | -3 | 2.68 | 0
100.0 | 100 | 3 | -3 | 2.68 | 0
0.1 | 0 | 3 | -3 | 2.68 | 0
7.0 | 7 | 3 | -3 | 2.68 | 100
NULL | NULL | 3 | -3 | 2.68 | NULL

-- FLOOR, CEIL and TRUNC
select floor(n), ceil(n), trunc(n), floor(2.5::double), trunc(-2.5::double) from samples order by id
----
1 | 2 | 1 | 2.0 | -2.0
NULL | NULL | NULL | 2.0 | -2.0
-3 | -2 | -2 | 2.0 | -2.0
100 | 100 | 100 | 2.0 | -2.0
0 | 1 | 0 | 2.0 | -2.0
7 | 7 | 7 | 2.0 | -2.0
NULL | NULL | NULL | 2.0 | -2.0

-- roots, powers and logarithms
select sqrt(abs(i)), power(2, i), ln(1), log(100), log2(8) from samples order by id
----
2.6457513110645907 | 128.0 | 0.0 | 2.0 | 3.0
NULL | NULL | 0.0 | 2.0 | 3.0
0.0 | 1.0 | 0.0 | 2.0 | 3.0
1.7320508075688772 | 0.125 | 0.0 | 2.0 | 3.0
1.4142135623730951 | 4.0 | 0.0 | 2.0 | 3.0
10.0 | 1.2676506002282294e+30 | 0.0 | 2.0 | 3.0
NULL | NULL | 0.0 | 2.0 | 3.0

-- logarithms and roots beyond their range
select ln(0::double), ln(-1::double), sqrt(-1::double) from samples order by id
----
-inf | nan | nan
-inf | nan | nan
-inf | nan | nan
-inf | nan | nan
-inf | nan | nan
-inf | nan | nan
-inf | nan | nan

-- SIGN, ISNAN and their like
select sign(n), isnan(d), isinf(d), isfinite(d) from samples order by id
----
1 | false | false | true
NULL | NULL | NULL | NULL
-1 | true | false | false
1 | false | false | true
1 | false | true | false
1 | false | false | true
NULL | NULL | NULL | NULL

-- NaN and infinity go through arithmetic
select d + 1, d * 2, d - d from samples order by id
----
3.5 | 5.0 | 0.0
NULL | NULL | NULL
nan | nan | nan
1.0 | 0.0 | 0.0
-inf | -inf | nan
1e+20 | 2e+20 | 0.0
NULL | NULL | NULL
