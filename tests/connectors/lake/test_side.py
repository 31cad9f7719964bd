"""Side columns: what a stored column can't hold goes beside it, value by value."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
import pytest
from bson import Decimal128, Int64, ObjectId

from levada.bson import Decoder, Documents
from levada.connectors.base import Mode
from levada.errors import Fatal

from .conftest import Lake, items


def decoded(*values: Any) -> pa.RecordBatch:
    """Rows `{k, v}` as MongoDB gives them, keys k0, k1, ..."""
    documents = [bson.encode({"k": f"k{at}", "v": value}) for at, value in enumerate(values)]
    return Decoder().decode(Documents.from_list(documents))[0]


def stored(
    make_lake: Callable[..., Lake], first: pa.RecordBatch, *later: pa.RecordBatch, **write: Any
) -> Lake:
    lake = make_lake(on_type_change="variant")
    lake.write(first)
    lake.write(*later, **write)
    return lake


def in_any_order(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return sorted(rows, key=str)


def both(lake: Lake) -> list[dict[str, Any]]:
    return in_any_order(*lake.read().select(["v", "v__variant"]).to_pylist())


def test_values_go_where_they_fit(make_lake: Callable[..., Lake]) -> None:
    lake = stored(
        make_lake, decoded(1, 2), decoded(3, "x", Int64(2**40), Int64(7), None, 2.5, ObjectId("5f" * 12))
    )
    assert both(lake) == in_any_order(
        {"v": 1, "v__variant": None},
        {"v": 2, "v__variant": None},
        {"v": 3, "v__variant": None},
        {"v": None, "v__variant": '"x"'},
        {"v": None, "v__variant": '{"$numberLong":"1099511627776"}'},
        {"v": 7, "v__variant": None},
        {"v": None, "v__variant": None},
        {"v": None, "v__variant": '{"$numberDouble":"2.5"}'},
        {"v": None, "v__variant": '{"$oid":"5f5f5f5f5f5f5f5f5f5f5f5f"}'},
    )


@pytest.mark.parametrize("together", [True, False])
def test_the_batches_of_a_write_do_not_matter(make_lake: Callable[..., Lake], together: bool) -> None:
    values = [4, "x", 2.5, Int64(2**40), 9]
    later = [decoded(*values)] if together else [decoded(value) for value in values]
    lake = stored(make_lake, decoded(1), *later)
    texts = ['"x"', '{"$numberDouble":"2.5"}', '{"$numberLong":"1099511627776"}']
    fitting = [{"v": value, "v__variant": None} for value in (1, 4, 9)]
    assert both(lake) == in_any_order(*fitting, *({"v": None, "v__variant": text} for text in texts))


def test_documents_and_decimals_that_do_not_fit_go_whole(make_lake: Callable[..., Lake]) -> None:
    first = decoded({"a": 1, "price": Decimal128("1.50")})
    lake = stored(make_lake, first, decoded({"a": "one"}, {"a": 5, "price": Decimal128("2.25")}))
    assert both(lake) == in_any_order(
        {"v": {"a": 1, "price": Decimal("1.50")}, "v__variant": None},
        {"v": None, "v__variant": '{"a":"one"}'},
        {"v": {"a": 5, "price": Decimal("2.25")}, "v__variant": None},
    )


def test_an_upsert_moves_a_value_between_the_columns(make_lake: Callable[..., Lake]) -> None:
    lake = stored(make_lake, decoded(1, 2), decoded("x"), mode=Mode.UPSERT)
    assert lake.rows("k", "v", "v__variant") == [("k0", None, '"x"'), ("k1", 2, None)]
    lake.write(decoded(5), mode=Mode.UPSERT)
    assert lake.rows("k", "v", "v__variant") == [("k0", 5, None), ("k1", 2, None)]


def test_keys_and_times_get_no_side_column(make_lake: Callable[..., Lake]) -> None:
    lake = make_lake(on_type_change="variant")
    lake.write(items(1))
    with pytest.raises(Fatal, match="column 'k' is stored as string"):
        lake.write(pa.record_batch({"k": pa.array([1], pa.int64())}))
