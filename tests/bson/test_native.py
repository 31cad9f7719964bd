"""The native codec against the reference: the same rows, schemas and rejects from any bytes."""

import contextlib
import gc
import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import bson
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from levada.bson import Documents, codec, decode, native, native_decode, reply
from levada.errors import ConfigError, Fatal
from levada.types import field_of
from levada.types.kinds import decimal_field

from . import bson_values as bv
from .conftest import need_native

pytestmark = pytest.mark.unit

relaxed = settings(
    max_examples=200,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def installed():
    need_native()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.VARIABLE, "native")
        yield


class Both:
    """A native and a reference decoder that are given the same batches."""

    def __init__(self, schema=None):
        self.native = native_decode.Decoder(schema)
        self.reference = decode.Decoder(schema)

    def decode(self, raws):
        documents = raws if isinstance(raws, Documents) else Documents.from_list(raws)
        ours, ours_rejected = self.native.decode(documents)
        theirs, theirs_rejected = self.reference.decode(documents)
        ours.validate(full=True)
        assert [one.raw for one in ours_rejected] == [one.raw for one in theirs_rejected]
        assert ours.schema.equals(theirs.schema, check_metadata=True), (ours.schema, theirs.schema)
        assert self.native.schema.equals(self.reference.schema, check_metadata=True)
        assert ours.num_rows == theirs.num_rows
        for one, other in zip(ours.columns, theirs.columns, strict=True):
            assert_same(one, other)
        return ours, ours_rejected, theirs_rejected


def assert_same(one, other):
    """Equal values, NaN by its bits, also below null parents."""
    assert one.type == other.type
    assert one.is_valid().equals(other.is_valid())
    if pa.types.is_struct(one.type):
        for at in range(one.type.num_fields):
            assert_same(one.field(at), other.field(at))
    elif pa.types.is_list(one.type):
        assert one.offsets.equals(other.offsets)
        assert_same(one.values, other.values)
    elif pa.types.is_floating(one.type):
        assert one.view(pa.int64()).equals(other.view(pa.int64()))
    else:
        assert one.equals(other)


drifting = st.lists(st.lists(st.one_of(bv.plain, bv.documents), max_size=5), min_size=1, max_size=4)


@relaxed
@given(batches=drifting)
def test_documents_of_any_types_give_equal_batches(batches):
    both = Both()
    for batch in batches:
        _, rejected, _ = both.decode([bson.encode(doc) for doc in batch])
        assert rejected == ()


@relaxed
@given(docs=st.lists(bv.plain, min_size=13, max_size=60), data=st.data())
def test_many_documents_in_any_order_of_fields_give_equal_batches(docs, data):
    both = Both()
    chance = data.draw(st.randoms(use_true_random=False))
    shuffled = [dict(chance.sample(list(doc.items()), len(doc))) for doc in docs]
    both.decode([bson.encode(doc) for doc in shuffled[:30]])
    both.decode([bson.encode(doc) for doc in shuffled[30:]])


def mutated(raws, chance, changes):
    """The documents with some bytes set to others, cut, or put in twice."""
    out = [bytearray(raw) for raw in raws]
    for _ in range(changes):
        raw = chance.choice(out)
        if not raw:
            continue
        at = chance.randrange(len(raw))
        kind = chance.random()
        if kind < 0.8:
            raw[at] = chance.choice((0, 1, 2, 3, 4, 5, 8, 10, 16, 127, 128, 255, chance.randrange(256)))
        elif kind < 0.9:
            del raw[at : at + chance.randint(1, 9)]
        else:
            raw[at:at] = raw[at : at + chance.randint(1, 9)]
        if kind >= 0.8 and len(raw) >= 4 and chance.random() < 0.8:
            raw[:4] = len(raw).to_bytes(4, "little")
    return list(map(bytes, out))


@relaxed
@given(batches=drifting, seed=st.integers(0, 2**32), changes=st.integers(1, 4))
def test_mutated_bytes_give_equal_batches_and_equal_rejects(batches, seed, changes):
    chance = random.Random(seed)
    both = Both()
    for batch in batches:
        raws = [bson.encode(doc) for doc in batch]
        both.decode(mutated(raws, chance, changes) if raws else raws)


KNOWN = pa.schema(
    [
        field_of("variant", "any"),
        field_of("int64", "number").with_metadata({b"note": b"kept"}),
        field_of("string", "text").with_nullable(False),
        decimal_field("whole", 4, 2),
        pa.field("list", pa.list_(pa.field("element", pa.struct([pa.field("x", pa.int32(), False)])))),
        pa.field(
            "inner", pa.struct([pa.field("when", pa.timestamp("ms")), pa.field("n", pa.decimal128(9, 1))])
        ),
        field_of("binary:05", "id"),
        pa.field("gone", pa.list_(pa.field("element", pa.int64(), nullable=False))),
    ],
    metadata={b"table": b"orders"},
)


@relaxed
@given(
    batches=st.lists(st.lists(bv.plain, max_size=20), min_size=1, max_size=3),
    names=st.sets(st.sampled_from(KNOWN.names)),
)
def test_known_schemas_widen_equally(batches, names):
    both = Both(pa.schema([field for field in KNOWN if field.name in names], metadata=KNOWN.metadata))
    for batch in batches:
        both.decode([bson.encode(doc) for doc in batch])


@pytest.mark.parametrize(
    "field",
    [
        pa.field("f", pa.int8()),
        pa.field("f", pa.timestamp("us", "UTC")),
        pa.field("f", pa.duration("s")),
        pa.field("f", pa.dictionary(pa.int8(), pa.string())),
        pa.field("f", pa.large_string()),
        pa.field("f", pa.struct([("a\0b", pa.int32())])),
        pa.field("f", pa.list_(pa.list_(pa.float32()))),
        pa.field("f", pa.string(), metadata={b"levada.bson": b"unheard of"}),
    ],
    ids=str,
)
def test_known_types_beyond_the_lattice_are_left_to_the_reference(field):
    decoder = native.Decoder(pa.schema([field]))
    assert isinstance(decoder._decoder, decode.Decoder)
    batch, _ = decoder.decode(Documents.from_list([bson.encode({"g": 1})]))
    assert batch.schema.names == ["f", "g"]


@pytest.mark.parametrize("count", [3, 40])
def test_a_rejected_document_leaves_no_trace_in_the_order_of_new_fields(count):
    bad = bv.raw_document((10, b"z", b""), (10, b"c", b""), (8, b"a", b"\7"))
    raws = [bson.encode({"a": 1, "b": 1})] * count + [bad] + [bson.encode({"c": 1, "a": 1})] * count
    both = Both()
    batch, rejected, _ = both.decode(raws)
    assert batch.schema.names == ["a", "b", "c"]
    assert len(rejected) == 1


def test_documents_that_overlap_or_lie_outside_are_read_alike():
    raw = b"".join(bson.encode({"n": n}) for n in range(4))
    size = len(raw) // 4
    starts = np.array([0, 2 * size, size, size, 3 * size, 0])
    ends = np.array([size, 3 * size, 2 * size, 3 * size, 4 * size, 0])
    batch, rejected, _ = Both().decode(Documents(raw, starts, ends))
    assert batch.column(0).to_pylist() == [0, 2, 1, 3]
    assert len(rejected) == 2
    starts, ends = np.array([-5, 0, 4 * size]), np.array([0, size, 5 * size])
    batch, rejected, _ = Both().decode(Documents(raw, starts, ends))
    assert batch.column(0).to_pylist() == [0]
    assert len(rejected) == 2


@pytest.mark.parametrize("buffer", [bytearray, memoryview, lambda raw: memoryview(bytearray(raw))])
def test_any_buffer_is_read(buffer):
    raw = bson.encode({"n": 1})
    documents = Documents(buffer(raw), np.array([0]), np.array([len(raw)]))
    assert Both().decode(documents)[0].to_pylist() == [{"n": 1}]


CORPUS = [
    *({"n": n, "text": "x€" * (n % 5), "list": [{"x": n, "y": [1.5] * (n % 3)}] * (n % 4)} for n in range(9)),
    {"id": bson.ObjectId(), "uuid": bson.Binary(bytes(16), 4), "raw": b"\0\1", "old": bson.Binary(b"a", 2)},
    {"deep": {"er": [{"and": {"er": [[None, True, bson.Int64(5)]]}}]}, "code": bson.Code("f", {"a": 1})},
    {"d": bson.Decimal128("1.50"), "when": bson.DatetimeMS(5), "re": bson.Regex("a", "i"), "n": "text"},
    {"d": bson.Decimal128("NaN"), "at": bson.Timestamp(1, 2), "least": bson.MinKey(), "n": 2.5, "code": "f"},
]


def hammer(buffers, seed):
    """Decode, validate and split that many mutated buffers; how many documents were rejected."""
    import bsonarrow

    chance = random.Random(seed)
    raws = list(map(bson.encode, CORPUS))
    whole = bson.encode({"cursor": {"firstBatch": CORPUS, "id": bson.Int64(1)}, "ok": 1.0})
    decoder, done, lost = native.Decoder(), 0, 0
    while done < buffers:
        documents = mutated(chance.choices(raws, k=40), chance, 40)
        batch, rejected = decoder.decode(Documents.from_list(documents))
        batch.validate(full=True)
        assert batch.num_rows + len(rejected) == len(documents)
        reasons = {one.raw: one.reason for one in rejected}
        assert {raw: reason_of(raw) for raw in documents if reason_of(raw)} == reasons
        damaged = mutated([whole], chance, 3)[0]
        with contextlib.suppress(ValueError):
            pa.record_batch(bsonarrow.Decoder().decode_reply(damaged)[0]).validate(full=True)
        done, lost = done + len(documents) + 1, lost + len(rejected)
        if batch.num_columns > 300:
            decoder = native.Decoder()
    return lost


def reason_of(raw):
    import bsonarrow

    try:
        bsonarrow.validate(raw)
    except ValueError as error:
        return str(error)


def test_20_000_mutated_buffers_crash_nothing():
    lost = hammer(20_000, seed=5)
    assert 2_000 < lost < 18_000


@pytest.mark.parametrize("seed", range(300))
def test_mutated_replies_are_split_alike(seed):
    chance = random.Random(seed)
    token = {"postBatchResumeToken": {"_data": "82"}} if seed % 2 else {}
    body = {"nextBatch": CORPUS * (seed % 9), "id": bson.Int64(seed), **token}
    raw = mutated([bson.encode({"cursor": body, "ok": 1.0})], chance, seed % 4)[0]
    try:
        theirs = reply.split_reply(raw)
    except Fatal:
        with pytest.raises(Fatal, match="not a cursor reply"):
            native_decode.split_reply(raw)
        return
    ours = native_decode.split_reply(raw)
    assert (ours.cursor_id, ours.resume_token) == (theirs.cursor_id, theirs.resume_token)
    assert ours.documents.starts.tolist() == theirs.documents.starts.tolist()
    assert ours.documents.ends.tolist() == theirs.documents.ends.tolist()


def test_a_whole_reply_is_decoded_at_once():
    import bsonarrow

    docs = [bson.encode(doc) for doc in CORPUS]
    bad = bv.raw_document((8, b"b", b"\7"))
    batch = bv.raw_document(*((3, str(at).encode(), raw) for at, raw in enumerate([*docs, bad])))
    token = bson.encode({"_data": "8263"})
    cursor = bv.raw_document(
        (4, b"firstBatch", batch), (18, b"id", bytes([7, *bytes(7)])), (3, b"postBatchResumeToken", token)
    )
    decoder = bsonarrow.Decoder()
    rows, rejected, cursor_id, resume = decoder.decode_reply(bv.raw_document((3, b"cursor", cursor)))
    expected, _, _ = Both().decode(docs)
    assert pa.record_batch(rows).equals(expected)
    assert pa.schema(decoder.schema).equals(expected.schema, check_metadata=True)
    assert (rejected, cursor_id, resume) == ([(bad, "a boolean is neither 0 nor 1")], 7, token)


def test_a_batch_can_be_taken_more_than_once_and_outlives_its_decoder():
    import bsonarrow

    raw = bson.encode({"text": "x", "list": [1, None]})
    decoder = bsonarrow.Decoder()
    rows, _ = decoder.decode(raw, np.array([0]), np.array([len(raw)]))
    del decoder
    first, second = pa.record_batch(rows), pa.record_batch(rows)
    assert rows.num_rows == 1
    del rows
    gc.collect()
    assert first.to_pylist() == second.to_pylist() == [{"text": "x", "list": [1, None]}]


@pytest.mark.parametrize(
    ("starts", "ends", "error"),
    [
        (np.array([0]), np.array([5, 10]), ValueError),
        (b"1234567", b"1234567", ValueError),
        (np.arange(4)[::2], np.arange(4)[::2], ValueError),
        ([0], [5], TypeError),
        (np.array([0]), np.array([2**31]), OverflowError),
    ],
)
def test_positions_that_are_no_int64_buffers_are_refused(starts, ends, error):
    import bsonarrow

    decoder = bsonarrow.Decoder()
    with pytest.raises(error):
        decoder.decode(bytes(10), starts, ends)
    assert decoder.decode(b"\5\0\0\0\0", np.array([0]), np.array([5]))[0].num_rows == 1


@contextlib.contextmanager
def beside(work):
    """Call `work` over and over in another thread, which gets the interpreter lock only when it is released.

    Yields a function that says how often it was called.
    """
    called, stop, started = [0], threading.Event(), threading.Event()

    def run():
        while not stop.is_set():
            work()
            called[0] += 1
            started.set()
            time.sleep(0.0001)

    thread = threading.Thread(target=run)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e6)
    try:
        thread.start()
        started.wait()
        yield lambda: called[0]
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_other_threads_run_while_it_decodes():
    import bsonarrow

    raw = bson.encode({"text": "x" * 20, "list": [{"x": 1}] * 5})
    starts, ends = np.zeros(100_000, np.int64), np.full(100_000, len(raw))
    with beside(lambda: None) as calls:
        before = calls()
        for _ in range(100):
            bsonarrow.Decoder().decode(raw, starts, ends)
            if calls() > before:
                return
    pytest.fail("no other thread ran during a hundred long calls")


@pytest.mark.parametrize("view", [lambda data: data, lambda data: memoryview(memoryview(data)).toreadonly()])
def test_writing_to_the_bytes_meanwhile_changes_nothing(view):
    import bsonarrow

    documents = [bson.encode({"n": n, "text": "x" * 50}) for n in range(50_000)]
    sound = b"".join(documents)
    ends = np.cumsum([len(one) for one in documents])
    starts = np.concatenate(([0], ends[:-1]))
    noise, buffer = b"\xff" * len(sound), bytearray(sound)

    def spoil():
        buffer[:] = noise

    with beside(spoil) as calls:
        for _ in range(20):
            buffer[:] = sound
            before = calls()
            rows, rejected = bsonarrow.Decoder().decode(view(buffer), starts, ends)
            meanwhile = calls() - before
            assert rejected == []
            assert pa.record_batch(rows).column("n").to_pylist() == list(range(50_000))
            if meanwhile > 0:
                return
    pytest.fail("no other thread ran during twenty calls")


def nested(values, levels):
    """A batch with structs in each other; built from within, for PyArrow's own builders recurse."""
    column = pa.array(values, pa.int32())
    for _ in range(levels):
        column = pa.StructArray.from_arrays([column], ["d"])
    return pa.RecordBatch.from_arrays([column], ["d"])


def test_a_schema_of_thousands_of_levels_is_refused():
    import bsonarrow

    batch = nested([], 6_000)
    with pytest.raises(NotImplementedError, match="deeper than 200"):
        bsonarrow.Decoder(batch.schema)
    with pytest.raises(NotImplementedError, match="deeper than 200"):
        bsonarrow.encode(batch)
    assert isinstance(native.Decoder(batch.schema)._decoder, decode.Decoder)


def test_a_schema_of_two_hundred_levels_is_taken():
    import bsonarrow

    row = {"d": 7}
    for _ in range(199):
        row = {"d": row}
    documents, refused = bsonarrow.encode(nested([7], 199))
    assert refused == []
    assert pa.array(documents).to_pylist() == [bson.encode(row)]


def test_memory_stays_flat_over_repeated_decodes():
    docs = [
        {"n": n, "text": "x" * 200, "list": [{"x": n}] * 3, "d": bson.Decimal128("1.5")} for n in range(2_000)
    ]
    documents = Documents.from_list(list(map(bson.encode, docs)))
    drifted = Documents.from_list([bson.encode({"n": "text", "m": at}) for at in range(2_000)])

    def rounds(count):
        for _ in range(count):
            decoder = native.Decoder()
            for _ in range(5):
                decoder.decode(documents)
            decoder.decode(drifted)
        gc.collect()
        return resident()

    before = rounds(20)
    assert rounds(60) - before < 20_000_000


def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_the_environment_decides_which_codec_works(monkeypatch):
    monkeypatch.setenv(native.VARIABLE, "reference")
    assert codec() == "reference"
    assert isinstance(native.Decoder()._decoder, decode.Decoder)
    monkeypatch.delenv(native.VARIABLE)
    assert codec() == "native"
    monkeypatch.setenv(native.VARIABLE, "fastest")
    with pytest.raises(ConfigError, match="no codec 'fastest'"):
        codec()


def test_without_the_native_package_the_reference_works_and_asking_for_it_says_how_to_get_it():
    program = (
        "import sys; sys.modules['bsonarrow'] = None; import importlib.util as u\n"
        "found = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'bsonarrow' else found(name, *rest)\n"
        "import bson, levada.bson as b\n"
        "batch, _ = b.Decoder().decode(b.Documents.from_list([bson.encode({'n': 1})]))\n"
        "assert b.encode(batch)[0].to_pylist() == [bson.encode({'n': 1})]\n"
        "print(b.codec(), batch.to_pylist())\n"
        "import os; os.environ['LEVADA_CODEC'] = 'native'\n"
        "try:\n    b.codec()\nexcept b.native.ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.splitlines()[0] == "reference [{'n': 1}]", done.stderr
    assert 'pip install "levada[native]"' in done.stdout


def test_importing_the_codecs_does_not_import_the_native_one():
    program = "import sys, levada.bson; sys.exit('bsonarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
