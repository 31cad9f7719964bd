"""Typed columns -> documents by the native codec; what it leaves over is the reference's.

The native codec knows the types that `Decoder` makes and their usual relatives. A batch with another type
(dictionaries, views, maps, 256-bit decimals, ...), or with a field whose nulls are left out, is encoded by
`levada.bson.encode` as a whole, and so is every single row that the native codec refuses: it may hold
Extended JSON in a spelling that only the reference reads, and if not, the reference says why it is rejected.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.batches import Rejected
from levada.bson.encode import encode as encode_by_reference
from levada.bson.encode import encode_rows, row_text, too_large
from levada.bson.native_decode import names_cross
from levada.types.kinds import OMITTED


def encode(batch: pa.RecordBatch, *, omit_nulls: bool = False) -> tuple[pa.Array, tuple[Rejected, ...]]:
    """One BSON document per row; the same result as `levada.bson.encode.encode`.

    Args:
        batch: rows by a schema whose labels say which BSON types to restore.
        omit_nulls: leave null members out instead of writing null (array elements always stay).

    Raises:
        Fatal: a name appears twice or holds NUL, or the documents are larger than 2 GiB together.
    """
    import bsonarrow

    if not names_cross(batch.schema) or _leaves_nulls_out(list(batch.schema)):
        return encode_by_reference(batch, omit_nulls=omit_nulls)
    try:
        found, refused = bsonarrow.encode(batch, omit_nulls)
    except NotImplementedError:
        return encode_by_reference(batch, omit_nulls=omit_nulls)
    except OverflowError as error:
        raise too_large() from error
    documents = pa.array(found)
    if not refused:
        return documents, ()
    places = np.array([row for row, _ in refused])
    rest = batch.take(pa.array(places))
    late, bad = encode_rows(rest, omit_nulls=omit_nulls)
    rejected = tuple(Rejected(row_text(rest, row), bad[row]) for row in sorted(bad))
    taken = np.delete(places, list(bad))
    return _in_order(documents, np.delete(np.arange(batch.num_rows), places), late, taken), rejected


def _leaves_nulls_out(fields: list[pa.Field]) -> bool:
    """Whether nulls of some fields are left out, which the native codec only does for all or for none."""
    return any(
        OMITTED in (field.metadata or {})
        or _leaves_nulls_out([field.type.field(at) for at in range(field.type.num_fields)])
        for field in fields
    )


def _in_order(
    documents: pa.Array, rows: npt.NDArray[np.int64], late: pa.Array, late_rows: npt.NDArray[np.int64]
) -> pa.Array:
    """Both together by the rows they come from."""
    if not len(late):
        return documents
    order = np.argsort(np.concatenate((rows, late_rows)))
    return pa.concat_arrays([documents, late]).take(pa.array(order))
