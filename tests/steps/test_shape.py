"""What a shape may say, and where it says why it may not."""

from __future__ import annotations

from typing import Any

import pytest

from levada.steps.reshape import read_shape
from levada.steps.shape import Column, Document, Misshapen, at, columns_of, grouped

pytestmark = pytest.mark.unit


def test_dotted_names_and_nested_ones_say_the_same() -> None:
    nested = read_shape({"scores": {"churn": "c", "more": {"ltv": "l"}}, "a": "x"})
    dotted = read_shape({"scores.churn": "c", "scores": {"more.ltv": "l"}, "a": "x"})
    assert dotted == nested
    assert at(nested, "scores.more.ltv") == Column("l", "scores.more.ltv")
    assert at(nested, "scores.nothing") is None
    assert isinstance(at(nested, "scores"), Document)


def test_a_document_may_have_fields_named_like_instructions() -> None:
    found = at(read_shape({"price": {"document": {"value": "amount", "column": "c"}}}), "price.value")
    assert found == Column("amount", "price.value")


def test_the_columns_of_a_shape() -> None:
    raw = {
        "k": "k",
        "d": {"a": "x.y", "c": {"value": 1}},
        "e": {"each": {"s": "sku"}, "order_by": ["n desc", "m"]},
    }
    shape = read_shape(raw)
    assert grouped(shape)
    assert columns_of(shape) == ("k", "x.y")
    assert columns_of(shape, each=True) == ("k", "x.y", "sku", "n", "m")


@pytest.mark.parametrize(
    ("raw", "what", "path"),
    [
        ({}, "the shape is empty", ()),
        ("a", "a shape is a mapping", ()),
        ({"a": {}}, "a document without fields", ("a",)),
        ({"a": []}, "an array of nothing", ("a",)),
        ({"a": 5}, "5 is no column", ("a",)),
        ({"a": None}, "None is no column", ("a",)),
        ({"a": ""}, "a column is named by a text", ("a",)),
        ({"a": "x", "a.b": "y"}, "the field 'a' is given twice", ("a.b",)),
        ({"a.b": "y", "a": "x"}, "the field 'a' is given twice", ("a",)),
        ({"a.b": "x", "a": {"b": "y"}}, "the field 'a.b' is given twice", ("a",)),
        ({"a": {"b": {"c": "x"}}, "a.b.c": "y"}, "the field 'a.b.c' is given twice", ("a.b.c",)),
        ({"a.b": "x", "a": {"document": {"c": "y"}, "if_null": "keep"}}, "'a' is given twice", ("a",)),
        ({"a": ["x"], "a.b": "y"}, "the field 'a' is given twice", ("a.b",)),
        ({"": "x"}, "'' is no field name", ("",)),
        ({"a..b": "x"}, "'a..b' is no field name", ("a..b",)),
        ({".a": "x"}, "'.a' is no field name", (".a",)),
        ({"a": {"$set": "x"}}, "'$set' is no field name", ("a", "$set")),
        ({"a\0": "x"}, "is no field name", ("a\0",)),
        ({"_id": ["x"]}, "no array as `_id`", ("_id",)),
        ({"a": {"column": "x", "typ": "int"}}, "`column` has no option 'typ'", ("a", "typ")),
        ({"a": {"value": "x", "currency": "c"}}, "`value` has no option 'currency'", ("a", "currency")),
        ({"a": {"column": "x", "value": 1}}, "`column` and `value` exclude each other", ("a",)),
        ({"a": {"column": "x", "type": "number"}}, "unknown type 'number'", ("a", "type")),
        ({"a": {"column": "x", "type": "binary:02"}}, "unknown type 'binary:02'", ("a", "type")),
        ({"a": {"column": "x", "type": 5}}, "unknown type 5", ("a", "type")),
        ({"a": {"column": "x", "if_null": "keep"}}, "`if_null` can't be 'keep'", ("a", "if_null")),
        ({"a": {"column": "x", "truncate": "yes"}}, "`truncate` is true or false", ("a", "truncate")),
        (
            {"a": {"column": "x", "truncate": True, "type": "int"}},
            "`truncate` is for dates",
            ("a", "truncate"),
        ),
        ({"a": {"value": "x", "type": "object_id"}}, "the constant 'x'", ("a",)),
        ({"a": {"b": {"value": 2**70}}}, "the constant", ("a", "b")),
        ({"a": {"value": [2**70]}}, "BSON has no such value", ("a",)),
        ({"a": {"value": [object()]}}, "the constant", ("a",)),
        ({"a": {"each": {"b": {"each": "x"}}}}, "`each` in `each`", ("a",)),
        ({"a": [{"each": "x"}]}, "can't stand in an array", ("a",)),
        ({"a": {"each": {"value": 1}}}, "`each` names no column", ("a",)),
        ({"a": {"each": {"x": "x", "*": "rest"}}}, "'*' can't stand in `each`", ("a",)),
        ({"a": {"each": "x", "order_by": 5}}, "a column, or a list of columns", ("a", "order_by")),
        ({"a": {"array": ["x"], "nulls": "all"}}, "`nulls` can't be 'all'", ("a", "nulls")),
        ({"a": {"array": "x"}}, "an array is a list", ("a", "array")),
        ({"a": {"document": "x"}}, "a document is a mapping", ("a", "document")),
        ({"a": ["x", {"b": "y"}]}, "the elements of an array are not alike", ("a",)),
        ({"a": [{"b": "y"}, {"c": "y"}]}, "the elements of an array are not alike", ("a",)),
        ({"*": "all"}, "'*' takes `rest`", ("*",)),
        ({"*": {"except": 5}}, "a column, or a list of columns", ("*", "except")),
    ],
)
def test_what_says_nothing_or_two_things_is_refused_at_its_place(raw: Any, what: str, path: Any) -> None:
    with pytest.raises(Misshapen) as refused:
        read_shape(raw)
    assert what in refused.value.what
    assert refused.value.path == path


def test_two_places_for_the_rest_are_refused() -> None:
    with pytest.raises(Misshapen, match="twice"):
        read_shape({"a": {"*": "rest"}, "*": "rest"})


def test_documents_are_no_deeper_than_the_server_takes_them() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(Misshapen, match="deeper than"):
        read_shape(deep)
