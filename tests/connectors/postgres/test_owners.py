"""Tables whose owners have their own ideas: triggers, rules, foreign keys, settings of roles."""

from __future__ import annotations

import threading
from decimal import Decimal

import pyarrow as pa
import pytest

from levada.connectors.base import Changes, Mode, Query, Write
from levada.errors import ConfigError
from levada.positions import Position

from .test_moments import other, wait_until_blocked
from .test_sink import DAY, items
from .warehouse import TABLE, Warehouse

KEEP_OUT = "BEGIN IF NEW.v = 2 THEN RETURN NULL; END IF; RETURN NEW; END"
ROWS = pa.RecordBatch.from_pydict({"k": ["a", "b", "c"], "v": pa.array([1, 2, 3], pa.int32())})


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE, Mode.UPSERT])
@pytest.mark.parametrize("type_of_v", ["int", "text"])
def test_rows_that_a_trigger_keeps_out_are_not_counted(
    warehouse: Warehouse, mode: Mode, type_of_v: str
) -> None:
    condition = KEEP_OUT.replace("= 2", "= '2'") if type_of_v == "text" else KEEP_OUT
    warehouse.run(
        f"CREATE TABLE {{s}}.items (k text PRIMARY KEY, v {type_of_v})",
        f"CREATE FUNCTION {{s}}.screen() RETURNS trigger LANGUAGE plpgsql AS $${condition}$$",
        "CREATE TRIGGER t BEFORE INSERT ON {s}.items FOR EACH ROW EXECUTE FUNCTION {s}.screen()",
    )
    rows = ROWS.set_column(1, "v", ROWS.column("v").cast(pa.string())) if type_of_v == "text" else ROWS
    written = warehouse.write(rows, mode=mode)
    assert warehouse.plain("SELECT k FROM {s}.items ORDER BY k") == [("a",), ("c",)]
    assert (written.rows, written.unchanged) == (2, 0)


@pytest.mark.parametrize("changes", [Changes(), Changes(merge="fields")])
def test_rows_that_a_rule_keeps_out_of_an_upsert_are_not_counted(
    warehouse: Warehouse, changes: Changes
) -> None:
    warehouse.run(
        "CREATE TABLE {s}.items (k text PRIMARY KEY, v int)",
        "INSERT INTO {s}.items VALUES ('a', 1), ('b', 0)",
        "CREATE RULE r AS ON INSERT TO {s}.items DO INSTEAD NOTHING",
    )
    written = warehouse.write(ROWS, mode=Mode.UPSERT, changes=changes)
    assert (written.rows, written.unchanged) == (2, 1)
    assert warehouse.plain("SELECT k, v FROM {s}.items ORDER BY k") == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
@pytest.mark.parametrize("mode", [Mode.REPLACE, Mode.REPLACE_WINDOW])
def test_a_replacement_takes_no_rows_of_other_tables_along(
    warehouse: Warehouse, action: str, mode: Mode
) -> None:
    warehouse.write(items(1, 2), mode=Mode.UPSERT)
    warehouse.run(
        f"CREATE TABLE {{s}}.lines (n int, k text REFERENCES {{s}}.items (k) ON DELETE {action})",
        "INSERT INTO {s}.lines VALUES (1, 'k1'), (2, 'k2')",
    )
    window = DAY if mode is Mode.REPLACE_WINDOW else None
    plan = warehouse.connection.sink(TABLE).plan(Write(TABLE, mode, "p/s", window=window))
    assert "lines" in " ".join(plan.notes)
    with pytest.raises(ConfigError, match=r"lines_k_fkey of .*lines"):
        warehouse.write(items(1, 2), mode=mode, window=window)
    assert warehouse.plain("SELECT n, k FROM {s}.lines ORDER BY n") == [(1, "k1"), (2, "k2")]
    assert warehouse.write(items(1, 2, 3), mode=Mode.UPSERT).rows == 3


def test_a_plain_foreign_key_is_the_servers_business(warehouse: Warehouse) -> None:
    warehouse.write(items(1, 2), mode=Mode.UPSERT)
    warehouse.run("CREATE TABLE {s}.lines (k text REFERENCES {s}.items (k) DEFERRABLE INITIALLY DEFERRED)")
    warehouse.run("INSERT INTO {s}.lines VALUES ('k1')")
    assert warehouse.write(items(1, 5), mode=Mode.REPLACE).rows == 2


def test_a_write_sees_what_was_committed_before_it_whatever_the_roles_isolation(warehouse: Warehouse) -> None:
    role = f"{warehouse.schema}_role"
    warehouse.run(
        f"CREATE ROLE {role} LOGIN SUPERUSER",
        f"ALTER ROLE {role} SET default_transaction_isolation = 'repeatable read'",
        f"ALTER ROLE {role} SET timezone = 'Asia/Kathmandu'",
    )
    uri = warehouse.server.uri.replace("postgres@", f"{role}@")
    late = Warehouse(warehouse.server, warehouse.schema, warehouse.root, uri=uri)
    try:
        late.write(items(1), mode=Mode.REPLACE)
        writer = threading.Thread(target=lambda: late.write(items(2), mode=Mode.REPLACE))
        with other(warehouse) as run:
            run("BEGIN")
            run("SELECT pg_advisory_xact_lock(hashtextextended('levada:{s}.items', 0))")
            writer.start()
            wait_until_blocked(warehouse)
            run("INSERT INTO {s}.items (k) VALUES ('another')")
            run("COMMIT")
            writer.join(30)
        assert warehouse.plain("SELECT k, t = '2026-11-23 02:00Z' FROM {s}.items") == [("k2", True)]
        assert late.read(Query())["t"].to_pylist() == items(2)["t"].to_pylist()
    finally:
        late.connection.close()
        warehouse.run(f"REASSIGN OWNED BY {role} TO postgres", f"DROP ROLE {role}")


def test_the_last_day_of_postgres_is_no_watermark(warehouse: Warehouse) -> None:
    warehouse.run(
        "CREATE TABLE {s}.items (k text, t date)",
        "INSERT INTO {s}.items VALUES ('a', '5874897-12-31'), ('b', '2026-01-01'), ('c', 'infinity')",
    )
    assert warehouse.batches()[-1].position == Position({"": "2026-01-01"})


TYPE_OF_V = (
    "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
    "WHERE attrelid = '{s}.items'::regclass AND attname = 'v'"
)


def one(value: pa.Scalar) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"k": ["z"], "v": pa.array([value.as_py()], value.type)})


@pytest.mark.parametrize("written_before", [False, True])
@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.REPLACE, Mode.UPSERT])
@pytest.mark.parametrize(
    ("made", "fits", "wider"),
    [
        ("integer", pa.scalar(1, pa.int32()), pa.scalar(2**40)),
        ("integer", pa.scalar(1, pa.int32()), pa.scalar(1.5)),
        ("smallint", pa.scalar(1, pa.int16()), pa.scalar(2**20, pa.int32())),
        (
            "numeric(10,2)",
            pa.scalar(Decimal("1.25"), pa.decimal128(10, 2)),
            pa.scalar(Decimal("1.255"), pa.decimal128(10, 3)),
        ),
    ],
    ids=str,
)
def test_a_column_of_another_program_is_never_widened_and_its_owner_is_told_how(
    warehouse: Warehouse, made: str, fits: pa.Scalar, wider: pa.Scalar, mode: Mode, written_before: bool
) -> None:
    warehouse.run(
        f"CREATE TABLE {{s}}.items (k text PRIMARY KEY, v {made})", "INSERT INTO {s}.items VALUES ('a', 1)"
    )
    if written_before:  # by Levada, rows that fit: that makes the column none of its own
        warehouse.write(one(fits), mode=Mode.UPSERT)
    before = warehouse.plain("SELECT k, v::text FROM {s}.items ORDER BY k")
    with pytest.raises(ConfigError, match="'v'") as caught:
        warehouse.write(one(wider), mode=mode, position=Position({}, 1))
    assert warehouse.plain(TYPE_OF_V) == [(made,)]
    assert warehouse.plain("SELECT k, v::text FROM {s}.items ORDER BY k") == before
    assert warehouse.connection.sink(TABLE).position("p/s") is None
    command = (caught.value.hint or "").partition("run: ")[2]
    assert command.startswith("ALTER TABLE")
    warehouse.run(command, "DELETE FROM {s}.items WHERE k = 'z'")
    warehouse.write(one(wider), mode=mode, position=Position({}, 1))
    assert warehouse.plain(f"SELECT v = {wider.as_py()} FROM {{s}}.items WHERE k = 'z'") == [(True,)]


def test_a_column_that_its_owner_has_given_another_type_keeps_it(warehouse: Warehouse) -> None:
    warehouse.write(one(pa.scalar(2**40)), mode=Mode.REPLACE)
    warehouse.run("UPDATE {s}.items SET v = 1", "ALTER TABLE {s}.items ALTER COLUMN v TYPE integer")
    with pytest.raises(ConfigError, match="as another program made it"):
        warehouse.write(one(pa.scalar(2**40)))
    assert warehouse.plain(TYPE_OF_V) == [("integer",)]


def test_columns_that_levada_adds_to_a_table_of_another_program_widen(warehouse: Warehouse) -> None:
    warehouse.run("CREATE TABLE {s}.items (k text PRIMARY KEY)")
    warehouse.write(one(pa.scalar(1, pa.int32())), mode=Mode.UPSERT)
    warehouse.write(one(pa.scalar(2**40)), mode=Mode.UPSERT)
    assert warehouse.plain(TYPE_OF_V) == [("bigint",)]


def test_a_column_that_rows_had_and_have_again_is_still_levadas(warehouse: Warehouse) -> None:
    warehouse.write(one(pa.scalar(1, pa.int32())))
    warehouse.write(pa.RecordBatch.from_pydict({"k": ["b"]}), mode=Mode.REPLACE)
    warehouse.write(one(pa.scalar(2**40)))
    assert warehouse.plain(TYPE_OF_V) == [("bigint",)]


def test_what_says_whose_a_column_is_goes_nowhere_with_its_rows(warehouse: Warehouse) -> None:
    warehouse.write(one(pa.scalar(1)))
    assert b"levada.made" not in (warehouse.read().schema.metadata or {})


def test_tables_from_before_there_was_that_mark_widen_as_they_did(warehouse: Warehouse) -> None:
    warehouse.write(one(pa.scalar(1, pa.int32())))
    ((kept,),) = warehouse.plain("SELECT logical FROM {s}._levada_tables")
    plain = pa.ipc.read_schema(pa.py_buffer(kept)).remove_metadata().serialize().to_pybytes().hex()
    warehouse.run(f"UPDATE {{s}}._levada_tables SET logical = '\\x{plain}'")
    warehouse.write(one(pa.scalar(2**40)))
    assert warehouse.plain(TYPE_OF_V) == [("bigint",)]


@pytest.mark.parametrize("mode", [Mode.UPSERT, Mode.REPLACE])
def test_what_a_column_of_another_program_took_it_takes_again(warehouse: Warehouse, mode: Mode) -> None:
    warehouse.run("CREATE TABLE {s}.items (k text PRIMARY KEY, v text)")
    identity = pa.field("v", pa.string(), metadata={"levada.bson": "objectId"})
    rows = pa.RecordBatch.from_arrays(
        [["z"], ["0123456789abcdef01234567"]], schema=pa.schema([("k", pa.string()), identity])
    )
    for _ in range(2):
        assert warehouse.write(rows, mode=mode).rows == 1
    assert warehouse.plain("SELECT k, v FROM {s}.items") == [("z", "0123456789abcdef01234567")]
