"""Rows that are gone from the source: by comparing keys, or by a condition."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Int64, ObjectId
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.database import Database

from levada.connectors.mongodb.scan import MongoSource
from levada.errors import ConfigError, Fatal
from levada.project import Project
from levada.steps import adhoc, removal

from .conftest import Clock, Make

Document = dict[str, Any]
START = datetime(2026, 11, 1, tzinfo=UTC)
TARGETS = ["wh", "lake", "db"]
COMPARE: dict[str, Any] = {"mode": "upsert", "deletes": "compare"}


@pytest.fixture
def source(mongo: MongoClient[Document], database: str) -> Any:
    return mongo[database].src


@pytest.fixture
def project(make: Make) -> Project:
    return make("steps: {s: {copy: {from: db.src, to: wh.unused}}}")


def rows(project: Project, address: str) -> dict[Any, Document]:
    return {row["_id"]: row for row in project.read(address).read_all().to_pylist()}


@pytest.mark.parametrize("target", TARGETS)
def test_rows_that_are_gone_are_removed_after_an_increment(
    project: Project, clock: Clock, source: Any, target: str
) -> None:
    source.insert_many([{"_id": n, "at": START, "v": 1} for n in range(20)])
    options = {"since": "at", "deletes": "compare"}
    assert project.copy("db.src", f"{target}.dst", **options).values["compared"] == 20
    source.delete_many({"_id": {"$in": [3, 7, 19]}})
    source.update_one({"_id": 5}, {"$set": {"at": clock.now, "v": 2}})
    source.insert_one({"_id": 30, "at": clock.now, "v": 2})
    clock.now += timedelta(hours=1)
    done = project.copy("db.src", f"{target}.dst", **options)
    assert done.values["deleted"] == 3
    assert "3 of 21 keys gone" in str(done.note)
    kept = {n: 1 for n in range(20) if n not in (3, 7, 19)} | {5: 2, 30: 2}
    assert {key: row["v"] for key, row in rows(project, f"{target}.dst").items()} == kept
    clock.now += timedelta(hours=1)
    source.delete_one({"_id": 30})  # nothing else happened
    assert project.copy("db.src", f"{target}.dst", **options).values["deleted"] == 1
    assert 30 not in rows(project, f"{target}.dst")


@pytest.mark.parametrize("target", TARGETS)
def test_a_whole_upsert_removes_what_is_gone_without_any_state(
    project: Project, source: Any, target: str
) -> None:
    made = [ObjectId() for _ in range(10)]
    source.insert_many([{"_id": one} for one in made])
    project.copy("db.src", f"{target}.dst", key=("_id",), **COMPARE)
    source.delete_many({"_id": {"$in": made[:4]}})
    project.copy("db.src", f"{target}.dst", key=("_id",), **COMPARE)
    assert sorted(rows(project, f"{target}.dst")) == sorted(map(str, made[4:]))


def test_keys_of_several_columns_are_compared_as_a_whole(project: Project, source: Any) -> None:
    pairs = [(a, b) for a in range(3) for b in ("x", "y", None)]
    source.insert_many([{"a": a, "b": b} for a, b in pairs])
    project.copy("db.src", "wh.src", mode="replace", columns=("a", "b"), where="b IS NOT NULL")
    project.copy("wh.src", "wh.dst", mode="replace")
    project.copy("db.src", "wh.dst", columns=("a", "b"), where="b IS NULL")  # rows that are nobody's
    project.copy("db.src", "wh.src", mode="replace", columns=("a", "b"), where="b = 'x' AND a < 2")
    project.copy("wh.src", "wh.dst", key=("a", "b"), **COMPARE)
    found = {(row["a"], row["b"]) for row in project.read("wh.dst").read_all().to_pylist()}
    assert found == {(0, "x"), (1, "x"), (0, None), (1, None), (2, None)}


def test_rows_without_a_key_do_not_hide_that_all_keys_are_gone(project: Project, source: Any) -> None:
    source.insert_many([{"k": key} for key in ("x", "y", None)])
    project.copy("db.src", "wh.dst", mode="replace", columns=("k",))
    source.delete_many({})
    source.insert_one({"k": "z"})
    project.copy("db.src", "wh.src", mode="replace", columns=("k",))
    with pytest.raises(Fatal, match=r"wh\.src has none of the 2 keys of wh\.dst"):
        removed(project, "wh.src", "wh.dst", "k")
    assert project.read("wh.dst").read_all().num_rows == 3


def test_an_empty_source_removes_nothing(project: Project, source: Any) -> None:
    source.insert_many([{"_id": n} for n in range(3)])
    project.copy("db.src", "wh.dst", mode="replace")
    source.delete_many({})
    with pytest.raises(Fatal, match=r"has no rows, so all of wh\.dst would be removed"):
        project.copy("db.src", "wh.dst", key=("_id",), **COMPARE)
    assert len(rows(project, "wh.dst")) == 3


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("since", [{}, {"since": "at"}])
def test_where_nothing_was_there_to_copy_nothing_is_gone(
    project: Project, source: Any, target: str, since: Document
) -> None:
    source.database.create_collection("src")
    done = project.copy("db.src", f"{target}.dst", key=("_id",), **COMPARE, **since)
    assert (done.rows, done.values.get("deleted", 0)) == (0, 0)


def test_a_source_with_other_keys_removes_nothing(
    project: Project, source: Any, mongo: MongoClient[Document], database: str
) -> None:
    source.insert_many([{"_id": n} for n in range(3)])
    project.copy("db.src", "wh.dst", mode="replace")
    mongo[database].other.insert_many([{"_id": f"{n}"} for n in range(3)])
    with pytest.raises(ConfigError, match=r"'_id' is int32 in wh\.dst, but string in db\.other"):
        removed(project, "db.other", "wh.dst")
    mongo[database].third.insert_many([{"_id": n} for n in range(10, 13)])
    with pytest.raises(Fatal, match="has none of the 3 keys"):
        removed(project, "db.third", "wh.dst")
    assert len(rows(project, "wh.dst")) == 3


def removed(project: Project, source: str, target: str, key: str = "_id") -> removal.Removed:
    """Compare two tables without a copy before."""
    from dataclasses import replace

    from levada.connectors.base import Mode, Write
    from levada.steps.adhoc import Overlay, context_of, settings_of

    overlay = Overlay(project.tables, None)
    settings = settings_of(overlay, {"from": source, "to": target, "key": (key,), **COMPARE})
    context = replace(context_of(overlay, settings, None, None))
    write = Write(overlay.table(target), Mode.UPSERT, "test", (key,))
    return removal.Removal(context, overlay.table(source), write).run()


def test_widths_of_integers_are_no_other_type(project: Project, source: Any) -> None:
    from bson import Int64

    source.insert_many([{"_id": Int64(n)} for n in range(3)])
    project.copy("db.src", "wh.dst", mode="replace")
    source.delete_many({})
    source.insert_many([{"_id": n} for n in range(2)])
    assert removed(project, "db.src", "wh.dst") == removal.Removed(1, 3)


@pytest.mark.parametrize("target", ["wh", "lake", "db"])
def test_rows_that_a_condition_calls_deleted_are_removed(
    project: Project, clock: Clock, source: Any, target: str
) -> None:
    source.insert_many([{"_id": n, "at": START, "gone": None} for n in range(4)])
    options = {"since": "at", "delete_where": "gone is not null and _id < 3"}
    assert project.copy("db.src", f"{target}.dst", **options).rows == 4
    source.update_many({"_id": {"$gte": 2}}, {"$set": {"at": clock.now, "gone": clock.now}})
    clock.now += timedelta(hours=1)
    done = project.copy("db.src", f"{target}.dst", **options)
    assert done.values["deleted"] == 1
    assert sorted(rows(project, f"{target}.dst")) == [0, 1, 3]
    assert "levada_operation" not in rows(project, f"{target}.dst")[0]


def test_a_condition_on_a_column_that_no_row_has_removes_nothing(project: Project, source: Any) -> None:
    source.insert_one({"_id": 1})
    done = project.copy("db.src", "wh.dst", mode="upsert", key=("_id",), delete_where="gone is not null")
    assert done.rows == 1
    with pytest.raises(ConfigError, match="can't use the condition"):
        project.copy("db.src", "wh.dst", mode="upsert", key=("_id",), delete_where="gone is is null")


@pytest.mark.parametrize(("source_key", "target"), [("k.id", "wh"), ("k.id", "db")])
def test_keys_inside_of_documents_are_refused_before_anything_is_written(
    project: Project, source: Any, source_key: str, target: str
) -> None:
    source.insert_one({"_id": 1, "k": {"id": 1}})
    with pytest.raises(ConfigError, match=r"'k\.id' is inside of documents"):
        project.copy("db.src", f"{target}.dst", key=(source_key,), **COMPARE)
    assert "dst" not in source.database.list_collection_names()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (COMPARE, "rows whose keys the source has no more would be removed"),
        ({"mode": "upsert", "delete_where": "v > 1"}, "rows for which v > 1 would be removed"),
    ],
)
def test_a_plan_says_what_would_be_removed(
    project: Project, source: Any, options: dict[str, Any], said: str
) -> None:
    source.insert_one({"_id": 1, "v": 1})
    made = adhoc.plan(project.tables, "db.src", "wh.dst", key=("_id",), **options)
    assert said in made.notes


@pytest.mark.parametrize("target", TARGETS)
def test_rows_that_are_deleted_count_beside_one_that_is_rejected(
    project: Project, source: Any, target: str
) -> None:
    source.insert_many([{"_id": n, "does": "upsert"} for n in range(3)])
    options: dict[str, Any] = {"mode": "upsert", "key": ("_id",), "operation": "does"}
    project.copy("db.src", f"{target}.dst", **options)
    source.update_one({"_id": 0}, {"$set": {"does": "delete"}})
    source.update_one({"_id": 1}, {"$set": {"does": "vanish"}})
    source.delete_one({"_id": 2})
    done = project.copy("db.src", f"{target}.dst", **options)
    assert (done.rows, done.values["deleted"], done.rejected) == (0, 1, 1)
    assert set(rows(project, f"{target}.dst")) == {1, 2}


@pytest.mark.parametrize(
    "options", [{"delete_where": "gone.at is not null"}, {"operation": "does"}, {"version": "v"}]
)
@pytest.mark.parametrize("target", TARGETS)
def test_what_says_the_fate_of_rows_has_to_be_read(
    project: Project, source: Any, target: str, options: dict[str, Any]
) -> None:
    source.insert_one({"_id": 1, "gone": {"at": START}, "does": "delete", "v": 1})
    with pytest.raises(ConfigError, match="`columns` leaves out"):
        project.copy("db.src", f"{target}.dst", mode="upsert", key="_id", columns=("_id",), **options)
    wanted = ("_id", "gone", "does", "v")
    project.copy("db.src", f"{target}.dst", mode="upsert", key="_id", columns=wanted, **options)


def test_keys_of_a_target_with_a_collation_are_not_compared(
    project: Project, source: Any, mongo: MongoClient[Document]
) -> None:
    """`A` and `a` are one row there, and two to whoever compares bytes."""
    db = mongo[source.database.name]
    db.create_collection("dst", collation={"locale": "en", "strength": 2})
    db["dst"].insert_many([{"_id": "a"}, {"_id": "c"}])
    source.insert_many([{"_id": "A"}, {"_id": "b"}])
    with pytest.raises(ConfigError, match="has a collation"):
        project.copy("db.src", "db.dst", key="_id", **COMPARE)
    assert db["dst"].count_documents({"_id": "A"}, collation={"locale": "en", "strength": 2}) == 1
    db["dst"].drop()
    db.create_collection("dst", collation={"locale": "en", "strength": 2})
    db["dst"].insert_many([{"_id": 1}, {"_id": 2}])
    source.delete_many({})
    source.insert_one({"_id": 1})
    assert project.copy("db.src", "db.dst", key="_id", **COMPARE).values["deleted"] == 1


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "key",
    [
        lambda n: n,
        lambda n: ObjectId(f"{n:024x}"),
        str,
        lambda n: START + timedelta(days=n),
        lambda n: n if n % 2 else f"text {n}",
        lambda n: Decimal128(f"{n}.50"),
    ],
    ids=["int", "ObjectId", "text", "date", "mixed", "decimal"],
)
def test_what_a_scan_did_not_show_is_looked_for_once_more(
    project: Project, source: Any, monkeypatch: pytest.MonkeyPatch, target: str, key: Any
) -> None:
    """The scan of the source misses rows, as one of a secondary that lags does."""
    keys = [key(n) for n in range(1, 6)]
    source.insert_many([{"_id": n, "k": k} for n, k in enumerate(keys)])
    project.copy("db.src", f"{target}.dst", key="k", mode="upsert")
    source.delete_one({"k": keys[1]})
    read = MongoSource.read

    def lagging(self: MongoSource, *arguments: Any) -> Any:
        if self.query.columns == ("k",) and self.namespace[1] == "src":
            hidden = MongoSource(self._connection, self._table, replace(self.query, where="_id >= 3"))
            return read(hidden, *arguments)
        return read(self, *arguments)

    monkeypatch.setattr(MongoSource, "read", lagging)
    done = project.copy("db.src", f"{target}.dst", key="k", **COMPARE)
    assert done.values["deleted"] == 1
    left = source.count_documents({})
    assert len(project.read(f"{target}.dst").read_all()) == left


def test_documents_that_a_condition_leaves_in_place_stay_exact(project: Project, source: Any) -> None:
    source.insert_many(
        [
            {"_id": 1, "x": {}, "n": 1},
            {"_id": 2, "n": Int64(5), "x": {"a": 1}, "gone": None},
            {"_id": 3, "x": [{}, {"z": 1}], "n": "text"},
            {"_id": 4, "x": {"b": 2.0}, "gone": True},
        ]
    )
    copied: dict[str, Any] = {"mode": "upsert", "key": "_id", "delete_where": "gone"}
    assert project.copy("db.src", "db.dst", **copied).rows == 3
    db: Database[RawBSONDocument] = source.database.with_options(CodecOptions(RawBSONDocument))
    assert [one.raw for one in db["dst"].find(sort=[("_id", 1)])] == [
        one.raw for one in db["src"].find({"_id": {"$lt": 4}}, sort=[("_id", 1)])
    ]
    source.update_one({"_id": 1}, {"$set": {"gone": True}})
    assert project.copy("db.src", "db.dst", **copied).values["deleted"] == 1
    assert db["dst"].count_documents({}) == 2


def test_rows_that_one_key_has_together_are_told_not_to_be_removed(project: Project, source: Any) -> None:
    source.insert_many([{"k": n} for n in range(3)])
    target = source.database["dst"]
    target.insert_many([{"k": 7}, {"k": 7}, {"k": 8}])
    target.create_index("k")
    done = project.copy("db.src", "db.dst", key="k", **COMPARE)
    assert (done.values["deleted"], done.values["compared"], done.rejected) == (1, 6, 2)
    assert sorted(row["k"] for row in target.find()) == [0, 1, 2, 7, 7]
