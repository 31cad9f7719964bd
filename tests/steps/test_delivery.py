"""What a kill between two of a delivery's commits leaves."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from pymongo import MongoClient

from levada.steps.delivery import Delivery, _Kept

from .conftest import Clock, Make

Document = dict[str, Any]


class Killed(BaseException):
    """Stands for SIGKILL: nobody handles it."""


@pytest.mark.parametrize("rows", [10, 5_000], ids=["at once", "streamed"])
@pytest.mark.parametrize("bad", ["refused by the server", "without a key"])
def test_what_is_set_aside_is_kept_before_the_position_says_it_was_read(
    make: Make,
    clock: Clock,
    mongo: MongoClient[Document],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    bad: str,
) -> None:
    db = mongo[database]
    db.create_collection("dst", validator={"n": {"$ne": -1}})
    good = [{"k": n, "at": clock.now, "n": n} for n in range(rows)]
    odd = (
        {"k": rows, "at": clock.now, "n": -1} if bad == "refused by the server" else {"at": clock.now, "n": 5}
    )
    db["src"].insert_many([*good, odd])
    clock.now = clock.now.replace(hour=5)
    project = make("steps: {s: {copy: {from: db.src, to: db.dst, mode: upsert, key: [k], since: at}}}")

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Delivery, "_confirm", killed)
        assert project.run("p").status != "done"
    assert db["_levada_positions"].count_documents({"position": {"$exists": True}}) == 1
    (kept,) = db["quarantine"].find()
    assert bson.decode(kept["raw"])["n"] == odd["n"]
    clock.now = clock.now.replace(hour=6)
    run = project.run("p")
    assert run.status == "done", run.error
    assert run.steps["s"].values["rows"] == 0
    assert db["quarantine"].count_documents({}) == 1
    assert db["dst"].count_documents({}) == rows


def test_what_is_set_aside_is_kept_once(
    make: Make, clock: Clock, mongo: MongoClient[Document], database: str
) -> None:
    db = mongo[database]
    db.create_collection("dst", validator={"n": {"$ne": -1}})
    documents = [{"k": n, "n": n} for n in range(5_000)] + [{"k": -1, "n": -1}, {"n": 1}, {"k": None}]
    db["src"].insert_many(documents)
    project = make("steps: {s: {copy: {from: db.src, to: db.dst, mode: upsert, key: [k]}}}")
    run = project.run("p")
    assert run.status == "done", run.error
    assert run.steps["s"].values["quarantined"] == 3
    assert db["quarantine"].count_documents({}) == 3


@pytest.mark.parametrize("target", ["db", "wh", "lake"])
@pytest.mark.parametrize("every", [2, 1], ids=["half of the rows", "all rows"])
def test_many_rows_that_are_set_aside_are_let_go_while_the_others_are_written(
    make: Make,
    mongo: MongoClient[Document],
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    every: int,
) -> None:
    """Else a load needs memory for all of them."""
    db, held = mongo[database], []
    does = [{"_id": n, "op": "vanish" if n % every == 0 else "upsert"} for n in range(20_000)]
    db["src"].insert_many(does)
    relieve = _Kept.relieve

    def watched(kept: _Kept, rejected: list[Any]) -> None:
        relieve(kept, rejected)
        held.append(len(rejected))

    monkeypatch.setattr(_Kept, "relieve", watched)
    project = make(f"steps: {{s: {{copy: {{from: db.src, to: {target}.dst, mode: upsert, operation: op}}}}}}")
    run = project.run("p")
    assert len(held) > 3
    assert max(held) < 1_000
    kept = [bson.decode(found["raw"]) if target == "db" else found for found in db["quarantine"].find()]
    assert len(kept) == 20_000 // every
    if every == 1:
        assert run.error is not None
        assert "all 20000 rows were rejected" in str(run.error)
    else:
        assert run.status == "done", run.error
        assert run.steps["s"].values["quarantined"] == 10_000
        assert run.steps["s"].values["rows"] == 10_000
    if target == "db":
        assert {one["_id"] for one in kept} == set(range(0, 20_000, every))
