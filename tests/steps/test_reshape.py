"""Reverse ETL between real systems: a DuckDB warehouse and a lake into a real mongod."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bson import Decimal128, Int64, ObjectId
from pymongo import MongoClient

from levada.errors import ConfigError
from levada.project import Project, load
from levada.steps import adhoc

from ..postgres import Postgres  # noqa: TID252
from .conftest import Make

SCORES = """
create table scores as
select i as customer_id, md5(i::varchar)[1:24] as ref, i / 8 as churn_score,
       (i * 1.25)::decimal(12, 2) as ltv, 'high' as tag_1, case when i % 2 = 0 then 'new' end as tag_2,
       timestamp '2026-11-24 00:00:00' + interval (i) minute as scored_at
from range(100) t(i)
"""
SHAPE = """
customer_id: customer_id
ref: {column: ref, type: object_id}
scores:
  churn: {column: churn_score, type: double}
  ltv: {column: ltv, type: decimal}
  model: {value: v7}
tags: [tag_1, tag_2]
updated_at: {column: scored_at, type: date}
"""


@pytest.fixture
def collections(mongo: MongoClient[dict[str, Any]], database: str) -> Any:
    return mongo[database]


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    fill(tmp_path, SCORES)
    (tmp_path / "scores.yml").write_text(SHAPE)
    return tmp_path


def fill(folder: Path, sql: str) -> None:
    with duckdb.connect(str(folder / "wh.duckdb")) as there:
        there.execute(sql).fetchall()


def customer(number: int) -> dict[str, Any]:
    import hashlib

    return {
        "customer_id": Int64(number),
        "ref": ObjectId(hashlib.md5(str(number).encode()).hexdigest()[:24]),
        "scores": {"churn": number / 8, "ltv": Decimal128(f"{number * 1.25:.2f}"), "model": "v7"},
        "tags": ["high", "new"] if number % 2 == 0 else ["high"],
        "updated_at": datetime(2026, 11, 24, number // 60, number % 60, tzinfo=UTC),
    }


def stored(collection: Any) -> list[dict[str, Any]]:
    return list(collection.find({}, {"_id": 0}, sort=[("customer_id", 1)]))


EMPTY = "steps: {s: {copy: {from: db.src, to: wh.unused}}}"
UPSERT = "{from: wh.scores, to: db.customers, mode: upsert, key: [customer_id], shape: scores.yml}"


def test_rows_of_a_warehouse_become_documents(make: Make, warehouse: Path, collections: Any) -> None:
    project = make(f"steps: {{load: {{copy: {UPSERT}}}}}")
    assert project.run("p").rows == 100
    found = stored(collections.customers)
    assert found == [customer(number) for number in range(100)]
    assert isinstance(found[7]["customer_id"], Int64)
    assert project.run("p", fresh=True).status == "done"
    assert stored(collections.customers) == found


def test_a_shape_in_the_project_file_does_the_same(make: Make, warehouse: Path, collections: Any) -> None:
    inline = SHAPE.strip().replace("\n", "\n        ")
    project = make(
        "steps:\n  load:\n    copy:\n      from: wh.scores\n      to: db.customers\n      mode: upsert\n"
        f"      key: [customer_id]\n      shape:\n        {inline}\n"
    )
    project.run("p")
    assert stored(collections.customers) == [customer(number) for number in range(100)]


def test_a_lake_gives_the_same_as_the_warehouse(make: Make, warehouse: Path, collections: Any) -> None:
    project = make(
        "steps:\n  out: {copy: {from: wh.scores, to: lake.scores, mode: replace}}\n"
        f"  load: {{copy: {UPSERT.replace('wh.', 'lake.')}}}"
    )
    project.run("p")
    assert stored(collections.customers) == [customer(number) for number in range(100)]


def test_a_query_at_the_warehouse_is_shaped(make: Make, warehouse: Path, collections: Any) -> None:
    project = make(
        "steps: {load: {copy: {from: wh.tags, to: db.tags, mode: replace, where: n > 10,\n"
        "  sql: 'select tag_2 as tag, count(*) as n, sum(ltv) as ltv from scores group by all',\n"
        "  shape: {_id: tag, totals: {n: n, ltv: ltv}}}}}"
    )
    project.run("p")
    halves = {None: sum(range(1, 100, 2)), "new": sum(range(0, 100, 2))}
    assert {row["_id"]: row["totals"] for row in collections.tags.find()} == {
        tag: {"n": 50, "ltv": Decimal128(f"{total * 1.25:.2f}")} for tag, total in halves.items()
    }


def test_a_sql_step_groups_a_join_into_documents(make: Make, tmp_path: Path, collections: Any) -> None:
    fill(
        tmp_path,
        "create table lines as select i % 5 as order_id, i as line, 'sku' || i as sku from range(20) t(i)",
    )
    collections.orders.insert_many([{"_id": number, "who": f"c{number}"} for number in range(6)])
    project = make(
        "steps: {load: {sql: {to: db.baskets, mode: upsert, key: [_id],\n"
        "  query: 'select o._id, o.who, l.sku, l.line from db.orders o\n"
        "          left join wh.lines l on l.order_id = o._id',\n"
        "  shape: {_id: _id, who: who, items:\n"
        "    {each: {sku: sku, line: {column: line, type: int}}, order_by: line desc}}}}}"
    )
    run = project.run("p")
    assert (run.status, run.rows) == ("done", 6)
    wanted = [
        {
            "_id": number,
            "who": f"c{number}",
            "items": [{"sku": f"sku{line}", "line": line} for line in range(15 + number, -1, -5)]
            if number < 5
            else [],
        }
        for number in range(6)
    ]
    assert list(collections.baskets.find(sort=[("_id", 1)])) == wanted


def test_a_sql_step_changes_stored_documents_as_it_is_told(
    make: Make, tmp_path: Path, collections: Any
) -> None:
    fill(tmp_path, "create table scores as select i as id, i * 10 as score, 5 as version from range(4) t(i)")
    collections.customers.insert_many([{"_id": n, "name": f"c{n}", "version": 4 + n} for n in range(3)])
    query = "select id, score, version, case when id = 1 then 'delete' end as does from wh.scores"
    step = f'query: "{query}", to: db.customers, mode: upsert, key: [_id], merge: fields'
    shape = "shape: {_id: id, scores.churn: score, version: version}"
    run = make(f"steps: {{s: {{sql: {{{step}, version: version, operation: does, {shape}}}}}}}").run("p")
    assert (run.status, run.rows) == ("done", 2)
    assert list(collections.customers.find(sort=[("_id", 1)])) == [
        {"_id": 0, "name": "c0", "version": 5, "scores": {"churn": 0}},
        {"_id": 2, "name": "c2", "version": 6},
        {"_id": 3, "scores": {"churn": 30}, "version": 5},
    ]


def test_rows_that_do_not_fit_go_to_quarantine_and_are_counted(
    make: Make, warehouse: Path, collections: Any
) -> None:
    fill(warehouse, "update scores set ref = 'none' where customer_id in (3, 5)")
    step = make(f"steps: {{load: {{copy: {UPSERT}}}}}").run("p").steps["load"]
    assert (step.rows, step.values["quarantined"]) == (98, 2)
    kept = list(collections.quarantine.find())
    assert {row["reason"] for row in kept} == {"ref: 'none' can't be object_id without a change"}
    assert [customer["customer_id"] for customer in stored(collections.customers)] == [
        number for number in range(100) if number not in (3, 5)
    ]


def test_the_result_of_sql_gets_the_types_of_the_collection_back(
    make: Make, warehouse: Path, collections: Any
) -> None:
    kinds = {"ref": "objectId", "ltv": "decimal", "customer_id": "long", "scored_at": "date"}
    properties = {name: {"bsonType": kind} for name, kind in kinds.items()}
    collections.create_collection("flat", validator={"$jsonSchema": {"properties": properties}})
    project = make(
        "steps: {load: {sql: {to: db.flat, mode: append,\n"
        "  query: 'select upper(ref) as ref, ltv::double as ltv, customer_id::varchar as customer_id,\n"
        "          scored_at::varchar as scored_at from wh.scores'}}}"
    )
    assert project.run("p").steps["load"].rows == 100
    for found, number in zip(stored(collections.flat), range(100), strict=True):
        wanted = customer(number)
        assert found["customer_id"] == wanted["customer_id"]
        assert type(found["customer_id"]) is Int64
        assert found["ref"] == wanted["ref"]
        assert found["ltv"].to_decimal() == wanted["scores"]["ltv"].to_decimal()
        assert found["scored_at"] == wanted["updated_at"]


def test_the_shape_wins_over_the_validator(make: Make, warehouse: Path, collections: Any) -> None:
    properties = {"customer_id": {"bsonType": "string"}, "ltv": {"bsonType": "decimal"}}
    collections.create_collection(
        "loose", validator={"$jsonSchema": {"properties": properties}}, validationAction="warn"
    )
    shape = "{customer_id: {column: customer_id, type: int}, ltv: {column: ltv, type: double}}"
    make(f"steps: {{load: {{copy: {{from: wh.scores, to: db.loose, mode: append, shape: {shape}}}}}}}").run(
        "p"
    )
    row = collections.loose.find_one({"customer_id": 4}, {"_id": 0})
    assert (row, type(row["customer_id"])) == ({"customer_id": 4, "ltv": 5.0}, int)


def test_other_targets_get_structs_and_lists(make: Make, warehouse: Path) -> None:
    project = make(
        "steps: {load: {copy: {from: wh.scores, to: lake.nested, mode: replace, shape: scores.yml}}}"
    )
    project.run("p")
    row = next(row for row in project.read("lake.nested").read_all().to_pylist() if row["customer_id"] == 4)
    assert row["scores"]["churn"] == 0.5
    assert row["tags"] == ["high", "new"]


def test_lists_and_mappings_are_stored_as_the_values_that_they_are(make: Make, collections: Any) -> None:
    collections.src.insert_one({"_id": 1})
    day = datetime(2026, 11, 24, 2, tzinfo=UTC)
    value = [day, day.date(), 5, 5_000_000_000, float("inf"), {"b": None, "a": 1}]
    make(EMPTY).copy("db.src", "db.dst", mode="replace", shape={"_id": "_id", "c": {"value": value}})
    found = collections.dst.find_one()["c"]
    assert found == [day, day.replace(hour=0), 5, 5_000_000_000, float("inf"), {"b": None, "a": 1}]
    assert list(found[-1]) == ["b", "a"]


def test_documents_of_mongodb_can_be_shaped_too(make: Make, collections: Any) -> None:
    collections.src.insert_many(
        [{"_id": 1, "a": {"b": 5}}, {"_id": 2, "a": {"b": 6, "c": ObjectId("0" * 24)}}]
    )
    make(
        "steps: {s: {copy: {from: db.src, to: db.dst, mode: replace, shape: {_id: _id, b: a.b, c: a.c}}}}"
    ).run("p")
    assert list(collections.dst.find(sort=[("_id", 1)])) == [
        {"_id": 1, "b": 5, "c": None},
        {"_id": 2, "b": 6, "c": ObjectId("0" * 24)},
    ]


def test_missing_fields_leave_what_is_stored_where_fields_are_merged(
    make: Make, warehouse: Path, collections: Any
) -> None:
    collections.customers.insert_one({"customer_id": Int64(1), "name": "Ann", "tag": "old"})
    collections.customers.insert_one({"customer_id": Int64(2), "name": "Bob", "tag": "old"})
    shape = "{customer_id: customer_id, tag: {column: tag_2, if_null: missing}}"
    project = make(
        "steps: {s: {copy: {from: wh.scores, to: db.customers, mode: upsert, key: [customer_id],\n"
        f"  merge: fields, where: customer_id < 3, shape: {shape}}}}}}}"
    )
    assert project.run("p").status == "done"
    assert stored(collections.customers) == [
        {"customer_id": 0, "tag": "new"},
        {"customer_id": 1, "name": "Ann", "tag": "old"},
        {"customer_id": 2, "name": "Bob", "tag": "new"},
    ]


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ("{from: wh.scores, to: db.t, shape: {a: {column: b, typ: int}}}", "no option 'typ'"),
        ("{from: wh.scores, to: db.t, shape: {}}", "the shape is empty"),
        ("{from: wh.scores, to: db.t, explode: x, shape: {a: b}}", "`shape` makes documents"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_with_its_place(make: Make, step: str, what: str) -> None:
    project = make(f"steps:\n  s:\n    copy: {step}")
    with pytest.raises(ConfigError) as refused:
        project.pipeline("p")
    assert what in refused.value.what
    assert "levada.yml:13 pipelines.p.steps.s.copy" in str(refused.value.where)


def test_an_error_in_a_file_names_its_line(make: Make, warehouse: Path) -> None:
    (warehouse / "scores.yml").write_text("a: b\nscores:\n  x: {column: y, type: objectid}\n")
    run = make(f"steps: {{load: {{copy: {UPSERT}}}}}").run("p")
    assert run.status == "failed"
    assert "scores.yml:3 scores.x.type" in str(run.error)


@pytest.mark.parametrize(
    ("step", "what"),
    [
        ("{from: wh.scores, to: db.t, shape: nowhere.yml}", "can't read the shape"),
        (
            "{from: wh.scores, to: db.t, mode: upsert, key: [id], shape: scores.yml}",
            "the key 'id' is no field",
        ),
        ("{from: db.scores, to: db.t, sql: select 1}", "a connection of type mongodb runs no SQL itself"),
        ("{from: lake.scores, to: db.t, sql: select 1}", "a connection of type lake runs no SQL itself"),
        ("{from: wh.scores, to: db.t, sql: delete from scores}", "not one SELECT"),
        (
            "{from: wh.scores, to: db.t, mode: upsert, since: scored_at, shape: {k: ref, a: {each: ltv}}}",
            "reads the newer rows of a key only",
        ),
        (
            "{from: wh.scores, to: db.t, mode: upsert, key: [k], deletes: compare, shape: {k: ref}}",
            "the key 'k' is no plain column of that name",
        ),
        (
            "{from: wh.scores, to: db.t, mode: replace, shape: {k: {column: tag_1, type: object_id}}}",
            "all 100 rows were rejected, the first because: k: 'high' can't be object_id",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    make: Make, warehouse: Path, collections: Any, step: str, what: str
) -> None:
    run = make(f"steps: {{s: {{copy: {step}}}}}").run("p")
    assert run.status == "failed"
    assert what in str(run.error)
    assert collections.t.count_documents({}) == 0


def test_rows_that_are_told_to_be_deleted_are_deleted_through_a_shape(
    make: Make, warehouse: Path, collections: Any
) -> None:
    project = make(f"steps: {{load: {{copy: {UPSERT}}}}}")
    project.run("p")
    again = make(f"steps: {{load: {{copy: {UPSERT[:-1]}, delete_where: customer_id >= 10}}}}}}")
    run = again.run("p")
    assert run.status == "done", run.error
    assert run.steps["load"].values["deleted"] == 90
    assert stored(collections.customers) == [customer(number) for number in range(10)]


def test_an_increment_is_shaped_too(make: Make, warehouse: Path, collections: Any, clock: Any) -> None:
    project = make(f"steps: {{load: {{copy: {UPSERT[:-1]}, since: scored_at, lag: 0s}}}}}}")
    clock.now = datetime(2026, 11, 24, 1, tzinfo=UTC)
    assert project.run("p").rows == 60
    clock.now = datetime(2026, 11, 24, 2, tzinfo=UTC)
    assert project.run("p").rows == 40
    assert stored(collections.customers) == [customer(number) for number in range(100)]


def test_a_shape_given_in_python_says_where_it_is_wrong(make: Make, warehouse: Path) -> None:
    project = make(f"steps: {{load: {{copy: {UPSERT}}}}}")
    with pytest.raises(ConfigError) as refused:
        adhoc.copy(project.tables, "wh.scores", "db.t", shape={"a": {"column": "b", "typ": "int"}})
    assert refused.value.what == "shape.a.typ: `column` has no option 'typ'"


@pytest.mark.parametrize("shape", ["{_id: _id, d: {n: n}}", "{_id: g, all: {each: n, order_by: _id}}"])
def test_a_source_whose_types_widen_on_the_way_is_read_again(
    make: Make, collections: Any, shape: str
) -> None:
    whole = [{"_id": at, "g": at % 3, "n": at} for at in range(20_000)]
    collections.src.insert_many([*whole, {"_id": 20_000, "g": 0, "n": 0.5}])
    project = make(
        "steps: {s: {sql: {query: 'select _id, g, n from db.src', to: db.dst, mode: replace,\n"
        f"  shape: {shape}}}}}}}"
    )
    run = project.run("p")
    assert run.status == "done", run.error
    found = {row["_id"]: row for row in collections.dst.find()}
    if "each" in shape:
        assert found[0]["all"] == [*map(float, range(0, 20_000, 3)), 0.5]
        assert found[1]["all"] == [*map(float, range(1, 20_000, 3))]
    else:
        assert (len(found), found[20_000]["d"], found[7]["d"]) == (20_001, {"n": 0.5}, {"n": 7.0})


@pytest.fixture
def ends(
    postgres: Postgres, schema: str, mongod: str, database: str, tmp_path: Path
) -> Iterator[tuple[Project, str]]:
    """A project with a Postgres `pg` and the MongoDB `db`, and the schema of the former."""
    (tmp_path / "levada.yml").write_text(
        "format: 1\nname: test\nconnections:\n"
        f"  pg: {{type: postgres, uri: '{postgres.uri}', schema: {schema}}}\n"
        f"  db: {{type: mongodb, uri: '{mongod}', database: {database}}}\n"
    )
    with load(tmp_path, env={}) as project:
        yield project, schema


def test_tables_and_queries_of_postgres_become_documents(
    ends: tuple[Project, str], postgres: Postgres, collections: Any
) -> None:
    project, schema = ends
    postgres.run(
        f"create table {schema}.lines as select i / 3 as order_id, i as line_no, 'sku' || i as sku,"
        " (i * 1.25)::numeric(12, 2) as price, timestamptz '2026-11-24 02:00:00Z' as at"
        " from generate_series(0, 29) i"
    )
    lines = {"each": {"sku": "sku", "price": "price"}, "order_by": "line_no desc"}
    shape = {"_id": "order_id", "lines": lines, "at": "at"}
    done = adhoc.copy(project.tables, "pg.lines", "db.orders", mode="upsert", key=("_id",), shape=shape)
    assert (done.rows, done.rejected) == (10, 0)
    assert list(collections.orders.find(sort=[("_id", 1)])) == [
        {
            "_id": order,
            "lines": [
                {"sku": f"sku{line}", "price": Decimal128(f"{line * 1.25:.2f}")}
                for line in range(3 * order + 2, 3 * order - 1, -1)
            ],
            "at": datetime(2026, 11, 24, 2, tzinfo=UTC),
        }
        for order in range(10)
    ]
    sql = f"select order_id, count(*) as n from {schema}.lines group by order_id"
    totals = {"_id": "order_id", "totals": {"lines": {"column": "n", "type": "int"}}}
    adhoc.copy(project.tables, "pg.totals", "db.totals", mode="replace", sql=sql, shape=totals)
    found = list(collections.totals.find(sort=[("_id", 1)]))
    assert found == [{"_id": order, "totals": {"lines": 3}} for order in range(10)]
