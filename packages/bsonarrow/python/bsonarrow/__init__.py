"""BSON <-> Arrow: typed columns from raw documents and back, nothing lost.

`Decoder` turns documents into record batches of one schema that only widens, `encode` turns record batches
back into documents; `split_reply` finds the documents in the raw reply of a MongoDB command, `validate`
checks one document, `Profile` collects what documents hold, `digests` tells equal ones, `differences` what
is not, `values_at` reads one path of each. Batches and schemas go in and out by the Arrow PyCapsule
interface, so that any Arrow library takes them: `pyarrow.record_batch(batch)`.
"""

from bsonarrow._native import (
    Decoder,
    Encoded,
    Profile,
    RecordBatch,
    Schema,
    differences,
    digests,
    encode,
    split_reply,
    validate,
    values_at,
)

__all__ = [
    "Decoder",
    "Encoded",
    "Profile",
    "RecordBatch",
    "Schema",
    "differences",
    "digests",
    "encode",
    "split_reply",
    "validate",
    "values_at",
]
