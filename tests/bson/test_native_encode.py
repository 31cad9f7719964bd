"""The native codec writes the bytes that the reference writes, and rejects what the reference rejects."""

import bson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada.bson import Decoder, Documents
from levada.bson.encode import encode as by_reference
from levada.bson.native_encode import encode
from levada.errors import Fatal
from levada.types import field_of

from . import arrow_batches, bson_values
from .conftest import need_native

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("native")]


@pytest.fixture(scope="module")
def native():
    need_native()


def alone(batch):
    """What the native codec says by itself, without the reference's help."""
    import bsonarrow

    return bsonarrow.encode(batch)


relaxed = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@given(arrow_batches.batches(), st.booleans())
@relaxed
def test_equals_the_reference_on_every_type_slice_and_misfit(batch, omit_nulls):
    expected, rejected = by_reference(batch, omit_nulls=omit_nulls)
    documents, found = encode(batch, omit_nulls=omit_nulls)
    assert documents.to_pylist() == expected.to_pylist()
    assert found == rejected


@given(st.lists(bson_values.documents, max_size=6))
@relaxed
def test_needs_no_help_for_what_the_decoder_makes(docs):
    batch, _ = Decoder().decode(Documents.from_list([bson.encode(doc) for doc in docs]))
    documents, refused = alone(batch)
    assert refused == []
    assert pa.array(documents).equals(by_reference(batch)[0])


@pytest.mark.parametrize("text", arrow_batches.SPELLINGS)
def test_every_spelling_of_a_variant_is_the_references(text):
    batch = pa.record_batch([pa.array([text, None, '"x"'])], schema=pa.schema([field_of("variant", "f")]))
    expected, rejected = by_reference(batch)
    documents, found = encode(batch)
    assert (documents.to_pylist(), found) == (expected.to_pylist(), rejected)


def test_long_arrays_have_their_places_as_names():
    batch = pa.record_batch({"f": pa.array([list(range(1_234))])})
    (document,) = pa.array(alone(batch)[0]).to_pylist()
    assert bson.decode(document) == {"f": list(range(1_234))}
    assert b"\x121233\0" in document


def test_refuses_more_than_two_gibibytes():
    column = pa.array(["x" * 2**24])  # one column of 16 MiB that stands in every member
    row = pa.record_batch([column] * 129, [f"c{at}" for at in range(129)])
    with pytest.raises(Fatal, match="2 GiB"):
        encode(row)


def test_refuses_an_array_that_is_no_batch():
    with pytest.raises(TypeError, match="record batch"):
        alone(pa.array([1]))


OFFSETS = pa.py_buffer(bytes.fromhex("00000000 ffffff7f 02000000"))


@pytest.mark.parametrize(
    "column",
    [
        pa.Array.from_buffers(pa.string(), 2, [None, OFFSETS, pa.py_buffer(b"ab")]),
        pa.Array.from_buffers(
            pa.list_(pa.int32()), 2, [None, OFFSETS], children=[pa.array([1, 2], pa.int32())]
        ),
        pa.Array.from_buffers(
            pa.list_(pa.struct([])), 2, [None, OFFSETS], children=[pa.array([{}, {}], pa.struct([]))]
        ),
        pa.Array.from_buffers(pa.list_(pa.null()), 2, [None, OFFSETS], children=[pa.nulls(2)]),
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_whose_offsets_are_wrong_is_an_error_and_no_crash(column):
    with pytest.raises(ValueError, match="offset"):
        alone(pa.record_batch({"f": column}))
