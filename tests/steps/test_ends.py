"""What is known of the ends of a copy: keys and names; what is left of one that was mistaken or stopped."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pymongo import MongoClient

import levada
from levada.connectors.addresses import Addresses
from levada.errors import ConfigError, LevadaError, Retriable
from levada.steps import adhoc

from .. import mysql  # noqa: TID252
from .. import postgres as postgres_server  # noqa: TID252

Document = dict[str, Any]


@pytest.fixture
def target(mongo: MongoClient[Document], database: str) -> Any:
    return mongo[database].out


@pytest.fixture
def out(mongod: str, database: str) -> str:
    host = mongod.removeprefix("mongodb://").split("/")[0]
    return f"mongodb://{host}/{database}.out?directConnection=true"


def warehouse(folder: Path, rows: int = 10) -> str:
    with duckdb.connect(folder / "w.duckdb") as connection:
        connection.execute(f"create table t as select range as id, range % 3 as n from range({rows})")
    (folder / "levada.yml").write_text(
        "format: 1\nname: ends\n"
        "connections: {w: {type: duckdb, path: w.duckdb}, lake: {type: lake, path: lake}}\n"
    )
    return "w.t"


@pytest.mark.parametrize("wrong", [{"key": ("idd",)}, {"key": ("id",), "version": "m"}])
def test_a_mistyped_column_of_an_upsert_leaves_no_collection_and_no_index(
    tmp_path: Path, target: Any, out: str, wrong: Document
) -> None:
    source = warehouse(tmp_path)
    with levada.load(tmp_path) as project:
        with pytest.raises(ConfigError, match="there is no column"):
            adhoc.copy(project.tables, source, out, mode="upsert", **wrong)
        assert target.database.list_collection_names() == []
        assert adhoc.copy(project.tables, source, out, mode="upsert", key=("id",)).rows == 10


@pytest.mark.parametrize(
    "mode", [{"mode": "append"}, {"mode": "replace"}, {"mode": "upsert", "key": ("id",)}]
)
@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("lake.nope", {}),
        ("w.nope", {}),
        ("file:///nowhere/nope.csv", {}),
        ("w.t", {"columns": ("id", "nope")}),
        ("w.t", {"where": "nope = 1"}),
        ("w.t", {"sql": "select nope as id from t"}),
        ("w.t", {"sql": "select range as id from range(10) where range / 0 = 'x'"}),
    ],
)
def test_a_copy_that_can_not_begin_leaves_no_collection_and_no_table(
    tmp_path: Path, target: Any, out: str, source: str, wrong: Document, mode: Document
) -> None:
    warehouse(tmp_path)
    with levada.load(tmp_path) as project:
        for to in (out, "w.out", "lake.out"):
            with pytest.raises(LevadaError):
                adhoc.copy(project.tables, source, to, **mode, **wrong)
        assert target.database.list_collection_names() == []
        assert project.tables.connection("w").tables() == ["t"]
        assert project.tables.connection("lake").tables() == []


def test_a_mistyped_key_of_documents_leaves_no_collection_and_no_index(
    mongo: MongoClient[Document], database: str, target: Any, out: str
) -> None:
    mongo[database].source.insert_many({"_id": n, "k": n} for n in range(10))
    source = out.replace(".out", ".source")
    with pytest.raises(ConfigError, match="none of the first 10 documents has the field 'kk'"):
        levada.copy(source, out, mode="upsert", key="kk")
    assert target.database.list_collection_names() == ["source"]
    assert levada.copy(source, out, mode="upsert", key="k").rows == 10


def test_an_upsert_from_a_sql_server_goes_by_the_primary_key(
    legacy: mysql.MariaDB, postgres: postgres_server.Postgres, schema: str, target: Any, out: str
) -> None:
    legacy.run(
        "CREATE TABLE t (v INT, b INT, a INT, PRIMARY KEY (a, b)); INSERT INTO t VALUES (1, 1, 1), (1, 2, 1)"
    )
    for _ in range(2):
        levada.copy(legacy.url("t"), out, mode="upsert")
    assert target.count_documents({}) == 2
    postgres.run(
        f"CREATE TABLE {schema}.t (v int, b int, a int, PRIMARY KEY (a, b))",
        f"INSERT INTO {schema}.t VALUES (5, 1, 1), (5, 2, 2)",
    )
    levada.copy(f"postgres://postgres@127.0.0.1:{postgres.port}/postgres.{schema}.t", out, mode="upsert")
    assert sorted((row["a"], row["b"], row["v"]) for row in target.find()) == [
        (1, 1, 5),
        (1, 2, 1),
        (2, 2, 5),
    ]


def test_an_upsert_from_mongodb_goes_by_its_id(
    mongo: MongoClient[Document], database: str, target: Any, out: str
) -> None:
    mongo[database].src.insert_many({"_id": number, "n": number} for number in range(5))
    for _ in range(2):
        levada.copy(out.replace(".out", ".src"), out, mode="upsert")
    assert sorted(row["_id"] for row in target.find()) == list(range(5))


def test_an_upsert_without_any_key_is_refused(
    legacy: mysql.MariaDB, postgres: postgres_server.Postgres, schema: str, out: str, target: Any
) -> None:
    legacy.run("CREATE TABLE t (v INT)")
    postgres.run(f"CREATE TABLE {schema}.t (v int UNIQUE)")
    for source in (
        legacy.url("t"),
        f"postgres://postgres@127.0.0.1:{postgres.port}/postgres.{schema}.t",
        f"postgres://postgres@127.0.0.1:{postgres.port}/postgres.{schema}.none",
    ):
        with pytest.raises(ConfigError, match="no key is known"):
            levada.copy(source, out, mode="upsert")
    with pytest.raises(ConfigError, match="no key is known"):  # a query has none
        levada.copy(legacy.url("t"), out, mode="upsert", sql="SELECT 1 AS v")
    assert target.database.list_collection_names() == []


def test_a_mistyped_table_of_a_sql_server_is_told_with_the_nearest(
    legacy: mysql.MariaDB, postgres: postgres_server.Postgres, schema: str, out: str
) -> None:
    legacy.run("CREATE TABLE orders (v INT)")
    postgres.run(f"CREATE TABLE {schema}.orders (v int)")
    place = f"postgres://postgres@127.0.0.1:{postgres.port}/postgres.{schema}"
    with pytest.raises(ConfigError, match="there is no such table") as wrong:
        levada.copy(legacy.url("ordrs"), out)
    assert wrong.value.hint == "did you mean 'orders'? valid: orders"
    with pytest.raises(ConfigError, match="there is no such table"):
        levada.copy(f"{place}.ordrs", out)


@pytest.mark.parametrize(
    ("source", "to", "mode", "left"),
    [
        ("w.t", "out", "upsert", "a part of it may be in the table"),
        ("w.t", "w.other", "replace", "nothing of it is in the table; run it again"),
        ("out", "lake.other", "append", "nothing of it is in the table; --resume goes on"),
    ],
)
def test_a_copy_that_is_stopped_says_what_it_leaves(
    tmp_path: Path, target: Any, out: str, source: str, to: str, mode: str, left: str
) -> None:
    warehouse(tmp_path, 20_000)
    target.insert_many({"_id": -number, "id": -number} for number in range(1, 20_001))
    ends = [out if name == "out" else name for name in (source, to)]
    stop = threading.Event()
    with levada.load(tmp_path) as project, pytest.raises(Retriable, match="stopped before the end") as told:
        adhoc.copy(
            project.tables,
            *ends,
            mode=mode,
            key=("id",),
            stop=stop,
            progress=lambda rows, _: stop.set() if rows else None,
        )
    assert left in str(told.value.hint)
    assert " -> " in str(told.value.where)


def test_without_a_project_nothing_else_of_an_increment_is_complained_about(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="state of a project"):
        adhoc.copy(Addresses(None), f"file://{tmp_path}/a", f"file://{tmp_path}/b", since="at")


def test_a_name_that_no_document_has_is_told(
    tmp_path: Path, mongo: MongoClient[Document], database: str, target: Any, out: str
) -> None:
    target.insert_many({"_id": number, "status": "new"} for number in range(5))
    said = "none of the first documents has a field 'statsu'"
    assert levada.copy(out, f"file://{tmp_path}/a", where="statsu = 'new'").note == said
    assert levada.copy(out, f"file://{tmp_path}/b", columns=["_id", "statsu"]).note == said
    assert levada.copy(out, f"file://{tmp_path}/c", columns=["_id", "status"]).note is None
    assert levada.copy(out, f"file://{tmp_path}/d", where="status = 'old'").note is None


def test_a_path_from_here_in_place_of_an_address_is_told_as_a_url(
    tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="unknown connection") as wrong:
        levada.copy(out, "export/orders.csv")
    assert (
        wrong.value.hint == f"a path is written as a URL, from its root: file://{tmp_path}/export/orders.csv"
    )
