"""Values of every type of MariaDB, each against what it is by definition or by what the server prints."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from bson import json_util

from levada.connectors.base import Query
from levada.errors import ConfigError

from .conftest import Legacy

TableOf = Callable[..., dict[str, list[Any]]]

INTEGERS = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "TINYINT UNSIGNED": (0, 2**8 - 1),
    "TINYINT(1)": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "SMALLINT UNSIGNED": (0, 2**16 - 1),
    "MEDIUMINT": (-(2**23), 2**23 - 1),
    "MEDIUMINT UNSIGNED ZEROFILL": (0, 2**24 - 1),
    "INT": (-(2**31), 2**31 - 1),
    "INT UNSIGNED": (0, 2**32 - 1),
    "BIGINT": (-(2**63), 2**63 - 1),
    "BIGINT UNSIGNED": (0, 2**64 - 1),
    "YEAR": (1901, 2155),
    "BIT(17)": (0, 2**17 - 1),
    "BIT(64)": (0, 2**64 - 1),
}


def test_the_ends_of_integers(table: TableOf) -> None:
    given = {declared: list(map(str, ends)) for declared, ends in INTEGERS.items()}
    assert table(given) == {declared: list(ends) for declared, ends in INTEGERS.items()}


DECIMALS = {
    "DECIMAL(12,2)": ["-9999999999.99", "0.00", "12.30"],
    "DECIMAL(10,0)": ["1234567890", "-1"],
    "DECIMAL(38,30)": ["12345678.123456789012345678901234567891"],
    "DECIMAL(8,2) ZEROFILL": ["12.30"],
    "DECIMAL(38,0)": ["-" + "9" * 38],
    "DECIMAL(30,30)": ["0." + "0" * 29 + "1"],
}


def test_decimals_keep_every_digit(table: TableOf) -> None:
    found = table(DECIMALS)
    assert {declared: [f"{value:f}" for value in values] for declared, values in found.items()} == DECIMALS


def test_decimals_beyond_38_digits_are_never_rounded(table: TableOf) -> None:
    texts = ["12345678901234567890123456789012345." + "1" * 30, "-" + "9" * 35 + "." + "9" * 30]
    texts += ["1.5", "0", "-0.000000000000000000000000000001", "9007199254740993"]
    for text, value in zip(texts, table({"DECIMAL(65,30)": texts})["DECIMAL(65,30)"], strict=True):
        restored = json_util.loads(value)
        number = restored.to_decimal() if hasattr(restored, "to_decimal") else Decimal(str(restored))
        assert number == Decimal(text)


def test_floats_keep_their_bits(table: TableOf) -> None:
    singles = ["0.1", "3.4e38", "-1.17549e-38", "16777217", "123456.789"]
    doubles = ["0.1", "1.7976931348623157e308", "-5e-324", "9007199254740993"]
    found = table({"FLOAT": singles, "DOUBLE": doubles})
    assert found["FLOAT"] == [struct.unpack("<f", struct.pack("<f", float(text)))[0] for text in singles]
    assert found["DOUBLE"] == [float(text) for text in doubles]


def test_dates(table: TableOf) -> None:
    texts = ["1000-01-01", "9999-12-31", "2024-02-29", "0001-01-01", "1969-12-31", "2000-02-29"]
    assert table({"DATE": [f"'{text}'" for text in texts]})["DATE"] == list(map(date.fromisoformat, texts))


def test_moments_keep_the_fraction_of_a_second(table: TableOf) -> None:
    texts = ["2026-11-23 23:59:59.987654"[: 20 + digits].rstrip(".") for digits in range(7)]
    kinds = [(f"{kind}({digits})", digits) for kind in ("DATETIME", "TIMESTAMP") for digits in range(7)]
    found = table({kind: [f"'{texts[digits]}'"] for kind, digits in kinds})
    expected = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]
    assert [moment for (moment,) in found.values()] == expected * 2  # the client's zone is UTC


def test_timestamps_are_instants_whatever_the_session_that_wrote_them(shop: Legacy) -> None:
    shop.run("CREATE TABLE t (v TIMESTAMP NULL, d DATETIME)")
    shop.run("SET time_zone = '+05:30'; INSERT INTO t VALUES ('2026-01-01 05:30:00', '2026-01-01 05:30:00')")
    row = shop.read("t").to_pylist()[0]
    assert row == {"v": datetime(2026, 1, 1, tzinfo=UTC), "d": datetime(2026, 1, 1, 5, 30, tzinfo=UTC)}


def test_times_are_what_the_server_prints(table: TableOf) -> None:
    texts = ["-838:59:59.000000", "838:59:59.000000", "00:00:00.000001", "-00:00:01.500000"]
    assert table({"TIME(6)": [f"'{text}'" for text in texts]})["TIME(6)"] == texts


ODD_DATES = ["0000-00-00", "2026-00-13", "2026-11-00", "2026-02-31", "2023-02-29", "0000-01-01"]


def test_what_is_no_date_keeps_its_text_beside_a_null(shop: Legacy) -> None:
    rows = [f"({n}, '{text}', '{text} 01:02:03.5')" for n, text in enumerate(ODD_DATES)]
    shop.run(
        "SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE t (i INT, d DATE, m DATETIME(3));"
        f"INSERT INTO t VALUES {', '.join(rows)}, (90, '2026-01-02', '2026-01-02 03:04:05'), (91, NULL, NULL)"
    )
    found = {row["i"]: row for row in shop.read("t").to_pylist()}
    for n, text in enumerate(ODD_DATES):
        assert found[n] == {"i": n, "d": None, "m": None, "d__text": text, "m__text": f"{text} 01:02:03.500"}
    good = {"d": date(2026, 1, 2), "m": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}
    assert found[90] == {"i": 90, **good, "d__text": None, "m__text": None}
    assert found[91] == dict.fromkeys(found[90]) | {"i": 91}


def test_a_zero_timestamp_is_not_1970(shop: Legacy) -> None:
    shop.run("SET sql_mode = ''; CREATE TABLE t (v TIMESTAMP NULL); INSERT INTO t VALUES (0)")
    assert shop.read("t").to_pylist() == [{"v": None, "v__text": "0000-00-00 00:00:00"}]


def test_a_table_without_odd_dates_has_no_columns_beside(shop: Legacy) -> None:
    shop.run("CREATE TABLE t (d DATE, b BIT(1)); INSERT INTO t VALUES ('2026-01-01', 1), (NULL, NULL)")
    assert shop.read("t").column_names == ["d", "b"]


def test_the_name_of_the_column_beside_is_its_own(shop: Legacy) -> None:
    shop.run("SET sql_mode = ''; CREATE TABLE t (d DATE, D__TEXT INT); INSERT INTO t VALUES (0, 1)")
    assert shop.read("t").to_pylist() == [{"d": None, "D__TEXT": 1, "d__text_": "0000-00-00"}]


def test_once_seen_the_column_beside_stays(shop: Legacy) -> None:
    shop.run(
        "SET sql_mode = ''; CREATE TABLE t (i INT PRIMARY KEY, d DATE);"
        "INSERT INTO t SELECT seq, IF(seq = 25, 0, '2026-01-01') FROM seq_1_to_60"
    )
    batches = shop.batches("t", query=Query(batch_rows=10))
    names = [batch.data.schema.names for batch in batches]
    assert names == [["i", "d"]] * 2 + [["i", "d", "d__text"]] * 4


def test_zero_dates_can_be_null(shop: Legacy) -> None:
    shop.run("SET sql_mode = ''; CREATE TABLE t (d DATE); INSERT INTO t VALUES (0)")
    assert shop.read("t", zero_dates="null").to_pylist() == [{"d": None}]


def test_zero_dates_can_be_rejected_and_are_counted(shop: Legacy) -> None:
    shop.run(
        "SET sql_mode = ''; CREATE TABLE t (i INT, d DATE); INSERT INTO t VALUES (1, 0), (2, '2026-01-01')"
    )
    batch, *others = shop.batches("t", zero_dates="reject")
    assert not others
    assert batch.data.to_pylist() == [{"i": 2, "d": date(2026, 1, 1)}]
    assert [json.loads(rejected.raw)["i"] for rejected in batch.rejected] == [1]
    assert "0000-00-00" in batch.rejected[0].reason


def test_datetimes_are_read_in_the_zone_that_the_settings_say(shop: Legacy) -> None:
    shop.run(
        "CREATE TABLE t (i INT, d DATETIME, s TIMESTAMP NULL);"
        "INSERT INTO t VALUES (1, '2026-07-01 12:00:00', '2026-07-01 12:00:00'),"
        "(2, '2026-03-29 01:30:00', NULL), (3, '2026-10-25 01:30:00', NULL)"
    )
    rows = shop.read("t", timezone="Europe/Lisbon").to_pylist()
    assert rows[0]["d"] == datetime(2026, 7, 1, 11, tzinfo=UTC)
    assert rows[0]["s"] == datetime(2026, 7, 1, 12, tzinfo=UTC)
    assert (rows[1]["d"], rows[1]["d__text"]) == (None, "2026-03-29 01:30:00")  # no clock showed it
    assert rows[2]["d"] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # twice: the first


def test_a_bit_is_a_bool(table: TableOf) -> None:
    assert table({"BIT(1)": ["b'0'", "b'1'", "NULL"]})["BIT(1)"] == [False, True, None]


def test_tinyint_as_bool_keeps_other_numbers_beside(shop: Legacy) -> None:
    shop.run("CREATE TABLE t (v BOOLEAN); INSERT INTO t VALUES (0), (1), (7), (-1), (NULL)")
    assert [row["v"] for row in shop.read("t").to_pylist()] == [0, 1, 7, -1, None]
    rows = shop.read("t", tinyint1="bool").to_pylist()
    assert [row["v"] for row in rows] == [False, True, None, None, None]
    assert [row["v__text"] for row in rows] == [None, None, "7", "-1", None]


TEXTS = {
    "utf8mb4": "héé 😀 \u4e2d",
    "utf8mb3": "\u4e2d\u6587",
    "latin1": "ÄÖ€",
    "cp1251": "Привет",
    "utf16": "😀x",
    "sjis": "日本",
    "utf8mb4 COLLATE utf8mb4_bin": "é",
}


def test_text_of_any_character_set(table: TableOf) -> None:
    given = {f"TEXT CHARACTER SET {charset}": [f"'{text}'"] for charset, text in TEXTS.items()}
    assert [found for (found,) in table(given).values()] == list(TEXTS.values())


def test_text_that_looks_like_something_else(table: TableOf) -> None:
    texts = ["", "NULL", "\\N", "'\"`", "a\tb\nc", "\\", "0", " x", "\0"]
    literals = [f"CONVERT(x'{text.encode().hex()}' USING utf8mb4)" for text in texts]
    kinds = ["CHAR(20)", "VARCHAR(20)", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT"]
    assert table(dict.fromkeys(kinds, literals)) == dict.fromkeys(kinds, texts)


def test_bytes(table: TableOf) -> None:
    given = [b"", b"\x00\xff\x80\x0a", b"abc"]
    literals = [f"x'{value.hex()}'" for value in given]
    kinds = ["VARBINARY(4)", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"]
    found = table({**dict.fromkeys(kinds, literals), "BINARY(4)": ["'ab'"]})
    assert found == {**dict.fromkeys(kinds, given), "BINARY(4)": [b"ab\0\0"]}


def test_a_large_value_passes(table: TableOf) -> None:
    assert table({"LONGBLOB": ["REPEAT('x', 9000000)"]})["LONGBLOB"] == [b"x" * 9_000_000]


def test_names_json_uuids_and_addresses(table: TableOf) -> None:
    text = '{"a": 1.10, "b": [null, 12345678901234567890123], "a": 2}'
    given = {
        "ENUM('a', 'it''s', 'ü')": ["it's", "ü"],
        "SET('x', 'y', 'z')": ["x,z", ""],
        "JSON": [text, "null"],
        "UUID": ["123e4567-e89b-12d3-a456-426655440000"],
        "INET6": ["2001:db8::1", "::ffff:192.0.2.7"],
        "INET4": ["192.0.2.7"],
    }
    literals = {
        kind: ["'" + value.replace("'", "''") + "'" for value in values] for kind, values in given.items()
    }
    assert table(literals) == given


def test_shapes_are_srid_and_wkb(table: TableOf) -> None:
    found = table({"GEOMETRY": ["ST_GeomFromText('POINT(0.1 -2)', 4326)"]})["GEOMETRY"]
    assert found == [struct.pack("<IBIdd", 4326, 1, 1, 0.1, -2.0)]


def test_nulls_of_every_type(table: TableOf) -> None:
    kinds = "TINYINT;BIGINT UNSIGNED;DECIMAL(5,2);DECIMAL(65,30);FLOAT;DOUBLE;BIT(1);BIT(9);YEAR;DATE"
    kinds += ";DATETIME(6);TIMESTAMP;TIME;CHAR(3);TEXT;BLOB;ENUM('a');SET('a');JSON;UUID;INET6;GEOMETRY"
    found = table({kind: ["NULL"] for kind in kinds.split(";")})
    assert {value for (value,) in found.values()} == {None}


def test_generated_and_invisible_columns(shop: Legacy) -> None:
    shop.run(
        "CREATE TABLE t (a INT, v INT AS (a * 2) VIRTUAL, s DECIMAL(6,2) AS (a / 4) STORED,"
        "h INT INVISIBLE DEFAULT 7);"
        "INSERT INTO t (a) VALUES (3)"
    )
    assert shop.read("t").to_pylist() == [{"a": 3, "v": 6, "s": Decimal("0.75"), "h": 7}]


def test_an_unknown_zone_is_refused(shop: Legacy) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        shop.connection(timezone="Mars/Base")


def test_types_are_the_declared_ones_though_the_table_is_empty(shop: Legacy) -> None:
    shop.run("CREATE TABLE t (a DECIMAL(12,2), b BIGINT UNSIGNED, c DATETIME(6), d DECIMAL(65,30))")
    schema = shop.read("t").schema
    assert schema.types == [
        pa.decimal128(12, 2),
        pa.decimal128(20, 0),
        pa.timestamp("us", "UTC"),
        pa.string(),
    ]
    with pytest.raises(ConfigError):
        shop.read("absent")
