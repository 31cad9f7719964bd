"""Documents -> typed columns or digests, and replies -> documents, by the native codec."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.batches import Rejected
from levada.bson.decode import in_order, too_large
from levada.bson.digest import numbers
from levada.bson.documents import Bytes, Documents, Positions
from levada.bson.reply import Reply, no_cursor_reply


class Decoder:
    """Decodes the documents of one read; the same results as `levada.bson.decode.Decoder`.

    Args:
        schema: what is known of the table beforehand; None when nothing is.

    Raises:
        NotImplementedError: the schema has Arrow types or labels that the decoder doesn't make itself.
    """

    def __init__(self, schema: pa.Schema | None = None) -> None:
        import bsonarrow

        if schema is not None and not names_cross(schema):
            raise NotImplementedError("a name holds NUL")
        self._native = bsonarrow.Decoder(schema)

    @property
    def schema(self) -> pa.Schema:
        """What holds the rows of all batches so far."""
        return pa.schema(self._native.schema)

    def decode(self, documents: Documents) -> tuple[pa.RecordBatch, tuple[Rejected, ...]]:
        """Decode one batch.

        Raises:
            Fatal: the documents, or the text of one column, are larger than 2 GiB together.
        """
        documents = in_order(documents)
        starts, ends = map(np.ascontiguousarray, (documents.starts, documents.ends))
        try:
            rows, bad = self._native.decode(documents.buffer, starts, ends)
        except OverflowError as error:
            raise too_large() from error
        batch = pa.record_batch(rows)
        if not bad:
            return batch, ()
        raw = documents.take(np.array([row for row, _ in bad])).slices()
        return batch, tuple(Rejected(data, reason) for data, (_, reason) in zip(raw, bad, strict=True))


def names_cross(fields: Iterable[pa.Field]) -> bool:
    """Whether all names reach the native codec whole: Arrow's C interface ends a name at its first NUL."""
    open_fields = list(fields)
    while open_fields:
        field = open_fields.pop()
        if "\0" in field.name:
            return False
        open_fields.extend(field.type.field(at) for at in range(field.type.num_fields))
    return True


def split_reply(raw: bytes) -> Reply:
    """Find the documents in a raw reply without decoding them.

    Raises:
        Fatal: these bytes are not the reply of a command that returns a cursor.
    """
    import bsonarrow

    try:
        cursor_id, starts, ends, token = bsonarrow.split_reply(raw)
    except ValueError as error:
        raise no_cursor_reply(error) from error
    documents = Documents(raw, np.frombuffer(starts, np.int64), np.frombuffer(ends, np.int64))
    return Reply(cursor_id, documents, token)


def digests(documents: Documents, *, without_id: bool) -> npt.NDArray[np.uint64]:
    """Two numbers for each document; the same as `levada.bson.digest.digests`."""
    import bsonarrow

    return numbers(bsonarrow.digests(*_parts(documents), without_id))


def values_at(documents: Documents, path: Sequence[bytes]) -> list[bytes | None]:
    """Type and value bytes at a path in each document; the same as `levada.bson.fields.values_at`."""
    import bsonarrow

    return bsonarrow.values_at(*_parts(documents), list(path))


def differences(old: Documents, new: Documents) -> list[bytes | None]:
    """What has to be set in each old document; the same as `levada.bson.fields.differences`."""
    import bsonarrow

    return bsonarrow.differences(_parts(old), _parts(new))


def _parts(documents: Documents) -> tuple[Bytes, Positions, Positions]:
    starts, ends = map(np.ascontiguousarray, (documents.starts, documents.ends))
    return documents.buffer, starts, ends
