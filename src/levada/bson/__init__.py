"""BSON <-> Arrow: documents in batches of thousands, typed columns, no silent loss.

`Decoder` turns documents into typed columns by the lattice of `levada.types`, `encode` turns them back;
`to_canonical` and `from_canonical` keep whole documents as raw bytes for exact copies.
"""

from levada.bson.decode import Decoder
from levada.bson.documents import Documents, from_canonical, to_canonical
from levada.bson.encode import encode
from levada.bson.reply import Reply, split_reply

__all__ = ["Decoder", "Documents", "Reply", "encode", "from_canonical", "split_reply", "to_canonical"]
