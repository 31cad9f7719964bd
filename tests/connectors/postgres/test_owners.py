"""Tables whose owners have their own ideas: triggers, rules, foreign keys, settings of roles."""

from __future__ import annotations

import threading

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
