"""Embedded arrays as rows: the same rows as plain Python makes of the documents."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Decimal128, Int64, ObjectId
from hypothesis import example, given, settings
from hypothesis import strategies as st

from levada.bson import Decoder, Documents, encode
from levada.errors import ConfigError, Fatal
from levada.steps.explode import Explosion, tree
from levada.types import cast, kind_of, widen

pytestmark = pytest.mark.unit

Document = dict[str, Any]
WHEN = datetime(2026, 11, 23, 5, 6, 7, 89000, tzinfo=UTC)
ID = ObjectId("65f0c0ffee65f0c0ffee65f0")


def batches(documents: list[Document], sizes: list[int] | None = None) -> Iterator[pa.RecordBatch]:
    """As a source gives them: the schema widens from one to the next."""
    decoder, rest = Decoder(), [bson.encode(document) for document in documents]
    for size in [*(sizes or []), len(rest)]:
        part, rest = rest[:size], rest[size:]
        if part:
            batch, rejected = decoder.decode(Documents.from_list(part))
            assert not rejected
            yield batch


def joined(parts: list[pa.RecordBatch]) -> pa.Table:
    schema = reduce(widen, (part.schema for part in parts))
    return pa.Table.from_batches([cast(part, schema) for part in parts])


def exploded(
    documents: list[Document],
    explode: tuple[str, ...],
    text: tuple[str, ...] = (),
    sizes: list[int] | None = None,
    time: str | None = None,
) -> dict[str, pa.Table]:
    """Path -> the table's rows; the parent's path is empty."""
    explosion = Explosion(explode, text, ("_id",), time)
    made = [explosion.of(batch) for batch in batches(documents, sizes)]
    tables = {"": joined([parent for parent, _ in made])}
    return tables | {path: joined([children[path] for _, children in made]) for path in explode}


def rows(table: pa.Table) -> list[Document]:
    """What the rows are as documents; nulls are left out."""
    found = []
    for batch in table.to_batches():
        documents, rejected = encode(batch, omit_nulls=True)
        assert not rejected
        found += [plain(bson.decode(document)) for document in documents.to_pylist()]
    return found


def plain(value: Any) -> Any:
    """Values as they can be compared: without nulls in documents, decimals by their value."""
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [plain(element) for element in value]
    return value.to_decimal().normalize() if isinstance(value, Decimal128) else value


def model(documents: list[Document], paths: tuple[str, ...]) -> dict[str, list[Document]]:
    """The rows by brute force."""
    tables: dict[str, list[Document]] = {"": [], **{path: [] for path in paths}}
    for document in map(bson.decode, map(bson.encode, documents)):
        carried = {"_id": document["_id"]}
        tables[""].append(plain(_taken(document, "", carried, paths, tables)))
    return {path: [plain(row) for row in found] for path, found in tables.items()}


def _taken(
    document: Document,
    path: str,
    carried: Document,
    paths: tuple[str, ...],
    tables: dict[str, list[Document]],
) -> Document:
    left: Document = {}
    for name, value in document.items():
        here = f"{path}.{name}" if path else name
        if here in paths and isinstance(value, list):
            for place, element in enumerate(value):
                fixed = {**carried, "position": place}
                below = {**carried, f"{here.replace('.', '_')}_position": place}
                if isinstance(element, dict):
                    members = _taken(element, here, below, paths, tables)
                    last = f"{name}_"
                    members = {last + key if key in fixed else key: each for key, each in members.items()}
                    tables[here].append({**fixed, **members})
                else:
                    tables[here].append({**fixed, "value": element})
        elif here not in paths and isinstance(value, dict) and _inside(here, paths):
            left[name] = _taken(value, here, carried, paths, tables)
        else:
            left[name] = value
    return left


def _inside(path: str, paths: tuple[str, ...]) -> bool:
    return any(each.startswith(f"{path}.") for each in paths)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(2**40, 2**50).map(Int64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.just(ID),
    st.just(WHEN),
    st.decimals(-(10**6), 10**6, places=2, allow_nan=False).map(Decimal128),
    st.binary(max_size=3),
)
TAXES = st.lists(
    SCALARS | st.fixed_dictionaries({}, optional={"rate": SCALARS, "position": SCALARS}), max_size=3
)
ITEM = st.fixed_dictionaries(
    {}, optional={"_id": SCALARS, "sku": st.text(max_size=3), "taxes": TAXES | SCALARS, "position": SCALARS}
)
ITEMS = st.lists(ITEM | SCALARS | st.lists(SCALARS, max_size=2), max_size=4)
PARCELS = st.fixed_dictionaries({}, optional={"parcels": st.lists(ITEM, max_size=3) | SCALARS, "to": SCALARS})
DOCUMENTS = st.lists(
    st.fixed_dictionaries(
        {}, optional={"items": ITEMS | SCALARS | ITEM, "shipping": PARCELS | SCALARS, "tags": ITEMS | SCALARS}
    ),
    min_size=1,
    max_size=8,
).map(lambda found: [{"_id": n, **document} for n, document in enumerate(found)])
PATHS = ("items", "items.taxes", "shipping.parcels")


def usual(found: list[Document]) -> list[Document]:
    return sorted(
        found, key=lambda row: str([row.get(name) for name in ("_id", "items_position", "position")])
    )


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, st.lists(st.integers(1, 4), max_size=4), st.booleans())
@example(
    [{"_id": 1, "items": [{"a": 1}]}, {"_id": 2, "items": 5}, {"_id": 3, "items": [{"a": 2.5}, 7]}], [1], True
)
def test_rows_are_those_of_plain_python(documents: list[Document], sizes: list[int], text: bool) -> None:
    found = exploded(documents, PATHS, ("tags",) if text else (), sizes)
    for path, wanted in model(documents, PATHS).items():
        assert usual(rows(found[path])) == usual(wanted), path
    if text and "tags" in found[""].schema.names:
        assert kind_of(found[""].schema.field("tags")) in ("variant", "null")


@settings(max_examples=100, deadline=None)
@given(DOCUMENTS, st.integers(0, 100))
@example([{"_id": 0}, {"_id": 1, "items": False}, {"_id": 2, "items": [{"_id": None}]}], 1)
def test_neither_rows_nor_columns_depend_on_the_order(documents: list[Document], seed: int) -> None:
    chance = random.Random(seed)
    shuffled = chance.sample(documents, len(documents))
    one, other = exploded(documents, PATHS), exploded(shuffled, PATHS, sizes=[1] * len(documents))
    for path in ("", *PATHS):
        assert usual(rows(one[path])) == usual(rows(other[path]))
        assert settled(one[path]) == settled(other[path])


def settled(table: pa.Table) -> set[str]:
    """The columns that hold anything: no store has a column of nothing but null."""
    return {field.name for field in table.schema if not pa.types.is_null(field.type)}


def test_a_null_element_is_a_row_and_no_array_is_none() -> None:
    documents: list[Document] = [
        {"_id": 1, "items": [{"a": 1}, None]},
        {"_id": 2, "items": []},
        {"_id": 3, "items": None},
        {"_id": 4},
    ]
    found = exploded(documents, ("items",))
    assert found[""].to_pylist() == [{"_id": 1}, {"_id": 2}, {"_id": 3}, {"_id": 4}]
    assert found["items"].to_pylist() == [
        {"_id": 1, "position": 0, "a": 1},
        {"_id": 1, "position": 1, "a": None},
    ]


def test_arrays_in_arrays_carry_both_positions_and_the_time() -> None:
    items = [{"sku": "a", "taxes": [7, 9]}, {"sku": "b", "taxes": []}, {"sku": "c", "taxes": [1]}]
    found = exploded([{"_id": ID, "at": WHEN, "items": items}], ("items", "items.taxes"), time="at")
    assert found["items"].schema.names == ["_id", "at", "position", "sku"]
    taxes = found["items.taxes"]
    assert taxes.schema.names == ["_id", "at", "items_position", "position", "value"]
    assert taxes.schema.field("position").type == pa.int32()
    values = zip(*(taxes[name].to_pylist() for name in taxes.schema.names[1:]), strict=True)
    assert list(values) == [(WHEN, 0, 0, 7), (WHEN, 0, 1, 9), (WHEN, 2, 0, 1)]


def test_labels_of_nested_fields_survive() -> None:
    found = exploded(
        [{"_id": ID, "items": [{"ref": ID, "in": {"ref": ID}}]}, {"_id": 2, "items": 3}], ("items",)
    )
    schema = found["items"].schema
    assert kind_of(schema.field("ref")) == "objectId"
    assert kind_of(schema.field("in").type.field("ref")) == "objectId"
    alone = exploded([{"_id": ID, "ids": [ID, None]}], ("ids",))["ids"].schema
    assert (kind_of(alone.field("_id")), kind_of(alone.field("value"))) == ("objectId", "objectId")


def test_members_that_have_the_name_of_another_column_are_renamed() -> None:
    item = {"_id": 7, "position": "left", "at": 1, "items__id": 2, "items_items__id": 3, "items_x": 4}
    found = exploded([{"_id": 1, "at": WHEN, "items": [item]}], ("items",), time="at")["items"]
    assert rows(found) == [
        {
            "_id": 1,
            "at": WHEN.replace(tzinfo=None),
            "position": 0,
            "items__id": 7,
            "items_position": "left",
            "items_at": 1,
            "items_items__id": 2,
            "items_items_items__id": 3,
            "items_x": 4,
        }
    ]


def test_a_key_named_position_keeps_its_name() -> None:
    explosion = Explosion(("items",), (), ("position",))
    [batch] = batches([{"_id": 1, "position": 3, "items": [{"a": 1}]}])
    assert explosion.of(batch)[1]["items"].to_pylist() == [{"position": 3, "_position": 0, "a": 1}]


def test_values_that_are_no_arrays_stay_and_are_counted() -> None:
    documents: list[Document] = [
        {"_id": 1, "items": [1]},
        {"_id": 2, "items": 5},
        {"_id": 3, "items": {"a": ID}},
    ]
    explosion = Explosion(("items",), (), ("_id",))
    [batch] = batches(documents)
    parent, children = explosion.of(batch)
    assert parent["items"].to_pylist() == [None, '{"$numberInt":"5"}', f'{{"a":{{"$oid":"{ID}"}}}}']
    assert kind_of(parent.schema.field("items")) == "variant"
    assert children["items"]["value"].to_pylist() == [1]
    assert explosion.kept == {"items": 2}


def test_a_path_through_something_that_is_no_document_leaves_it() -> None:
    documents: list[Document] = [{"_id": 1, "shipping": 5}, {"_id": 2, "shipping": "x"}]
    found = exploded(documents, ("shipping.parcels",))
    assert rows(found[""]) == documents
    assert found["shipping.parcels"].to_pylist() == []


def test_json_is_the_canonical_text_at_any_depth() -> None:
    documents: list[Document] = [
        {"_id": 1, "a": {"tags": [1, ID]}, "items": [{"meta": {"x": 1.5}}, {"meta": None}]}
    ]
    found = exploded(documents, (), ("a.tags", "items.meta"))[""]
    assert found["a"].to_pylist() == [{"tags": f'[{{"$numberInt":"1"}},{{"$oid":"{ID}"}}]'}]
    assert found["items"].to_pylist() == [[{"meta": '{"x":{"$numberDouble":"1.5"}}'}, {"meta": None}]]
    child = exploded(documents, ("items",), ("items.meta",))["items"]
    assert child["meta"].to_pylist() == ['{"x":{"$numberDouble":"1.5"}}', None]
    assert kind_of(child.schema.field("meta")) == "variant"


@pytest.mark.parametrize("shipping", [[{"parcels": [1]}], [[1]]])
def test_a_path_through_an_array_needs_the_array_too(shipping: Any) -> None:
    for documents in (
        [{"_id": 1, "shipping": shipping}],
        [{"_id": 1, "shipping": shipping}, {"_id": 2, "shipping": 3}],
    ):
        with pytest.raises(ConfigError, match="together with it"):
            exploded(documents, ("shipping.parcels",))


@pytest.mark.parametrize("sizes", [[], [1]])
def test_documents_with_a_value_beside_plain_values_are_not_mixed_up(sizes: list[int]) -> None:
    documents: list[Document] = [{"_id": 1, "items": [{"value": 1}]}, {"_id": 2, "items": [5]}]
    for ordered in (documents, documents[::-1]):
        with pytest.raises(Fatal, match="and also plain values"):
            exploded(ordered, ("items",), sizes=sizes)
    assert exploded(documents[:1], ("items",))["items"].to_pylist() == [{"_id": 1, "position": 0, "value": 1}]


def test_rows_without_the_key_are_refused() -> None:
    [batch] = batches([{"_id": 1, "items": [1]}])
    with pytest.raises(ConfigError, match="'order_id'"):
        Explosion(("items",), (), ("order_id",)).of(batch)


@pytest.mark.parametrize(
    ("explode", "text", "problem"),
    [
        (("a", "a"), (), "twice"),
        (("a",), ("a",), "twice"),
        (("a..b",), (), "no path"),
        (("",), (), "no path"),
        (("a.b",), ("a",), "becomes JSON"),
    ],
)
def test_paths_that_contradict_each_other_are_refused(
    explode: tuple[str, ...], text: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        tree(explode, text)


def test_elements_with_very_many_names_become_columns_all_the_same() -> None:
    """A document in a column of more than 1,000 names is a variant; as rows the names are columns."""
    documents = [{"_id": n, "items": [{f"n{n}_{m}": m for m in range(300)}]} for n in range(5)]
    for sizes in ([], [1, 1, 1, 1]):
        found = exploded(documents, ("items",), sizes=sizes)["items"]
        assert len(found.schema) == 2 + 1500
        assert rows(found)[4] == {"_id": 4, "position": 0, **documents[4]["items"][0]}
