"""DuckDB's own ways: types, names, locks, transactions, the catalog."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from levada.batches import Batch
from levada.connectors.base import Fence, Mode, Query, Table, Write, Written
from levada.connectors.duckdb import DuckdbConnection, DuckdbSettings
from levada.errors import ConfigError, Fatal, Fenced, LevadaError, Retriable
from levada.positions import Position
from levada.types.names import originals
from levada.windows import Window

DAY = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
TABLE = Table("warehouse", "items", key=("k",), time="t")


class Warehouse:
    """A database file, and short ways to write and read it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        given = DuckdbSettings.model_validate({"path": "warehouse.duckdb", **settings})
        self.connection = DuckdbConnection("warehouse", given, folder)

    def write(
        self,
        *batches: pa.RecordBatch,
        mode: Mode = Mode.APPEND,
        position: Position | None = None,
        table: Table = TABLE,
        owner: str = "p/s",
        window: Window | None = None,
        fence: Fence | None = None,
    ) -> Written:
        writer = self.connection.sink(table).open(Write(table, mode, owner, (), window, fence))
        for batch in batches:
            writer.write(Batch(batch))
        return writer.commit(position)

    def read(
        self, query: Query | None = None, table: Table = TABLE, window: Window | None = None
    ) -> pa.Table:
        batches = self.connection.source(table, query or Query()).read(window, None)
        return pa.Table.from_batches([batch.data for batch in batches])

    def plain(self, sql: str) -> list[Any]:
        """What another program sees, once the database is closed here."""
        self.connection.close()
        with duckdb.connect(str(self.folder / "warehouse.duckdb")) as connection:
            connection.execute("SET TimeZone = 'UTC'").fetchall()
            return connection.execute(sql).fetchall()


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    opened = Warehouse(tmp_path)
    yield opened
    opened.connection.close()


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


def test_opening_a_connection_touches_nothing(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    warehouse.connection.source(TABLE, Query())
    warehouse.connection.sink(TABLE)
    warehouse.connection.close()
    assert list(tmp_path.iterdir()) == []


def test_settings_are_checked_and_frozen() -> None:
    with pytest.raises(ValueError, match="memory_limit"):
        DuckdbSettings(memory_limit="lots")
    with pytest.raises(ValueError, match="extra"):
        DuckdbSettings.model_validate({"pathh": "x"})
    with pytest.raises(ValueError, match="frozen"):
        DuckdbSettings().path = "x"  # type: ignore[misc]


def test_settings_reach_the_database_and_no_extension_is_fetched(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path, memory_limit="256MB", threads=1)
    with warehouse.connection._database.cursor() as cursor:
        names = ("threads", "TimeZone", "autoinstall_known_extensions", "autoload_known_extensions")
        values = [
            cursor.execute(f"SELECT current_setting('{name}')::VARCHAR").fetchall()[0][0] for name in names
        ]
    assert values == ["1", "UTC", "false", "false"]
    warehouse.connection.close()


def test_a_database_in_memory_lasts_as_long_as_its_connection(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path, path=":memory:")
    warehouse.write(items(1))
    assert warehouse.read().num_rows == 1
    warehouse.connection.close()
    assert warehouse.connection.tables() == []
    assert list(tmp_path.iterdir()) == []


def test_other_programs_see_sql_types_digits_and_nested_values(warehouse: Warehouse) -> None:
    amount = pa.scalar(Decimal("12345678901234567890.1234"), pa.decimal128(38, 4))
    warehouse.write(items(1, amount=amount, s=pa.scalar({"city": "Funchal", "l": [1, 2]}), b=b"\x00\xff"))
    (row,) = warehouse.plain(
        "SELECT t = TIMESTAMPTZ '2026-11-23 01:00:00Z', amount::VARCHAR, s.city, s.l, b FROM items"
    )
    assert row == (True, "12345678901234567890.1234", "Funchal", [1, 2], b"\x00\xff")
    kinds = warehouse.plain("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'items'")
    assert dict(kinds) == {
        "k": "VARCHAR",
        "t": "TIMESTAMP WITH TIME ZONE",
        "amount": "DECIMAL(38,4)",
        "s": "STRUCT(city VARCHAR, l BIGINT[])",
        "b": "BLOB",
    }


def test_types_and_bson_labels_come_back(warehouse: Warehouse) -> None:
    def labelled(name: str, kind: pa.DataType, label: str) -> pa.Field:
        return pa.field(name, kind, metadata={b"levada.bson": label.encode()})

    schema = pa.schema(
        [
            labelled("_id", pa.string(), "objectId"),
            pa.field("ids", pa.list_(labelled("item", pa.string(), "objectId"))),
            pa.field(
                "s", pa.struct([labelled("at", pa.timestamp("ms", "UTC"), "date"), ("e", pa.struct([]))])
            ),
            pa.field("none", pa.null()),
            pa.field("nones", pa.list_(pa.null())),
        ],
        metadata={b"levada.mode": b"typed"},
    )
    row = {"_id": "0" * 24, "ids": ["1" * 24], "s": {"at": DAY.start, "e": {}}, "none": None, "nones": [None]}
    batch = pa.RecordBatch.from_pylist([row, dict.fromkeys(schema.names)], schema)
    warehouse.write(batch)
    found = warehouse.read()
    assert found.schema.equals(schema, check_metadata=True)
    assert found.to_pylist() == batch.to_pylist()


@pytest.mark.parametrize(
    ("stored", "new", "kind"),
    [
        (pa.scalar(1, pa.int32()), pa.scalar(2**40), "BIGINT"),
        (pa.scalar(2**31 - 1, pa.int32()), pa.scalar(1.5), "DOUBLE"),
        (
            pa.scalar(Decimal("1.25"), pa.decimal128(20, 2)),
            pa.scalar(Decimal("1.2501"), pa.decimal128(20, 4)),
            "DECIMAL(38,4)",
        ),
        (pa.scalar([1], pa.list_(pa.int32())), pa.scalar([2**40]), "BIGINT[]"),
        (pa.scalar([], pa.list_(pa.null())), pa.scalar([{"a": 1}]), "STRUCT(a BIGINT)[]"),
        (pa.scalar({"a": 1}), pa.scalar({"b": "x"}), "STRUCT(a BIGINT, b VARCHAR)"),
        (pa.scalar([{"a": 1}]), pa.scalar([{"b": [1.5]}]), "STRUCT(a BIGINT, b DOUBLE[])[]"),
        (pa.scalar({}, pa.struct([])), pa.scalar({"b": "x"}), "STRUCT(_levada_empty BOOLEAN, b VARCHAR)"),
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
    sql = "SELECT data_type FROM duckdb_columns() WHERE table_name = 'items' AND column_name = 'x'"
    assert warehouse.plain(sql) == [(kind,)]


@pytest.mark.parametrize(
    ("stored", "new"),
    [
        (pa.scalar(2**53 + 1), pa.scalar(1.5)),
        (pa.scalar(1, pa.int32()), pa.scalar("7")),
        (pa.scalar(True), pa.scalar("yes")),
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


def test_times_beyond_the_store_are_set_aside_and_never_wrapped(warehouse: Warehouse) -> None:
    times = pa.array([0, 2**62, (2**63 - 1) // 1000], pa.timestamp("ms", "UTC"))
    written = warehouse.write(pa.RecordBatch.from_pydict({"x": times}))
    assert (written.rows, len(written.rejected)) == (2, 1)
    assert warehouse.read()["x"].cast(pa.int64()).to_pylist() == [0, (2**63 - 1) // 1000]


@pytest.mark.parametrize(
    "name", ['quo"te', "it's; DROP TABLE x", "a.b", "select", "ünï", "", "a\nb", "self", "cursor"]
)
@pytest.mark.parametrize("mode", list(Mode))
def test_hostile_names_are_only_names(warehouse: Warehouse, mode: Mode, name: str) -> None:
    column = name or "empty"
    table = Table("warehouse", name or "items", key=(column,), time=f"{column} at")
    batch = items(1, 30).rename_columns([column, table.time or ""])
    warehouse.write(batch, table=table, owner="seed")
    windowed = mode in (Mode.APPEND, Mode.REPLACE_WINDOW)
    sent = batch.slice(0, 1) if windowed else batch
    warehouse.write(sent, table=table, mode=mode, window=DAY if windowed else None, position=Position({}, 1))
    found = warehouse.read(Query(columns=(column,)), table, DAY)[column].to_pylist()
    assert found == ["k1", "k1"] if mode is Mode.APPEND else ["k1"]


def test_levadas_own_names_are_refused(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match="Levada's own"):
        warehouse.write(items(1), table=Table("warehouse", "_levada_positions"))


def test_a_column_named_like_levadas_own_is_kept_under_another_name(warehouse: Warehouse) -> None:
    warehouse.write(items(1, _levada_rows="me"))
    assert warehouse.plain("SELECT _x005f_levada_rows FROM items") == [("me",)]


def test_tags_of_another_write_are_left_behind(warehouse: Warehouse) -> None:
    warehouse.write(items(1, _levada_owner="they", _levada_window="theirs"))
    warehouse.write(items(2, _levada_window="theirs"), window=DAY)
    warehouse.write(items(3), window=DAY)
    assert warehouse.plain("SELECT k, _levada_owner FROM items ORDER BY k") == [("k1", None), ("k3", "p/s")]


def test_names_that_differ_by_case_only_are_told_apart(warehouse: Warehouse) -> None:
    warehouse.write(items(1, name="a"))
    warehouse.write(items(2, Name="b"))
    assert originals(warehouse.read().schema).names == ["k", "t", "name", "Name"]
    assert warehouse.plain("SELECT name FROM items ORDER BY k") == [("a",), (None,)]


def test_run_tags_and_catalog_stay_out_of_sight(warehouse: Warehouse) -> None:
    warehouse.write(items(1), window=DAY, position=Position({}, 1))
    assert warehouse.read().schema.names == ["k", "t"]
    assert warehouse.connection.tables() == ["items"]
    assert warehouse.plain("SELECT owner, target, epoch, sequence FROM _levada_positions") == [
        ("p/s", "items", 0, 1)
    ]


def test_a_table_made_by_another_program_is_read_and_appended_to(warehouse: Warehouse) -> None:
    warehouse.plain(
        "CREATE TABLE items (k VARCHAR PRIMARY KEY, t TIMESTAMPTZ, n UINTEGER, e ENUM ('a', 'b'))"
    )
    warehouse.plain("INSERT INTO items VALUES ('k1', '2026-11-23T01:00:00Z', 7, 'a')")
    warehouse.write(items(1, n=8, e="b"), mode=Mode.UPSERT)
    warehouse.write(items(2, n=9, e="a"))
    assert warehouse.plain("SELECT k, n, e FROM items ORDER BY k") == [("k1", 8, "b"), ("k2", 9, "a")]
    with pytest.raises(Fatal):
        warehouse.write(items(3, n=-1, e="a"))
    with pytest.raises(Fatal):
        warehouse.write(items(2, n=1, e="a"))  # breaks the primary key
    assert warehouse.read().num_rows == 2


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE, Mode.UPSERT])
def test_conditions_find_every_row_of_a_large_first_write_at_once(warehouse: Warehouse, mode: Mode) -> None:
    """Rows inserted into a table made from no rows in the same transaction were invisible to conditions."""
    rows = pa.RecordBatch.from_pydict(
        {"k": pa.array(range(250_000)), "n": pa.array([1] * 250_000, pa.int32())}
    )
    if mode is Mode.REPLACE:
        warehouse.write(items(1))
    warehouse.write(rows, mode=mode)
    assert warehouse.read(Query(where="k >= 249900")).num_rows == 100
    assert warehouse.write(rows.slice(0, 200_000), mode=Mode.UPSERT).rows == 200_000
    assert warehouse.read(Query(where="n = 1")).num_rows == 250_000


def test_a_view_can_be_read_and_another_schema_used(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.write(items(1, 30))
    warehouse.plain("CREATE VIEW latest AS SELECT * FROM items WHERE k = 'k30'")
    assert warehouse.read(table=Table("warehouse", "latest"))["k"].to_pylist() == ["k30"]
    warehouse.connection.close()
    marts = Warehouse(tmp_path, schema="data marts")
    marts.write(items(5), position=Position({}, 1))
    assert marts.connection.sink(TABLE).position("p/s") == Position({}, 1)
    assert marts.plain('SELECT k FROM "data marts".items') == [("k5",)]


def test_an_unknown_table_column_or_condition_is_a_configuration_error(warehouse: Warehouse) -> None:
    with pytest.raises(ConfigError, match="no table 'items'"):
        warehouse.read()
    warehouse.write(items(1))
    for query in (
        Query(columns=("nope",)),
        Query(where="nope = 1"),
        Query(where="k ="),
        Query(filter={"k": 1}),
    ):
        with pytest.raises(ConfigError):
            warehouse.read(query)


def test_writers_in_threads_all_land(warehouse: Warehouse) -> None:
    warehouse.write(items(99), owner="seed")
    outcomes: list[object] = []

    def write(n: int) -> None:
        try:
            outcomes.append(
                warehouse.write(items(n, **{f"c{n}": n}), owner=f"p/{n}", position=Position({}, 1))
            )
        except LevadaError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each for each in outcomes if not isinstance(each, Written)] == []
    assert sorted(warehouse.read()["k"].to_pylist()) == ["k0", "k1", "k2", "k3", "k4", "k99"]


@pytest.mark.parametrize("first", [True, False])
def test_of_threads_racing_with_one_sequence_exactly_one_lands(warehouse: Warehouse, first: bool) -> None:
    if not first:
        warehouse.write(items(99), position=Position({}, 1))
    barrier = threading.Barrier(4)
    outcomes: dict[int, object] = {}

    def write(n: int) -> None:
        barrier.wait()
        try:
            outcomes[n] = warehouse.write(items(n), position=Position({"": n}, 2))
        except LevadaError as error:
            outcomes[n] = error

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (landed,) = [n for n, each in outcomes.items() if isinstance(each, Written)]
    assert all(isinstance(each, Fenced) for n, each in outcomes.items() if n != landed), outcomes
    assert warehouse.connection.sink(TABLE).position("p/s") == Position({"": landed}, 2)
    assert [k for k in warehouse.read()["k"].to_pylist() if k != "k99"] == [f"k{landed}"]


def test_a_reader_goes_on_while_a_writer_replaces(warehouse: Warehouse) -> None:
    warehouse.write(items(*range(5000)))
    reader = warehouse.connection.source(TABLE, Query(batch_rows=100)).read(None, None)
    first = next(reader)
    warehouse.write(items(1), mode=Mode.REPLACE)
    assert first.data.num_rows + sum(batch.data.num_rows for batch in reader) == 5000
    assert warehouse.read().num_rows == 1


def test_a_database_that_another_process_holds_names_it(warehouse: Warehouse) -> None:
    warehouse.write(items(1))
    warehouse.connection.close()
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(warehouse.folder / "warehouse.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(Retriable, match=f"process {holder.pid} "):
            warehouse.read()
        finding = warehouse.connection.diagnose()[-1]
        assert not finding.ok
        assert finding.hint
        holder.communicate("")
    assert warehouse.read().num_rows == 1


def test_a_file_that_is_no_database_and_a_folder_that_can_not_be_made_are_fatal(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_text("no database" * 1000)
    with pytest.raises(Fatal):
        Warehouse(tmp_path).read()
    with pytest.raises(Fatal):
        Warehouse(tmp_path, path="warehouse.duckdb/below/x.duckdb").write(items(1))


def test_pruning_removes_older_rows_and_keeps_timeless_ones(warehouse: Warehouse) -> None:
    warehouse.write(items(0, 1, 30), items(9).set_column(1, "t", pa.nulls(1, pa.timestamp("ms", "UTC"))))
    prune = warehouse.connection.delete_before
    assert prune(TABLE, "t", DAY.start + timedelta(hours=1)) == 1
    assert prune(TABLE, "t", DAY.end, Fence(5)) == 1
    with pytest.raises(Fenced):
        prune(TABLE, "t", DAY.end + timedelta(9), Fence(4))
    with pytest.raises(ConfigError):
        prune(TABLE, "k", DAY.end)
    assert prune(Table("warehouse", "nope"), "t", DAY.end) == 0
    assert sorted(warehouse.read()["k"].to_pylist()) == ["k30", "k9"]


def test_needs_neither_pandas_nor_pytz(tmp_path: Path) -> None:
    code = """
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pandas", "pytz", "polars"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from datetime import UTC, datetime
from pathlib import Path
import pyarrow as pa
from levada.batches import Batch
from levada.connectors.base import Mode, Query, Table, Write
from levada.connectors.duckdb import DuckdbConnection, DuckdbSettings
from levada.positions import Position
db = DuckdbConnection("w", DuckdbSettings(path="w.duckdb"), Path(sys.argv[1]))
table = Table("w", "items", key=("t",), time="t")
times = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("ms", "UTC"))
writer = db.sink(table).open(Write(table, Mode.UPSERT, "p/s"))
writer.write(Batch(pa.RecordBatch.from_pydict({"t": times})))
writer.commit(Position({}, 1))
assert [b.data.column(0) for b in db.source(table, Query()).read(None, None)] == [times]
assert db.sink(table).position("p/s") == Position({}, 1)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "TZ": "America/St_Johns"},
    )
    assert (done.returncode, done.stderr) == (0, "")


def _without_nulls(value: Any) -> Any:
    """A nested value without the fields that growing added."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
