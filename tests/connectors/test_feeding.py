from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from levada.connectors.feeding import reader, uncut

pytestmark = pytest.mark.unit

ROWS = [
    {
        "s": {"x": {"y": n}, "z": [n, None]},
        "l": [{"a": n}, None],
        "m": [(str(n), {"b": n})],
        "f": [{"c": n}] * 2,
    }
    for n in range(10)
]
SCHEMA = pa.schema(
    [
        ("s", pa.struct([("x", pa.struct([("y", pa.int64())])), ("z", pa.list_(pa.int64()))])),
        ("l", pa.list_(pa.struct([("a", pa.int64())]))),
        ("m", pa.map_(pa.string(), pa.struct([("b", pa.int64())]))),
        ("f", pa.list_(pa.struct([("c", pa.int64())]), 2)),
    ]
)
BATCH = pa.RecordBatch.from_pylist(ROWS, SCHEMA)


@pytest.mark.parametrize("column", SCHEMA.names)
def test_duckdb_reads_nested_columns_that_were_cut_out_of_longer_ones(column: str) -> None:
    parts = [BATCH.select([column]).slice(start, 3) for start in (0, 3, 7)]
    with duckdb.connect() as connection:
        connection.register("rows", reader(parts[0].schema, parts))
        found = connection.sql("SELECT * FROM rows").to_arrow_table()
    expected = [row for start in (0, 3, 7) for row in BATCH.select([column]).to_pylist()[start : start + 3]]
    assert found.to_pylist() == expected


def test_a_child_that_was_cut_by_itself_is_noticed() -> None:
    values = BATCH.column("s").field(0)
    cut = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), values.slice(4, 3))
    batch = pa.record_batch([cut], ["l"])
    found = uncut(batch)
    assert found.to_pylist() == batch.to_pylist()
    assert not found.column(0).values.offset


def test_batches_that_are_not_cut_are_not_copied() -> None:
    assert uncut(BATCH) is BATCH
    flat = pa.record_batch([pa.array(range(9)).slice(3)], ["n"])
    assert uncut(flat) is flat


def test_duckdb_still_refuses_what_is_mended_here() -> None:
    with duckdb.connect() as connection:
        connection.register("rows", pa.RecordBatchReader.from_batches(SCHEMA, [BATCH.slice(3, 3)]))
        with pytest.raises(duckdb.Error, match="offset"):
            connection.sql("SELECT * FROM rows").to_arrow_table()
