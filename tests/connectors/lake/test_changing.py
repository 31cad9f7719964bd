"""Keyed changes where Delta tables have more than rows: days, side columns, new fields, keys stored twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from levada.batches import Batch
from levada.connectors.base import Changes, Mode, Write, Written

from .conftest import DAY, Lake, items

FIELDS = Changes(merge="fields", on_null="keep")
DOCUMENT = pa.struct([("x", pa.int32())])
WIDER = pa.struct([("x", pa.int32()), ("y", pa.string())])


def change(lake: Lake, changes: Changes, *batches: pa.RecordBatch) -> Written:
    writer = lake.connection.sink(lake.table).open(Write(lake.table, Mode.UPSERT, "p/s", changes=changes))
    for batch in batches:
        writer.write(Batch(batch))
    return writer.commit(None)


def rows(*rows: dict[str, Any], **types: pa.DataType) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), pa.schema([("k", pa.string()), *types.items()]))


def by_day(lake: Lake) -> Lake:
    lake.table = replace(lake.table, partition_by=("day(t)",))
    return lake


def days(lake: Lake) -> list[tuple[str, str]]:
    found = pa.table(lake.delta().scan(columns=["k", "day"])).to_pylist()
    return sorted((row["k"], str(row["day"])) for row in found)


@pytest.mark.parametrize("twice", [False, True])
def test_a_day_goes_with_its_time(lake: Lake, twice: bool) -> None:
    by_day(lake).write(items(1, 2, 3, n=1))
    instant = pa.timestamp("ms", "UTC")
    news = rows({"k": "k1", "t": None}, {"k": "k2", "t": DAY.end + timedelta(hours=1)}, t=instant)
    change(lake, FIELDS, *([news] * (2 if twice else 1)))
    assert days(lake) == [("k1", "2026-11-23"), ("k2", "2026-11-24"), ("k3", "2026-11-23")]
    assert lake.rows("k", "n") == [("k1", 1), ("k2", 1), ("k3", 1)]


def test_a_column_that_the_rows_lack_keeps_its_day(lake: Lake) -> None:
    by_day(lake).write(items(1, n=1))
    change(lake, Changes(merge="fields"), rows({"k": "k1", "n": 7}, n=pa.int64()))
    assert days(lake) == [("k1", "2026-11-23")]
    assert lake.rows("k", "n", "t") == [("k1", 7, DAY.start + timedelta(hours=1))]


def test_a_value_and_its_side_column_are_one(make_lake: Callable[..., Lake]) -> None:
    lake = make_lake(on_type_change="variant")
    lake.write(items(1, 2, n=1))
    change(lake, FIELDS, rows({"k": "k1", "n": "text"}, n=pa.string()))
    assert [row[1:] for row in lake.rows("k", "n", "n__variant")] == [(None, '"text"'), (1, None)]
    change(lake, FIELDS, rows({"k": "k1", "n": 5}, {"k": "k2", "n": None}, n=pa.int64()))
    assert [row[1:] for row in lake.rows("k", "n", "n__variant")] == [(5, None), (1, None)]


def test_a_rewritten_table_is_changed_too(make_lake: Callable[..., Lake]) -> None:
    lake = make_lake(on_type_change="rewrite")
    lake.write(items(1, 2, 3, n=pa.scalar(1, pa.int32())))
    news = rows(
        {"k": "k1", "n": None, "op": "delete"},
        {"k": "k2", "n": 0.5, "op": None},
        n=pa.float64(),
        op=pa.string(),
    )
    written = change(lake, Changes("op"), news)
    assert lake.rows("k", "n") == [("k2", 0.5), ("k3", 1.0)]
    assert (written.rows, written.deleted) == (1, 1)


def test_documents_that_get_new_fields_are_kept_or_set_whole(lake: Lake) -> None:
    lake.write(rows({"k": "k1", "d": {"x": 1}}, {"k": "k2", "d": {"x": 2}}, d=DOCUMENT))
    change(lake, FIELDS, rows({"k": "k1", "d": None}, {"k": "k2", "d": {"x": None, "y": "new"}}, d=WIDER))
    assert lake.rows("k", "d") == [("k1", {"x": 1, "y": None}), ("k2", {"x": None, "y": "new"})]


def test_new_columns_come_with_conditions(lake: Lake) -> None:
    lake.write(rows({"k": "k1", "v": 5}, {"k": "k2", "v": 1}, v=pa.int64()))
    news = rows(
        {"k": "k1", "v": 4, "n": "older"}, {"k": "k2", "v": 2, "n": "newer"}, v=pa.int64(), n=pa.string()
    )
    written = change(lake, Changes(version="v"), news)
    assert lake.rows("k", "v", "n") == [("k1", 5, None), ("k2", 2, "newer")]
    assert (written.rows, written.older) == (1, 1)


def test_rows_that_share_a_key_are_changed_alike_and_stay_apart(lake: Lake) -> None:
    lake.write(rows({"k": "k1", "n": 1, "m": 1}, {"k": "k1", "n": 2, "m": 2}, n=pa.int64(), m=pa.int64()))
    several = [rows({"k": "k1", "n": n}, n=pa.int64()) for n in (8, 9)]
    change(lake, FIELDS, *several)
    assert lake.rows("k", "n", "m") == [("k1", 9, 1), ("k1", 9, 2)]


def test_changes_of_a_table_without_the_key_are_its_first_rows(lake: Lake) -> None:
    lake.write(pa.RecordBatch.from_pydict({"n": [1]}))
    news = rows(
        {"k": "k1", "n": 2, "op": "insert"}, {"k": "k2", "n": 3, "op": "update"}, n=pa.int64(), op=pa.string()
    )
    change(lake, Changes("op"), news)
    assert lake.rows("k", "n") == [("k1", 2), (None, 1)]


@pytest.mark.parametrize(
    "changes",
    [
        Changes(),
        Changes(operation="o", version="n"),
        Changes(merge="fields", version="n"),
        Changes(merge="fields", on_null="keep"),
    ],
)
def test_no_database_that_helps_is_without_a_limit_to_its_memory(
    lake: Lake, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, str]] = []
    connect = duckdb.connect

    def watched(*given: Any, **named: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(*given, **named)
        limits = "select current_setting('memory_limit'), current_setting('temp_directory')"
        opened.extend(connection.execute(limits).fetchall())
        return connection

    lake.write(items(1, 2, 3, n=2))
    monkeypatch.setattr(duckdb, "connect", watched)
    news = [{"k": f"k{k}", "n": k, "o": o} for k, o in ((1, "delete"), (1, "insert"), (2, "upsert"))]
    change(lake, changes, rows(*news, n=pa.int64(), o=pa.string()))
    assert opened
    for memory, folder in opened:
        assert memory == "488.2 MiB"  # 512 MB
        assert not folder.startswith(".")  # which is what DuckDB takes by itself
