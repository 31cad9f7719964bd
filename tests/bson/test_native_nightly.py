"""The long form of `test_native`: a million mutated buffers, a column of more than 2 GiB."""

import bson
import numpy as np
import pytest

from levada.bson import Documents, native, native_decode
from levada.errors import Fatal

from .conftest import need_native
from .test_native import hammer

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3_000)]


def test_a_million_mutated_buffers_crash_nothing(monkeypatch):
    need_native()
    monkeypatch.setenv(native.VARIABLE, "native")
    assert sum(hammer(50_000, seed) for seed in range(20)) > 100_000


def test_a_column_of_more_than_2_gib_is_refused_and_the_next_batch_is_read():
    need_native()
    elements = b"".join(b"\x07%d\0" % (at % 10) + bytes(12) for at in range(10)) * 900_000
    array = (len(elements) + 5).to_bytes(4, "little") + elements + b"\0"
    raw = (len(array) + 8).to_bytes(4, "little") + b"\x04a\0" + array + b"\0"
    small = bson.encode({"a": [bson.ObjectId()]})
    decoder = native_decode.Decoder()
    with pytest.raises(Fatal, match="more than 2 GiB"):
        decoder.decode(Documents(raw * 11, np.arange(11) * len(raw), np.arange(1, 12) * len(raw)))
    assert decoder.decode(Documents.from_list([small]))[0].num_rows == 1
