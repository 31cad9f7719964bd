"""Any changes, cut anywhere, leave what a dictionary has after the same changes one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import bson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from levada.connectors.base import OPERATIONS, Changes, Mode, Write
from levada.connectors.mongodb import MongoConnection
from levada.connectors.mongodb.apply.applier import Applier
from levada.connectors.mongodb.apply.fold import Change, Fold
from levada.connectors.mongodb.apply.intake import Intake
from levada.connectors.mongodb.apply.keys import Keys
from levada.connectors.mongodb.fence import Fence
from levada.connectors.mongodb.lanes import Tally

from .applying import OUT, OWNER, Document
from .conftest import batch
from .test_fields import bare, merged


class Row(NamedTuple):
    """One row that comes."""

    operation: str | None
    document: Document


@dataclass
class Model:
    """Key -> what is stored under it."""

    rules: Changes
    rows: dict[Any, Document] = field(default_factory=dict)
    older: int = 0

    def take(self, row: Row) -> None:
        rules = self.rules
        drops = (rules.on_null, rules.merge) == ("unset", "replace")
        new = bare(row.document) if drops else row.document
        key, operation = name_of(new["k"]), row.operation or "upsert"
        old = self.rows.get(key)
        if old is None:
            if operation in ("insert", "upsert"):
                self.rows[key] = new if rules.merge == "replace" else self._merged({}, new)
        elif rules.version and rank(new.get("v")) < rank(old.get("v")):
            self.older += 1
        elif operation == "delete":
            del self.rows[key]
        elif operation != "insert":
            self.rows[key] = self._changed(old, new)

    def _changed(self, old: Document, new: Document) -> Document:
        identity = {"_id": old["_id"]} if "_id" in old else {}
        body = {name: value for name, value in new.items() if name != "_id"}
        if self.rules.merge == "replace":
            return identity | body
        return identity | self._merged(old, body)

    def _merged(self, old: Document, new: Document) -> Document:
        return merged(old, new, deep=self.rules.merge == "deep", on_null=self.rules.on_null)


def plain(value: Any) -> Any:
    """Equal where the server says so."""
    if isinstance(value, bson.Decimal128):
        return Fraction(value.to_decimal())
    return Fraction(value) if isinstance(value, int | float) else value


def name_of(key: Any) -> str:
    """The same for keys that are equal."""
    return f"a: {plain(key['a'])}" if isinstance(key, dict) else repr(plain(key))


def rank(version: Any) -> tuple[int, Any]:
    return (0, 0) if version is None else (1, plain(version))


KEYS = st.sampled_from(
    [
        1,
        bson.Int64(1),
        1.0,
        bson.Decimal128("1.0"),
        "1",
        0.5,
        bson.Decimal128("0.50"),
        2,
        {"a": 1},
        {"a": 1.0},
    ]
)
VERSIONS = st.none() | st.sampled_from([1, 2, 2.0, bson.Int64(3), bson.Decimal128("2.5")])
VALUES = (
    st.none()
    | st.integers(0, 1)
    | st.fixed_dictionaries({}, optional={"x": st.none() | st.integers(0, 1), "y": st.just(1)})
)
RULES = st.builds(
    Changes,
    operation=st.sampled_from([None, "op"]),
    version=st.sampled_from([None, "v"]),
    merge=st.sampled_from(["replace", "fields", "deep"]),
    on_null=st.sampled_from(["write", "unset", "keep"]),
).filter(lambda rules: (rules.merge, rules.on_null) != ("replace", "keep"))
ROWS = st.builds(
    Row,
    st.sampled_from([None, *OPERATIONS, "upsert", "upsert"]),
    st.fixed_dictionaries({"k": KEYS}, optional={"v": VERSIONS, "a": VALUES, "b": VALUES}),
)
#: Rows, and where they are cut.
STORIES = st.lists(st.lists(ROWS, min_size=1, max_size=8), min_size=1, max_size=5)


def applier_of(
    connection: MongoConnection, rules: Changes, *, empty: bool, transactions: bool = True
) -> tuple[Applier, Callable[[Sequence[Row]], list[Change]]]:
    """An applier as a stream would use it, and what makes its changes of rows."""
    write = Write(OUT, Mode.UPSERT, OWNER, ("k",), changes=rules)
    database = connection.database()
    fence = Fence(connection.client, database.name, "out", write, transactions=transactions)
    fence.take()
    keys, fold = Keys(("k",)), Fold(rules)
    applier = Applier(database, "out", fence, keys, fold, empty=empty)
    intake = Intake(write, keys, fold, None)

    def changes(rows: Sequence[Row]) -> list[Change]:
        marked = [{"op": row.operation, **row.document} if rules.operation else row.document for row in rows]
        made, rejected = intake.of(batch(*marked))
        assert rejected == []
        return made

    return applier, changes


def follow(
    connection: MongoConnection, rules: Changes, story: list[list[Row]], *, transactions: bool
) -> None:
    db = connection.database()
    db["out"].delete_many({})
    applier, changes = applier_of(connection, rules, empty=True, transactions=transactions)
    model, tally = Model(rules), Tally()
    for part in story:
        for row in part:
            model.take(row if rules.operation else row._replace(operation=None))
        tally.add(applier.store(0, changes(part)))
    found = {name_of(row["k"]): bson.encode(row) for row in db["out"].find({}, {"_id": 0})}
    assert found == {name: bson.encode(row) for name, row in model.rows.items()}
    assert tally.rejected == []
    assert tally.older == model.older


def profile(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture(autouse=True)
def _unique(db: Database[Document]) -> None:
    db["out"].create_index("k", unique=True)


@given(rules=RULES, story=STORIES)
@profile(60)
def test_any_changes_cut_anywhere_end_like_a_dictionary(
    connection: MongoConnection, rules: Changes, story: list[list[Row]]
) -> None:
    follow(connection, rules, story, transactions=True)


@given(rules=RULES, story=STORIES)
@profile(40)
def test_without_transactions_they_end_the_same(
    connection: MongoConnection, rules: Changes, story: list[list[Row]]
) -> None:
    follow(connection, rules, story, transactions=False)


@pytest.mark.nightly
@given(rules=RULES, story=STORIES, transactions=st.booleans())
@profile(3000)
def test_very_many_changes_end_like_a_dictionary(
    connection: MongoConnection, rules: Changes, story: list[list[Row]], transactions: bool
) -> None:
    follow(connection, rules, story, transactions=transactions)
