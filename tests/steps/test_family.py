"""Tables and the child tables of their arrays, out of MongoDB, also after being killed on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from pydantic import ValidationError
from pymongo import MongoClient

import levada
from levada.errors import ConfigError
from levada.project import Project
from levada.steps.copy import CopySettings, CopyStep
from levada.steps.family import child_address
from levada.types import kind_of

from .conftest import Clock, Make

Row = dict[str, Any]
START = datetime(2026, 11, 22, tzinfo=UTC)
TABLES = """{
  db.orders: {key: [_id], time: at},
  lake.orders: {key: [_id], time: at, partition_by: ["day(at)"]},
  wh.orders: {key: [_id], time: at},
}"""
EXPLODE = "explode: [items, items.taxes, shipping.parcels]"


def order(n: int) -> Row:
    """Three days of orders, one an hour; each has another number of items, some have none at all."""
    items = [
        {"sku": f"s{n}-{at}", "ref": ObjectId(f"{n:024x}"), "taxes": [at, n][: at % 3]} for at in range(n % 4)
    ]
    made: Row = {"_id": n, "at": START + timedelta(hours=n), "total": n / 4}
    made |= {} if n % 7 == 0 else {"items": items if n % 11 else f"{n} things"}
    made |= {"shipping": {"to": "Funchal", "parcels": [{"kg": n}]}} if n % 3 else {}
    return made


ORDERS = [order(n) for n in range(72)]


def expected(orders: list[Row]) -> dict[str, list[Row]]:
    """Table -> rows, by plain Python."""
    tables: dict[str, list[Row]] = {"": [], "__items": [], "__items_taxes": [], "__shipping_parcels": []}
    for each in orders:
        carried = {"_id": each["_id"], "at": each["at"]}
        items = each.get("items", [])
        for place, item in enumerate(items if isinstance(items, list) else []):
            shown = {"sku": item["sku"], "ref": str(item["ref"])}
            tables["__items"].append({**carried, "position": place, **shown})
            for inner, tax in enumerate(item["taxes"]):
                tables["__items_taxes"].append(
                    {**carried, "items_position": place, "position": inner, "value": tax}
                )
        for place, parcel in enumerate(each.get("shipping", {}).get("parcels", [])):
            tables["__shipping_parcels"].append({**carried, "position": place, **parcel})
        left = {"items": f'"{items}"'} if isinstance(items, str) else {}
        shipping = {"shipping": {"to": "Funchal"}} if "shipping" in each else {}
        tables[""].append({**carried, "total": each["total"], **left, **shipping})
    return tables


def stored(project: Project, table: str) -> list[Row]:
    rows = project.read(table).read_all().to_pylist()
    shown = [{name: value for name, value in row.items() if value is not None} for row in rows]
    return sorted(shown, key=lambda row: str([row["_id"], row.get("items_position"), row.get("position")]))


def check(project: Project, connection: str, orders: list[Row]) -> None:
    for ending, rows in expected(orders).items():
        wanted = sorted(
            rows, key=lambda row: str([row["_id"], row.get("items_position"), row.get("position")])
        )
        assert stored(project, f"{connection}.orders{ending}") == wanted, ending


@pytest.fixture
def source(mongo: MongoClient[Row], database: str) -> Any:
    collection = mongo[database].orders
    collection.insert_many(ORDERS)
    return collection


@pytest.mark.parametrize("connection", ["lake", "wh"])
@pytest.mark.parametrize("mode", ["append", "replace_window"])
def test_windows_of_a_table_and_its_children_are_replaced_together(
    make: Make, source: Any, connection: str, mode: str
) -> None:
    step = f"{{from: db.orders, to: {connection}.orders, mode: {mode}, {EXPLODE}}}"
    project = make(f"window: day\nsteps: {{s: {{copy: {step}}}}}", TABLES)
    for day in ("2026-11-22", "2026-11-23", "2026-11-22"):
        run = project.run("p", window=day)
        assert run.status == "done", run.error
    check(project, connection, ORDERS[:48])
    source.update_many({"_id": {"$lt": 24}}, {"$unset": {"items": 1}})
    source.delete_one({"_id": 2})
    assert project.run("p", window="2026-11-22").status == "done"
    left = [{name: value for name, value in each.items() if name != "items"} for each in ORDERS[:24]]
    check(project, connection, [*(each for each in left if each["_id"] != 2), *ORDERS[24:48]])


@pytest.mark.parametrize("connection", ["lake", "wh"])
def test_a_replaced_table_has_the_children_of_its_rows_only(make: Make, source: Any, connection: str) -> None:
    step = f"{{from: db.orders, to: {connection}.orders, mode: replace, {EXPLODE}}}"
    project = make(f"steps: {{s: {{copy: {step}}}}}", TABLES)
    run = project.run("p")
    assert run.status == "done", run.error
    check(project, connection, ORDERS)
    values = run.steps["s"].values
    assert values["rows"] == 72
    assert values["children"] == {
        path: len(expected(ORDERS)[f"__{path.replace('.', '_')}"])
        for path in ("items", "items.taxes", "shipping.parcels")
    }
    assert values["not_arrays"] == {"items": sum(isinstance(each.get("items"), str) for each in ORDERS)}
    source.delete_many({"_id": {"$gte": 5}})
    assert project.run("p").status == "done"
    check(project, connection, ORDERS[:5])


def test_an_increment_appends_to_all_tables(make: Make, clock: Clock, source: Any) -> None:
    step = f"{{from: db.orders, to: lake.orders, mode: append, since: at, {EXPLODE}}}"
    project = make(f"steps: {{s: {{copy: {step}}}}}", TABLES)
    clock.now = START + timedelta(hours=30)
    for _ in range(3):
        assert project.run("p").status == "done"
        clock.now += timedelta(hours=10)
    check(project, "lake", ORDERS[:50])


def test_labels_and_layout_are_those_of_the_parent(make: Make, source: Any, tmp_path: Path) -> None:
    step = "{from: db.orders, to: lake.orders, mode: replace, explode: {items: lake.order_items}}"
    project = make(f"steps: {{s: {{copy: {step}}}}}", TABLES)
    assert project.run("p").status == "done"
    schema = project.read("lake.order_items").schema
    assert kind_of(schema.field("ref")) == "objectId"
    assert {folder.name for folder in (tmp_path / "lake" / "order_items").glob("day=*")} == {
        f"day=2026-11-{day}" for day in (22, 23, 24)
    }


def test_a_row_that_is_set_aside_has_no_children(make: Make, source: Any, mongo: Any, database: str) -> None:
    source.insert_one(
        {"_id": -1, "at": START, "never": datetime(1, 1, 1, tzinfo=UTC), "items": [{"sku": "lost"}]}
    )
    source.update_one({"_id": -1}, [{"$set": {"never": {"$toDate": 2**62}}}])
    project = make(
        "steps: {s: {copy: {from: db.orders, to: lake.orders, mode: replace, explode: items}}}", TABLES
    )
    run = project.run("p")
    assert run.status == "done", run.error
    assert run.steps["s"].values["quarantined"] == 1
    assert -1 not in {row["_id"] for row in project.read("lake.orders__items").read_all().to_pylist()}
    assert b"lost" in mongo[database].quarantine.find_one()["raw"]


def test_tables_are_not_replaced_by_nothing_where_all_rows_were_set_aside(make: Make, source: Any) -> None:
    project = make(
        "steps: {s: {copy: {from: db.orders, to: lake.orders, mode: replace, explode: items}}}", TABLES
    )
    assert project.run("p").status == "done"
    before = stored(project, "lake.orders__items")
    source.update_many({}, [{"$set": {"never": {"$toDate": 2**62}}}])
    run = project.run("p")
    assert run.status == "failed"
    assert "all 72 rows were rejected" in str(run.error)
    assert stored(project, "lake.orders__items") == before
    assert len(stored(project, "lake.orders")) == 72


KILLED = """
    import os, signal, sys
    from datetime import datetime, timedelta, UTC
    from pathlib import Path
    from levada.project import load
    from levada.steps.delivery import Delivery
    from levada.connectors.lake.commit import Commit
    from levada.connectors.duckdb.sink import DuckdbWriter

    point, folder, window, now = sys.argv[1:5]
    left = int(point.split("-")[1])

    def dying(real, before):
        def call(self, *args, **kwargs):
            global left
            if before and left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(self, *args, **kwargs)
            if not before and left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return result
        return call

    places = {"announce": (Delivery, "_announce", True), "confirm": (Delivery, "_confirm", True),
              "store": (Delivery, "store", False)}
    owner, name, before = places[point.split("-")[0]]
    setattr(owner, name, dying(getattr(owner, name), before))
    project = load(Path(folder), env={}, clock=lambda: datetime.fromisoformat(now))
    project.run("p", **({"window": window} if window != "none" else {}))
"""


def kill(folder: Path, point: str, window: str, now: datetime) -> None:
    script = textwrap.dedent(KILLED)
    command = [sys.executable, "-c", script, point, str(folder), window, now.isoformat()]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr


POINTS = [f"{place}-{n}" for place in ("announce", "confirm", "store") for n in range(4)]


@pytest.mark.parametrize(
    ("connection", "mode", "points"),
    [
        *(("lake", mode, POINTS[::5]) for mode in ("append", "replace_window", "replace")),
        *(("wh", mode, POINTS[2::6]) for mode in ("append", "replace_window", "replace")),
    ],
)
def test_killed_anywhere_and_run_again_equals_an_undisturbed_run(
    make: Make, clock: Clock, source: Any, tmp_path: Path, connection: str, mode: str, points: list[str]
) -> None:
    windowed = mode != "replace"
    step = f"{{from: db.orders, to: {connection}.orders, mode: {mode}, {EXPLODE}}}"
    pipeline = f"{'window: day' if windowed else ''}\nsteps: {{s: {{copy: {step}}}}}"
    make(pipeline, TABLES)
    clock.now = START + timedelta(days=10)
    for point in points:
        kill(tmp_path, point, "2026-11-22" if windowed else "none", clock.now)
        project = make(pipeline, TABLES)
        run = project.run("p", **({"window": "2026-11-22"} if windowed else {}))
        assert run.status == "done", run.error
        check(project, connection, ORDERS[:24] if windowed else ORDERS)
        project.close()  # one process at a time has the warehouse


@pytest.mark.parametrize(("connection", "points"), [("lake", POINTS[1::2]), ("wh", POINTS[::7])])
def test_what_a_killed_increment_has_begun_is_ended_and_not_done_twice(
    make: Make, clock: Clock, source: Any, tmp_path: Path, connection: str, points: list[str]
) -> None:
    """What came in between the killed run and the next one is in neither table twice, and not lost."""
    step = f"{{from: db.orders, to: {connection}.orders, mode: append, since: at, {EXPLODE}}}"
    pipeline = f"steps: {{s: {{copy: {step}}}}}"
    make(pipeline, TABLES)
    orders = list(ORDERS)
    for number, point in enumerate(points):
        clock.now = START + timedelta(hours=80 + number)
        kill(tmp_path, point, "none", clock.now)
        project = make(pipeline, TABLES)
        between = {**order(100 + number), "at": clock.now - timedelta(seconds=30)}
        source.insert_one(between)
        orders.append(between)
        for _ in range(2):
            clock.now += timedelta(minutes=1)
            run = project.run("p")
            assert run.status == "done", run.error
        check(project, connection, orders)
        project.close()


def test_a_copy_outside_of_a_pipeline_makes_children_too(
    source: Any, mongod: str, database: str, tmp_path: Path
) -> None:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    url = f"mongodb://{host}/{database}.orders?directConnection=true"
    lake = f"file://{tmp_path}/lake/orders"
    done = levada.copy(url, lake, mode="replace", explode=["items", "items.taxes"], as_json="shipping")
    assert done.rows == 72
    assert "rows of items.taxes" in str(done.note)
    for ending, rows in expected(ORDERS).items():
        if ending != "__shipping_parcels":
            assert levada.read(lake + ending).read_all().num_rows == len(rows)
    found = levada.read(lake).read_all()
    assert kind_of(found.schema.field("shipping")) == "variant"
    texts = dict(zip(found["_id"].to_pylist(), found["shipping"].to_pylist(), strict=True))
    assert texts[1] == '{"parcels":[{"kg":{"$numberInt":"1"}}],"to":"Funchal"}'
    with pytest.raises(ConfigError, match="can't be resumed"):
        levada.copy(url, lake, mode="replace", explode="items", resume=True)


def test_json_alone_comes_back_as_it_was(source: Any, mongod: str, database: str, tmp_path: Path) -> None:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    url = f"mongodb://{host}/{database}.%s?directConnection=true"
    lake = f"file://{tmp_path}/lake/orders"
    levada.copy(url % "orders", lake, mode="replace", as_json=["items", "shipping.parcels"])
    levada.copy(lake, url % "back", mode="replace")
    back = {each["_id"]: each for each in source.database.back.find()}
    for each in source.find():
        assert {name: value for name, value in back[each["_id"]].items() if value is not None} == each


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"mode": "upsert", "key": ("_id",), "explode": "items"}, "elements that are gone"),
        ({"explode": ["items", "items"]}, "twice"),
        ({"explode": "items", "as_json": "items"}, "twice"),
        ({"explode": "items", "columns": ("_id",)}, "leaves out 'items'"),
        ({"explode": "items", "columns": ("items",)}, "leaves out '_id'"),
        ({"explode": {"a.b": None, "a_b": None}}, "two tables"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_is_written(
    source: Any, mongod: str, database: str, tmp_path: Path, options: Row, problem: str
) -> None:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    url = f"mongodb://{host}/{database}.orders?directConnection=true"
    with pytest.raises(ConfigError, match=problem):
        levada.copy(url, f"file://{tmp_path}/lake/orders", **options)
    assert not (tmp_path / "lake").exists()


def test_documents_are_not_exploded_into_documents(make: Make, source: Any) -> None:
    project = make("steps: {s: {copy: {from: db.orders, to: db.copy, explode: items}}}", TABLES)
    assert "keeps documents as they are" in str(project.run("p").error)
    project = make("steps: {s: {copy: {from: db.orders, to: lake.o, explode: {items: db.items}}}}", TABLES)
    assert "can't be a child table" in str(project.run("p").error)


def test_a_child_table_with_a_time_column_of_its_own_is_refused(make: Make, source: Any) -> None:
    tables = TABLES.replace("wh.orders:", "wh.orders__items: {time: shipped}, wh.orders:")
    project = make("steps: {s: {copy: {from: db.orders, to: wh.orders, explode: items}}}", tables)
    assert "none named 'shipped'" in str(project.run("p").error)


@pytest.mark.parametrize("explode", ["items", ["items"], {"items": None}])
def test_one_path_or_several_or_addresses(explode: Any) -> None:
    settings = CopySettings.model_validate(
        {"from": "a.b", "to": "lake.b", "explode": explode, "json": "tags"}
    )
    assert settings.explode == {"items": None}
    assert settings.as_json == ("tags",)
    assert CopyStep(settings).uses().writes == ("lake.b", "lake.b__items")


@pytest.mark.parametrize("explode", [5, [5], {"a": 5}, "a..b"])
def test_what_is_no_path_is_refused(explode: Any) -> None:
    with pytest.raises(ValidationError):
        CopySettings.model_validate({"from": "a.b", "to": "lake.b", "explode": explode})


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("lake.orders", "lake.orders__a_b"),
        ("orders.parquet", "orders__a_b.parquet"),
        ("files.orders.csv.gz", "files.orders__a_b.csv.gz"),
    ],
)
def test_child_tables_are_named_after_their_parent_and_path(parent: str, child: str) -> None:
    assert child_address(parent, "a.b") == child
