"""What differs from DuckDB, and what is refused: rows of docs/reference/sql.md."""

from __future__ import annotations

from typing import Final

#: (what, here, in DuckDB).
DIFFERENCES: Final[tuple[tuple[str, str, str], ...]] = (
    ("`INTEGER + INTEGER` and other arithmetic of integers", "BIGINT", "INTEGER, an error beyond"),
    ("`sum` of integers, HUGEINT", "BIGINT, an error beyond", "HUGEINT"),
    ("TINYINT, SMALLINT, FLOAT", "INTEGER, INTEGER, DOUBLE", "types of their own"),
    ("`sign(x)`", "INTEGER", "TINYINT"),
    ("BIGINT against DOUBLE", "compared exactly", "compared as DOUBLEs"),
    ("DECIMAL", "34 digits are exact; more are rounded", "38 digits, an error beyond the type's"),
    ("`x / -0.0`", "as `x / 0.0`", "the other infinity"),
    ("TIMESTAMP, TIMESTAMPTZ", "one type: UTC, milliseconds", "two types: microseconds"),
    ("`'2026-11-23 10:00+02'::TIMESTAMP`", "08:00, the time in UTC", "10:00, the offset is left out"),
    ("`datediff(end, start)`", "days", "an error"),
    ("`TIMESTAMP - TIMESTAMP`", "refused: `date_diff(unit, a, b)`", "an INTERVAL"),
    ("the months of an INTERVAL before 1970", "as in DuckDB; the server's own `$dateAdd` is not", "-"),
    ("`1 AND TRUE`", "refused: a condition is BOOLEAN", "`1` is TRUE"),
    ("`struct -> 'field'`", "the field with its own type", "JSON"),
    ("`(a, b) = (1, 2)` where a is NULL", "NULL, unless b differs from 2", "FALSE"),
    ("`x = ANY(list)` where list is NULL", "NULL", "FALSE"),
    ("`struct = struct`, `list < list`", "refused: compare fields or items", "compared part by part"),
    ("`reverse(text)`", "by code points", "by what looks like one letter"),
    ("`list_position(list, NULL)`", "NULL", "the place of the first NULL"),
    ("`string_split(text, NULL)`", "NULL", "the whole text in a list"),
    ("`regexp_replace(text, '', x, 'g')`", "nothing put at the end", "also at the end"),
    ("regular expressions", "PCRE; the pattern is a literal", "RE2"),
    ("`'0x10'::INTEGER`", "an error", "16"),
    ("a `TIMESTAMP` finer than milliseconds", "cut", "kept"),
    ("`avg` and `median` of times", "cut to milliseconds", "microseconds"),
    ("`any_value(x)`", "the least of the values", "the first that is not NULL"),
    ("`mode(x)` of values that come equally often", "the least", "the first"),
    ("`arg_min(x, by)` of rows that are alike in `by`", "the least x", "the first row's x"),
    ("`approx_count_distinct(x)`", "exact", "estimated"),
)

#: (construct, what to write instead).
REFUSED: Final[tuple[tuple[str, str], ...]] = (
    ("TIME, BIT, MAP, ENUM and UNION types", "VARCHAR, or a struct"),
    ("CAST of a list or struct to VARCHAR", "`array_to_string(...)`, or its fields"),
    ("an INTERVAL as a result or in a table", "a number of units"),
    ("AT TIME ZONE other than UTC", "a fixed INTERVAL"),
    ("lambdas: `list_transform`, `list_filter`, list comprehensions", "UNNEST and GROUP BY"),
    ("bits: `&`, `~`, `<<`, `>>`, `bit_count`, `xor`", "-"),
    ("COLLATE", "`lower(...)`"),
    ("`format`, `printf`", "`concat(...)` and `strftime`"),
    ("LIKE ANY, LIKE ALL", "OR, AND"),
    ("LIKE with ESCAPE and a pattern from a column", "a literal pattern"),
    ("a regular expression, time format or unit from a column", "a literal"),
    ("row values other than `(a, b) = (c, d)`, `<>` and IN", "the comparisons of the parts"),
    ("comparing a VARIANT", "a CAST: `v::BIGINT`"),
    ("`> ANY (list)` over a stored list", "UNNEST"),
    ("DISTINCT in a window; `mode` and `approx_count_distinct` with OVER", "a subquery with GROUP BY"),
    ("`lag`, `lead` and `ntile` by a number from a column", "a literal, or a join by `row_number()`"),
    ("IGNORE NULLS of `lag`, `lead` and `nth_value`", "`first_value` or `last_value` with IGNORE NULLS"),
    ("a RANGE of months over a descending key", "days, or an ascending key"),
    ("`max(x, n)`, `arg_min(x, by, n)`", "ORDER BY and LIMIT"),
    ("`count(DISTINCT a, b)`", "`count(DISTINCT struct_pack(a := a, b := b))`"),
    ("`bit_and`, `kurtosis`, `skewness`, `entropy`, `mad`, `histogram`", "-"),
    ("ORDER BY of more than 32 keys, ranks for NULLs and NaN among them", "fewer keys"),
    ("more than 20 subqueries and joins inside each other", "`WITH ... AS MATERIALIZED`"),
    ("`sha256`, `hash`, `to_base64`", "`md5`"),
)
