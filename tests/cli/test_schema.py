"""`levada schema` on real collections, against counts known from how they were filled."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import duckdb
import pyarrow as pa
import pytest
from bson import Decimal128, Int64, ObjectId
from bson.raw_bson import RawBSONDocument
from deltalake import write_deltalake
from pydantic import SecretStr
from pymongo import MongoClient

from levada.bson import Documents
from levada.bson.paths import paths_of
from levada.bson.profile import Profile
from levada.cli.look import Asked, Look
from levada.cli.profile_text import show
from levada.connectors.base import Query, Source, Table
from levada.connectors.mongodb import MongoConnection, MongoSettings

from ..lacking import need_native  # noqa: TID252
from .conftest import Levada

Mongo = MongoClient[dict[str, Any]]
ROWS = 300


def order(at: int) -> dict[str, Any]:
    """Every 100th total is a text, every 10th order has no status, every 3rd a null note."""
    doc: dict[str, Any] = {
        "_id": ObjectId(f"{at:024x}"),
        "total": "12,50" if at % 100 == 99 else Decimal128(f"{at}.50"),
        "at": datetime(2026, 11, 23, tzinfo=UTC),
        "items": [{"sku": f"s{n}", "qty": n} for n in range(at % 4)],
        "note": None if at % 3 == 0 else "x" * 100,
    }
    return doc if at % 10 == 0 else doc | {"status": "completed" if at % 2 else "open"}


@pytest.fixture
def orders(mongod: str, mongo: Mongo, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    mongo[database].orders.insert_many([order(at) for at in range(ROWS)])
    return f"{mongod.split('/?', maxsplit=1)[0].rstrip('/')}/{database}.orders"


def paths(levada: Levada, *arguments: str) -> dict[str, Any]:
    found = levada("schema", *arguments, "--json")
    assert (found.code, found.err) == (0, "")
    return {path["path"]: path for path in found.json["paths"]}


def types(path: dict[str, Any]) -> dict[str, int]:
    return {one["type"]: one["count"] for one in path["types"]}


@pytest.fixture(params=["reference", "native"])
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "native":
        need_native()
    monkeypatch.setenv("LEVADA_CODEC", request.param)
    return str(request.param)


def test_counts_what_every_path_holds(levada: Levada, orders: str, codec: str) -> None:
    found = paths(levada, orders)
    assert list(found) == [
        *("_id", "total", "at", "items", "items[]", "items[].sku", "items[].qty", "note", "status")
    ]
    assert types(found["total"]) == {"decimal": 297, "string": 3}
    assert found["total"]["types"][1]["examples"] == ["12,50"]
    assert (found["status"]["missing"], found["status"]["parents"]) == (30, ROWS)
    assert (found["note"]["nulls"], found["note"]["missing"]) == (100, 0)
    assert found["items"]["lengths"] == {"least": 0, "most": 3, "mean": 1.5}
    assert types(found["items[].sku"]) == {"string": 450}


def test_the_table_shows_shares_and_lengths(levada: Levada, orders: str) -> None:
    listed = [line.split() for line in levada("schema", orders).out.splitlines()]
    assert listed[0][-3:] == ["all", "300", "documents"]
    rows = {words[0]: words[1:] for words in listed if words}
    assert rows["total"][:4] == ["decimal", "99%,", "string", "1%"]
    assert rows["items"] == ["array", "of", "0-3"]
    assert rows["status"][:2] == ["string", "10%"]
    assert rows["note"][:2] == ["string", "33.33%"]


def test_a_rare_type_is_named_below_the_table(
    levada: Levada, mongo: Mongo, database: str, orders: str
) -> None:
    mongo[database].orders.update_one({"_id": order(1)["_id"]}, {"$set": {"note": 5}})
    listed = levada("schema", orders).out
    assert "Rare types" in listed
    assert "note  int, 1 of 200: 5" in listed


def test_a_sample_says_how_many_of_how_many_it_saw(levada: Levada, orders: str) -> None:
    found = levada("schema", orders, "--sample", "50").out
    assert "50 of about 300 documents, a random sample" in found
    assert "--all" in found


def test_a_sample_of_more_than_there_is_says_all_and_that_a_condition_chose(
    levada: Levada, orders: str
) -> None:
    assert "all 120 documents that match" in levada("schema", orders, "--where", "status = 'open'").out


class Without:
    """A connection to a server that lacks an aggregation stage."""

    kind = "mongodb"

    def __init__(self, connection: MongoConnection, stage: str) -> None:
        self._connection, self._stage = connection, stage

    def source(self, table: Table, query: Query) -> Source:
        source = self._connection.source(table, query)
        if any(self._stage in stage for stage in query.pipeline):
            return self._connection.source(table, replace(query, pipeline=[{"$noSuchStage": {}}]))
        return source


def test_the_first_documents_are_the_sample_where_the_server_draws_none(
    mongod: str, database: str, orders: str
) -> None:
    settings = MongoSettings(uri=SecretStr(mongod), database=database)
    with closing(MongoConnection("m", settings, Path())) as connection:
        server: Any = Without(connection, "$sample")
        look = Look(server, Table("m", "orders"), Asked(7, None, {}), lambda rows, size: None)
        found = look.profile().result()
    assert (found.documents, look.way, look.total) == (7, "first", ROWS)


def test_a_narrow_line_drops_the_examples_first(levada: Levada, orders: str, capsys: Any) -> None:
    profile = Profile()
    profile.add(Documents.from_list([bson.encode(order(1))]))
    look = Look(MongoConnection("m", MongoSettings(), Path()), Table("m", "t"), Asked(1, None, {}), print)
    for width, shown in ((60, True), (40, False)):
        show(look, list(paths_of(profile.result().root)), width)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= width
        assert any("completed" in line for line in lines) is shown


def test_a_filter_and_a_condition_select(levada: Levada, orders: str) -> None:
    only = paths(levada, orders, "--filter", '{"total": {"$type": "string"}}')
    assert types(only["total"]) == {"string": 3}
    assert types(paths(levada, orders, "--where", "status = 'open'")["status"]) == {"string": 120}
    both = paths(levada, orders, "--all", "--where", "status = 'open'", "--filter", '{"note": null}')
    assert both["note"]["nulls"] == both["note"]["parents"]


def test_all_looks_at_every_document(levada: Levada, mongo: Mongo, database: str, orders: str) -> None:
    mongo[database].orders.insert_many([{"n": Int64(at)} for at in range(11_000)])
    found = levada("schema", orders, "--all", "--json").json
    assert (found["documents"], found["total"], found["chosen"]) == (11_300, 11_300, "all")
    assert levada("schema", orders, "--json").json["documents"] == 10_000


def test_views_are_looked_at_too(levada: Levada, mongo: Mongo, database: str, orders: str) -> None:
    mongo[database].create_collection(
        "late", viewOn="orders", pipeline=[{"$project": {"n": {"$size": "$items"}}}]
    )
    assert types(paths(levada, orders.replace(".orders", ".late"), "--all")["n"]) == {"int": ROWS}


def test_arrow_is_the_schema_that_a_copy_has(
    levada: Levada, mongo: Mongo, database: str, orders: str
) -> None:
    found = levada("schema", orders, "--arrow")
    lines = [line.split() for line in found.out.splitlines()]
    assert ["_id", "string", "objectId"] in lines
    assert ["total", "string", "variant"] in lines
    assert ["at", "timestamp[ms,", "tz=UTC]", "date"] in lines
    assert ["sku", "string"] in lines
    assert "300 documents" in found.err


def test_sql_makes_the_table_that_holds_the_rows(
    levada: Levada, mongo: Mongo, database: str, orders: str
) -> None:
    mongo[database].orders.update_many({"total": {"$type": "string"}}, {"$unset": {"total": 1}})
    mongo[database].orders.update_many({}, {"$set": {"never": None}})
    sql = levada("schema", orders, "--sql").out
    with duckdb.connect() as connection:
        connection.execute(sql)
        columns = dict(
            connection.sql(
                "SELECT column_name, data_type FROM duckdb_columns() WHERE NOT internal"
            ).fetchall()
        )
    assert columns == {
        "_id": "VARCHAR",
        "total": "DECIMAL(38,2)",
        "at": "TIMESTAMP WITH TIME ZONE",
        "items": "STRUCT(sku VARCHAR, qty INTEGER)[]",
        "note": "VARCHAR",
        "status": "VARCHAR",
    }
    assert "never" in sql


def test_the_validator_takes_every_document_and_refuses_others(
    levada: Levada, mongo: Mongo, database: str, orders: str
) -> None:
    schema = levada("schema", orders, "--json-schema").json
    assert mongo[database].orders.count_documents({"$nor": [schema]}) == 0
    mongo[database].orders.insert_many(
        [order(1) | {"_id": 1}, order(1) | {"_id": ObjectId(), "note": 1.5}, {"_id": ObjectId()}]
    )
    assert mongo[database].orders.count_documents({"$nor": [schema]}) == 3


def test_json_schema_2020_12_says_the_same_of_json(levada: Levada, orders: str) -> None:
    found = levada("schema", orders, "--json-schema", "--dialect", "2020-12").json
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["required"] == ["_id", "total", "at", "items", "note"]
    assert found["properties"]["_id"] == {"type": "string", "pattern": "^[0-9a-f]{24}$"}
    assert found["properties"]["note"] == {"anyOf": [{"type": "null"}, {"type": "string"}]}
    item = found["properties"]["items"]["items"]
    assert item["properties"] == {"sku": {"type": "string"}, "qty": {"type": "integer"}}


def test_a_lake_table_is_looked_at_as_the_documents_it_would_be(levada: Levada, tmp_path: Path) -> None:
    rows = pa.table({"n": pa.array([1, None, 3]), "price": pa.array([Decimal("1.50")] * 3)})
    write_deltalake(tmp_path / "lake" / "prices", rows)
    address = f"file://{tmp_path}/lake/prices"
    found = paths(levada, address)
    assert (types(found["n"]), found["n"]["nulls"]) == ({"long": 2}, 1)
    assert types(found["price"]) == {"decimal": 3}
    assert ["n", "int64"] in [line.split() for line in levada("schema", address, "--arrow").out.splitlines()]
    assert '"price" DECIMAL(3, 2)' in levada("schema", address, "--sql").out


@pytest.mark.parametrize("form", [(), ("--arrow",), ("--json",), ("--json-schema",)])
def test_a_collection_that_is_not_there_is_said_in_three_lines(
    levada: Levada, orders: str, form: tuple[str, ...]
) -> None:
    found = levada("schema", orders.replace(".orders", ".odrers"), *form)
    assert found.code == 2
    assert len(found.err.splitlines()) == 3
    assert "hint" in found.err


@pytest.mark.parametrize("options", [("--all", "--sample", "5"), ("--sql", "--arrow")])
def test_options_that_exclude_each_other_are_refused(levada: Levada, options: tuple[str, ...]) -> None:
    found = levada("schema", "db.t", *options)
    assert found.code == 2
    assert "exclude" in found.err


def test_documents_that_cannot_be_decoded_are_counted(
    levada: Levada, mongo: Mongo, database: str, orders: str
) -> None:
    body = b"".join(b"\x10" + name + b"\0\1\0\0\0" for name in (b"_id", b"a", b"a"))
    twice = RawBSONDocument((len(body) + 5).to_bytes(4, "little") + body + b"\0")
    mongo[database].bad.insert_many([twice, RawBSONDocument(bson.encode({"_id": 2, "a": 3}))])
    address = orders.replace(".orders", ".bad")
    found = levada("schema", address, "--json").json
    assert found["rejected"] == {"a field name appears twice in one document": 1}
    assert found["documents"] == 2
    assert "1: a field name appears twice" in levada("schema", address).out
