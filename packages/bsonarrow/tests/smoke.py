"""A first use of the installed package."""

from __future__ import annotations

import struct
import sys

import bsonarrow
import pyarrow as pa


def document(n: int) -> bytes:
    body = b"\x10n\0" + struct.pack("<i", n) + b"\x02text\0" + struct.pack("<i", 2) + b"x\0"
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def main() -> None:
    raws = [document(n) for n in range(3)]
    ends = [sum(map(len, raws[: n + 1])) for n in range(3)]
    decoder = bsonarrow.Decoder()
    found, rejected = decoder.decode(
        b"".join(raws), struct.pack("<3q", 0, *ends[:2]), struct.pack("<3q", *ends)
    )
    batch = pa.record_batch(found)
    assert rejected == []
    assert batch.to_pylist() == [{"n": n, "text": "x"} for n in range(3)]
    documents, refused = bsonarrow.encode(batch)
    assert refused == []
    assert pa.array(documents).to_pylist() == raws
    try:
        bsonarrow.validate(raws[0][:-1])
    except ValueError as error:
        sys.stdout.write(f"bsonarrow works: {batch.num_rows} rows; refused: {error}\n")


if __name__ == "__main__":
    main()
