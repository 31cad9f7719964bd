"""BSON <-> Arrow: documents in batches of thousands, typed columns, no silent loss.

`Decoder` turns documents into typed columns by the lattice of `levada.types`, `encode` turns them back;
`to_canonical` and `from_canonical` keep whole documents as raw bytes for exact copies.

The native codec does the work where it is installed, else the reference in `decode`, `encode` and `reply`;
`codec` says which.
"""

from levada.bson.documents import Documents, from_canonical, to_canonical
from levada.bson.native import (
    SLOWER,
    Decoder,
    codec,
    differences,
    digests,
    encode,
    split_reply,
    values_at,
)
from levada.bson.reply import Reply

__all__ = [
    "SLOWER",
    "Decoder",
    "Documents",
    "Reply",
    "codec",
    "differences",
    "digests",
    "encode",
    "from_canonical",
    "split_reply",
    "to_canonical",
    "values_at",
]
