"""Decode, encode, and read with PyMongo: the independent witness of what the bytes say."""

from itertools import pairwise

import bson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from levada.bson import Decoder, Documents, decode, encode, walk
from levada.types import cast

from . import bson_values as bv
from .conftest import WALKS

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("way")]

relaxed = settings(
    max_examples=100,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def decoded(docs, decoder=None):
    raws = [bson.encode(doc) for doc in docs]
    batch, rejected = (decoder or Decoder()).decode(Documents.from_list(raws))
    assert rejected == ()
    batch.validate(full=True)
    assert batch.num_rows == len(docs)
    return batch


def assert_returns(docs, batch):
    restored, rejected = encode(batch, omit_nulls=True)
    assert rejected == ()
    for doc, raw in zip(docs, restored.to_pylist(), strict=True):
        assert bv.alike(bv.read(bson.encode(doc)), bv.read(raw)), (bv.read(bson.encode(doc)), bv.read(raw))


@relaxed
@given(docs=st.lists(bv.documents, min_size=1, max_size=4))
def test_documents_of_any_types_return_from_columns(docs):
    assert_returns(docs, decoded(docs))


@relaxed
@given(docs=st.lists(bv.plain, min_size=1, max_size=20))
def test_documents_of_few_types_return_from_columns(docs):
    assert_returns(docs, decoded(docs))


@relaxed
@given(
    batches=st.lists(st.lists(st.one_of(bv.plain, bv.documents), max_size=4), min_size=2, max_size=4),
    data=st.data(),
)
def test_the_order_of_batches_changes_neither_types_nor_values(batches, data):
    order = data.draw(st.permutations(range(len(batches))))
    one = table_of(batches)
    other = table_of([batches[at] for at in order])
    assert shape(one[0]) == shape(other[0])
    rows = dict(zip(order, other[1], strict=True))
    for at, texts in enumerate(one[1]):
        assert rows[at] == texts


def table_of(batches):
    """The schema after all batches, and the rows of each batch by that schema."""
    decoder = Decoder()
    out = [decoded(batch, decoder) for batch in batches]
    out = [cast(batch, decoder.schema) for batch in out]
    for batch in out:
        batch.validate(full=True)
    return decoder.schema, list(map(rows_of, out))


def rows_of(batch):
    """Rows whose text is equal when they are: dates as numbers, members sorted."""
    columns = [plain_values(column) for column in batch.columns]
    names = batch.schema.names
    rows = [[column[row] for column in columns] for row in range(batch.num_rows)]
    return [repr(sorted(zip(names, row, strict=True))) for row in rows]


def plain_values(column):
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64()).to_pylist()
    if pa.types.is_struct(column.type):
        children = [plain_values(column.field(at)) for at in range(column.type.num_fields)]
        names = column.type.names
        rows = [[child[row] for child in children] for row in range(len(column))]
        rows = [sorted(zip(names, row, strict=True)) for row in rows]
    elif pa.types.is_list(column.type):
        values, edges = plain_values(column.values), column.offsets.to_pylist()
        rows = [values[start:end] for start, end in pairwise(edges)]
    else:
        return column.to_pylist()
    return [row if valid else None for row, valid in zip(rows, column.is_valid().to_pylist(), strict=True)]


def shape(fields):
    """Names, types and labels without the order of fields."""
    return {field.name: (inner(field.type), field.metadata or None) for field in fields}


def inner(arrow):
    if pa.types.is_struct(arrow):
        return shape(arrow)
    return [shape([arrow.value_field])] if pa.types.is_list(arrow) else arrow


@relaxed
@given(docs=st.lists(st.one_of(bv.plain, bv.documents), min_size=1, max_size=6))
def test_the_two_walks_agree(docs):
    batches = []
    for few in WALKS.values():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(walk, "FEW", few)
            batches.append(decoded(docs, decode.Decoder()))
    assert shape(batches[0].schema) == shape(batches[1].schema)
    assert rows_of(batches[0]) == rows_of(batches[1])


@relaxed
@given(docs=st.lists(bv.plain, min_size=1, max_size=6))
def test_a_cast_to_variant_writes_what_decoding_as_variant_writes(docs):
    names = sorted({name for doc in docs for name in doc})
    known = pa.schema([pa.field(name, pa.string(), metadata={b"levada.bson": b"variant"}) for name in names])
    directly = decoded(docs, Decoder(known))
    assert cast(decoded(docs), known).to_pylist() == directly.to_pylist()
