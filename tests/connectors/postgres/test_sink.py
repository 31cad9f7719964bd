"""The sink: types as other programs see them, columns, keys, writers at once, kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from levada.batches import Batch
from levada.connectors.base import Changes, Fence, Mode, Query, Table, Write, Written
from levada.errors import ConfigError, Fatal, Fenced, LevadaError
from levada.positions import Position
from levada.types.names import originals
from levada.windows import Window

from .warehouse import TABLE, Warehouse

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))


def items(*keys: int, **columns: Any) -> pa.RecordBatch:
    """Rows with a key, a time (`key` hours into the day) and constant columns."""
    arrays: dict[str, Any] = {
        "k": pa.array([f"k{key}" for key in keys]),
        "t": pa.array([DAY.start + timedelta(hours=key) for key in keys], pa.timestamp("ms", "UTC")),
    }
    for name, value in columns.items():
        scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value)
        arrays[name] = pa.array([scalar.as_py()] * len(keys), scalar.type)
    return pa.RecordBatch.from_pydict(arrays)


def test_other_programs_see_sql_types_digits_and_documents(warehouse: Warehouse) -> None:
    amount = pa.scalar(Decimal("12345678901234567890.1234"), pa.decimal128(38, 4))
    nested = pa.scalar({"city": "Funchal", "l": [1, None], "n": Decimal("1.10"), "at": DAY.start})
    warehouse.write(items(1, amount=amount, s=nested, b=b"\x00\xff", f=0.1, none=pa.scalar(None, pa.null())))
    (row,) = warehouse.plain(
        "SELECT t = '2026-11-23 01:00:00Z', amount::text, s ->> 'city', (s -> 'l' ->> 0)::int, s ->> 'n', "
        "(s ->> 'at')::timestamptz = '2026-11-23Z', b = '\\x00ff', f::text FROM {s}.items"
    )
    assert row == (True, "12345678901234567890.1234", "Funchal", 1, "1.10", True, True, "0.1")
    kinds = warehouse.plain(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = '{s}.items'::regclass AND attnum > 0"
    )
    assert dict(kinds) == {
        "k": "text",
        "t": "timestamp with time zone",
        "amount": "numeric(38,4)",
        "s": "jsonb",
        "b": "bytea",
        "f": "double precision",
    }


@pytest.mark.parametrize(
    ("stored", "new", "kind"),
    [
        (pa.scalar(1, pa.int16()), pa.scalar(2**20, pa.int32()), "integer"),
        (pa.scalar(1, pa.int32()), pa.scalar(2**40), "bigint"),
        (pa.scalar(2**31 - 1, pa.int32()), pa.scalar(1.5), "double precision"),
        (
            pa.scalar(Decimal("1.25"), pa.decimal128(20, 2)),
            pa.scalar(Decimal("1.2501"), pa.decimal128(20, 4)),
            "numeric(38,4)",
        ),
        (pa.scalar(2**62), pa.scalar(Decimal("1.5"), pa.decimal128(38, 1)), "numeric(38,1)"),
        (pa.scalar([1], pa.list_(pa.int32())), pa.scalar([2**40]), "jsonb"),
        (pa.scalar([], pa.list_(pa.null())), pa.scalar([{"a": 1}]), "jsonb"),
        (pa.scalar({"a": 1}), pa.scalar({"b": "x"}), "jsonb"),
        (pa.scalar({"a": 1}, pa.struct([("a", pa.int32())])), pa.scalar({"a": 1.5}), "jsonb"),
        (pa.scalar({}, pa.struct([])), pa.scalar({"b": "x"}), "jsonb"),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.UPSERT, Mode.REPLACE_WINDOW])
def test_columns_widen_where_no_value_changes(
    warehouse: Warehouse, mode: Mode, stored: pa.Scalar, new: pa.Scalar, kind: str
) -> None:
    warehouse.write(items(30, x=stored))
    warehouse.write(items(2, x=new), mode=mode, window=DAY if mode is Mode.REPLACE_WINDOW else None)
    found = {row["k"]: row["x"] for row in warehouse.read().to_pylist()}
    assert _without_nulls(found["k30"]) == stored.as_py()
    assert _without_nulls(found["k2"]) == new.as_py()
    sql = (
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = '{s}.items'::regclass AND attname = 'x'"
    )
    assert warehouse.plain(sql) == [(kind,)]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        (pa.scalar(2**53 + 1), pa.scalar(1.5)),
        (pa.scalar(1, pa.int32()), pa.scalar("7")),
        (pa.scalar("a"), pa.scalar(1)),
        (pa.scalar({"a": 1}), pa.scalar({"a": "x"})),
        (pa.scalar([1]), pa.scalar(["x"])),
    ],
    ids=str,
)
def test_a_change_of_values_is_refused_and_nothing_is_written(
    warehouse: Warehouse, stored: pa.Scalar, new: pa.Scalar
) -> None:
    warehouse.write(items(30, x=stored), position=Position({}, 1))
    with pytest.raises(Fatal, match="'x'"):
        warehouse.write(items(2, x=new, extra=1), position=Position({}, 2))
    assert warehouse.read().to_pylist() == items(30, x=stored).to_pylist()
    assert warehouse.connection.sink(TABLE).position("p/s") == Position({}, 1)
    warehouse.write(items(2, x=new), mode=Mode.REPLACE, position=Position({}, 2))
    assert warehouse.read()["x"].to_pylist() == [new.as_py()]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array(["ok", "a\0b"]), "NUL"),
        (pa.array([["ok"], ["a", "a\0b"]]), "NUL"),
        (pa.array([{"x": "\\u0000"}, {"x": "\0"}]), "NUL"),
        (pa.array([0, -(2**62)], pa.timestamp("us", "UTC")), "calendar"),
        (pa.array([0, 2**62], pa.timestamp("ms", "UTC")), "out of bounds"),
        (pa.array([0, -(2**30)], pa.int32()).cast(pa.date32()), "calendar"),
        (pa.array([0, 1], pa.time64("ns")), "nanoseconds"),
    ],
    ids=str,
)
def test_what_the_store_can_t_hold_is_set_aside_with_the_reason(
    warehouse: Warehouse, column: pa.Array, reason: str
) -> None:
    written = warehouse.write(pa.RecordBatch.from_pydict({"k": ["good", "bad"], "x": column}))
    assert written.rows == 1
    (rejected,) = written.rejected
    assert reason in rejected.reason
    assert b'"bad"' in rejected.raw
    assert warehouse.read()["k"].to_pylist() == ["good"]


@pytest.mark.parametrize(
    "name", ['quo"te', "it's; DROP TABLE x", "a'b", "select", "ünï", "a\nb", "self", "x" * 70]
)
@pytest.mark.parametrize("mode", list(Mode))
def test_hostile_names_are_only_names(warehouse: Warehouse, mode: Mode, name: str) -> None:
    table = Table("pg", name[:60], key=(name,), time=f"{name} at")
    batch = items(1, 30).rename_columns([name, table.time or ""])
    warehouse.write(batch, table=table, owner="seed")
    windowed = mode in (Mode.APPEND, Mode.REPLACE_WINDOW)
    sent = batch.slice(0, 1) if windowed else batch
    warehouse.write(sent, table=table, mode=mode, window=DAY if windowed else None, position=Position({}, 1))
    found = originals(warehouse.read(Query(columns=(name,)), table, window=DAY).schema).names
    assert found == [name]


def test_levadas_own_names_are_refused_and_kept_out_of_sight(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match="Levada's own"):
        warehouse.write(items(1), table=Table("pg", "_levada_positions"))
    warehouse.write(items(1), window=DAY, position=Position({}, 1))
    assert warehouse.read().schema.names == ["k", "t"]
    assert warehouse.connection.tables() == ["items"]
    assert warehouse.plain("SELECT owner, target, epoch, sequence FROM {s}._levada_positions") == [
        ("p/s", "items", 0, 1)
    ]


def test_a_table_of_another_program_keeps_its_types_defaults_grants_and_views(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TYPE {s}.mood AS ENUM ('sad', 'ok')",
        "CREATE DOMAIN {s}.pos AS int CHECK (value > 0)",
        "CREATE TABLE {s}.items (id int GENERATED ALWAYS AS IDENTITY, k text PRIMARY KEY, n numeric, "
        "m {s}.mood, ip inet, p {s}.pos, tags text[], moods {s}.mood[], j jsonb, "
        "made timestamptz DEFAULT '2026-01-01Z')",
        "CREATE VIEW {s}.seen AS SELECT k, m FROM {s}.items",
        "GRANT SELECT ON {s}.items TO public",
        "INSERT INTO {s}.items (k, m) VALUES ('k1', 'sad')",
    )
    batch = pa.RecordBatch.from_pylist(
        [
            {
                "k": "k1",
                "n": 7,
                "m": "ok",
                "ip": "10.0.0.1",
                "p": 3,
                "tags": ["x"],
                "moods": ["sad"],
                "j": {"a": [1]},
            }
        ]
    )
    batch = batch.set_column(4, "p", batch["p"].cast(pa.int32()))
    for mode in (Mode.UPSERT, Mode.REPLACE):
        warehouse.write(batch, mode=mode)
        shown = "n::text, m::text, ip::text, p::int, tags, moods::text[], made = '2026-01-01Z', j::text"
        assert warehouse.plain(f"SELECT {shown} FROM {{s}}.items") == [
            ("7", "ok", "10.0.0.1/32", 3, ["x"], ["sad"], True, '{"a": [1]}')
        ]
    assert warehouse.plain("SELECT * FROM {s}.seen") == [("k1", "ok")]
    assert warehouse.plain("SELECT has_table_privilege('public', '{s}.items', 'SELECT')") == [(True,)]
    for name, value in (("m", "zz"), ("p", -1)):
        place = batch.schema.get_field_index(name)
        bad = batch.set_column(place, name, pa.array([value], batch.schema.field(name).type))
        with pytest.raises(Fatal):
            warehouse.write(bad, mode=Mode.UPSERT)
    with pytest.raises(Fatal):
        warehouse.write(batch)  # breaks the primary key


def test_narrow_columns_of_another_program_neither_cut_nor_round(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE {s}.items (k varchar(3), n numeric(6,2))")
    with pytest.raises(Fatal, match="too long"):
        warehouse.write(pa.RecordBatch.from_pydict({"k": ["abcd"]}))
    finer = pa.RecordBatch.from_pydict({"n": pa.array([Decimal("1.005")], pa.decimal128(6, 3))})
    with pytest.raises(ConfigError, match="numeric"):
        warehouse.write(finer)
    assert warehouse.plain("SELECT * FROM {s}.items") == []


def test_a_generated_column_is_refused_by_name(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE {s}.items (a int, d int GENERATED ALWAYS AS (a * 2) STORED)")
    with pytest.raises(Fatal, match="'d'"):
        warehouse.write(pa.RecordBatch.from_pydict({"d": pa.array([1], pa.int32())}))


def test_an_upsert_makes_the_unique_index_it_needs_or_says_how(warehouse: Warehouse) -> None:
    plan = warehouse.connection.sink(TABLE).plan(Write(TABLE, Mode.UPSERT, "p/s"))
    assert any("CREATE UNIQUE INDEX" in note for note in plan.notes)
    warehouse.write(items(1, 2), mode=Mode.UPSERT)
    index = "SELECT count(*) FROM pg_index WHERE indrelid = '{s}.items'::regclass AND indisunique"
    assert warehouse.plain(index) == [(1,)]
    warehouse.write(items(2, 3), mode=Mode.UPSERT)
    assert warehouse.plain(index) == [(1,)]
    assert not warehouse.connection.sink(TABLE).plan(Write(TABLE, Mode.UPSERT, "p/s")).notes
    twins = Table("pg", "twins", key=("k",))
    warehouse.write(items(1, 1), table=twins)
    with pytest.raises(ConfigError, match="CREATE UNIQUE INDEX"):
        warehouse.write(items(1), table=twins, mode=Mode.UPSERT)
    assert warehouse.read(table=twins).num_rows == 2


def test_rows_that_are_stored_like_that_are_left_alone(warehouse: Warehouse) -> None:
    def rows(value: float) -> pa.RecordBatch:
        return items(1, 2, 3, f=value, s=pa.scalar({"a": 1}), e=pa.scalar(None, pa.string()))

    warehouse.write(rows(0.0), mode=Mode.UPSERT)
    places = warehouse.plain("SELECT ctid::text FROM {s}.items ORDER BY k")
    written = warehouse.write(rows(0.0), mode=Mode.UPSERT)
    assert (written.rows, written.unchanged) == (3, 3)
    assert warehouse.plain("SELECT ctid::text FROM {s}.items ORDER BY k") == places
    written = warehouse.write(rows(-0.0), mode=Mode.UPSERT)
    assert (written.rows, written.unchanged) == (3, 0)
    assert list(map(repr, warehouse.read()["f"].to_pylist())) == ["-0.0"] * 3


def test_changes_count_what_they_did(warehouse: Warehouse) -> None:
    def rows(*changes: tuple[str, str | None, int]) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist([{"k": k, "op": op, "v": v} for k, op, v in changes])

    how = Changes(operation="op", version="v")
    warehouse.write(
        rows(("a", None, 5), ("b", "insert", 5), ("c", "upsert", 5)), mode=Mode.UPSERT, changes=how
    )
    written = warehouse.write(
        rows(("a", "upsert", 4), ("b", "delete", 6), ("c", "update", 7), ("d", "update", 1), ("e", "no", 1)),
        mode=Mode.UPSERT,
        changes=how,
    )
    assert (written.rows, written.deleted, written.older, len(written.rejected)) == (1, 1, 1, 1)
    assert sorted(map(tuple, (row.values() for row in warehouse.read().to_pylist()))) == [("a", 5), ("c", 7)]
    for refused in (Changes(merge="deep"), Changes(merge="fields", on_null="unset")):
        with pytest.raises(ConfigError, match="MongoDB"):
            warehouse.write(rows(), mode=Mode.UPSERT, changes=refused)


def test_a_document_that_another_program_changed_is_never_dropped(warehouse: Warehouse) -> None:
    warehouse.write(items(1, 2, s=pa.scalar({"a": 1})))
    warehouse.run("""UPDATE {s}.items SET s = '{"a": 1, "new": [true]}' WHERE k = 'k2'""")
    found = {row["k"]: (row["s"], row["s__text"]) for row in warehouse.read().to_pylist()}
    assert found == {"k1": ({"a": 1}, None), "k2": (None, '{"a": 1, "new": [true]}')}


def test_writers_in_threads_all_land_one_after_the_other(warehouse: Warehouse) -> None:
    outcomes: list[object] = []

    def write(n: int) -> None:
        try:
            mode = Mode.UPSERT if n % 2 else Mode.APPEND
            batch = items(n, **{f"c{n}": n})
            outcomes.append(warehouse.write(batch, mode=mode, owner=f"p/{n}", position=Position({}, 1)))
        except LevadaError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in outcomes if not isinstance(each, Written)] == []
    assert sorted(warehouse.read()["k"].to_pylist()) == [f"k{n}" for n in range(6)]
    assert {f"c{n}" for n in range(6)} < set(warehouse.read().schema.names)


def test_of_two_writers_of_one_position_one_is_fenced(warehouse: Warehouse) -> None:
    outcomes: list[object] = []

    def write(n: int) -> None:
        try:
            outcomes.append(warehouse.write(items(n), owner="p/s", position=Position({}, 1), fence=Fence(3)))
        except Fenced as error:
            outcomes.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Written) for each in outcomes) == 1
    assert len(outcomes) == 4
    assert warehouse.read().num_rows == 1


def test_readers_see_the_old_rows_until_the_new_ones_are_committed(warehouse: Warehouse) -> None:
    warehouse.write(items(1, 2))
    reading = warehouse.connection.source(TABLE, Query(batch_rows=1)).read(None, None)
    seen = [next(iter(reading)).data.num_rows]
    warehouse.write(items(3), mode=Mode.REPLACE)
    assert sum([*seen, *(batch.data.num_rows for batch in reading)]) == 2
    assert warehouse.read()["k"].to_pylist() == ["k3"]


_VICTIM = """
import sys, pyarrow as pa
from pathlib import Path
from levada.batches import Batch
from levada.connectors.base import Mode, Table, Write
from levada.connectors.postgres import PostgresConnection, PostgresSettings

settings = PostgresSettings.model_validate({"uri": sys.argv[1], "schema": sys.argv[2]})
connection = PostgresConnection("pg", settings, Path("."))
writer = connection.sink(Table("pg", "items")).open(Write(Table("pg", "items"), Mode.APPEND, "p/s"))
rows = pa.RecordBatch.from_pydict({"k": ["x" * 1000] * 10_000})
for _ in range(60):
    writer.write(Batch(rows))
print("committing", flush=True)
writer.commit(None)
"""


def test_killed_in_the_middle_of_a_copy_leaves_nothing(warehouse: Warehouse) -> None:
    command = [sys.executable, "-c", _VICTIM, warehouse.server.uri, warehouse.schema]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=warehouse.root)
    try:
        assert victim.stdout
        victim.stdout.readline()
        copying = "SELECT count(*) FROM pg_stat_progress_copy WHERE command = 'COPY FROM'"
        _until(lambda: warehouse.plain(f"{copying} AND tuples_processed > 0") != [(0,)] or victim.poll())
        assert victim.poll() is None, "it was too fast to be killed"
        os.kill(victim.pid, signal.SIGKILL)
    finally:
        victim.kill()
        victim.wait()
        victim.stdout.close()  # type: ignore[union-attr]
    _until(lambda: warehouse.plain(copying) == [(0,)])
    assert warehouse.connection.tables() == []
    warehouse.write(items(1))
    assert warehouse.read().num_rows == 1


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_pruning_removes_what_is_older_and_is_fenced(warehouse: Warehouse) -> None:
    warehouse.write(items(1, 5, 9))
    cutoff = DAY.start + timedelta(hours=5)
    connection = warehouse.connection
    assert connection.delete_before(TABLE, "t", cutoff, Fence(2)) == 1
    assert connection.delete_before(TABLE, "t", cutoff, Fence(2)) == 0
    assert sorted(warehouse.read()["k"].to_pylist()) == ["k5", "k9"]
    with pytest.raises(Fenced):
        connection.delete_before(TABLE, "t", DAY.end, Fence(1))
    with pytest.raises(ConfigError):
        connection.delete_before(TABLE, "k", cutoff)
    assert connection.delete_before(Table("pg", "nope"), "t", cutoff) == 0


def test_200_000_rows_pass_in_bounded_memory(warehouse: Warehouse, tmp_path: Path) -> None:
    program = _VICTIM + (
        "import re\n"
        "from levada.connectors.base import Query\n"
        "rows = 0\n"
        "for batch in connection.source(Table('pg', 'items'), Query()).read(None, None):\n"
        "    rows += len(batch.data)\n"
        "assert rows == 600_000, rows\n"
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        "connection.close()\n"
        "assert peak < 560_000, peak  # 600 MB of rows\n"
    )
    command = [sys.executable, "-W", "error", "-c", program, warehouse.server.uri, warehouse.schema]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_batch_without_rows_makes_the_table(warehouse: Warehouse) -> None:
    writer = warehouse.connection.sink(TABLE).open(Write(TABLE, Mode.APPEND, "p/s"))
    writer.write(Batch(items()))
    writer.commit(None)
    assert warehouse.plain("SELECT count(*) FROM {s}.items") == [(0,)]
