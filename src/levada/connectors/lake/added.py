"""Commits that put finished files into a table.

The driver takes such a commit as it is given: it neither adds columns nor notices that a file has other ones
or other partitions. So the table's schema grows first, in a commit of its own that changes no row, and what
can't be done by growing is left to the driver's own writing.
"""

from __future__ import annotations

import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from levada.connectors.base import Mode
from levada.connectors.lake.draft import Draft
from levada.connectors.lake.plan import Plan
from levada.connectors.lake.table import Snapshot
from levada.types.layout import Change


def addable(snapshot: Snapshot, planned: Plan, replaced: int) -> bool:
    """Whether files alone make the table what is planned.

    Args:
        replaced: how many stored rows give way.
    """
    if planned.partitions != snapshot.partitions or planned.partitions != list(planned.days):
        return False
    if planned.write.mode is Mode.REPLACE:
        return all(_grows(field, planned.stored) for field in snapshot.stored)
    return planned.change < Change.SETTLE and not replaced


def add(snapshot: Snapshot, planned: Plan, draft: Draft, properties: CommitProperties) -> None:
    """Commit the draft's files.

    Raises:
        CommitFailedError: others were faster, or the answer was lost.
    """
    files = draft.fitting(planned)
    draft.refuse_lost()
    if planned.stored != snapshot.stored:
        nothing = pa.RecordBatchReader.from_batches(planned.stored, [])
        grown = CommitProperties(max_commit_retries=0)
        write_deltalake(snapshot.handle, nothing, mode="append", schema_mode="merge", commit_properties=grown)
    draft.keep()  # from here on the table may refer to them, whatever is heard of the commit
    snapshot.handle.create_write_transaction(
        [file.action() for file in files],
        "overwrite" if planned.write.mode is Mode.REPLACE else "append",
        snapshot.handle.schema(),
        planned.partitions,
        commit_properties=properties,
    )


def _grows(field: pa.Field, stored: pa.Schema) -> bool:
    at = stored.get_field_index(field.name)
    return at >= 0 and _grows_into(field.type, stored.field(at).type)


def _grows_into(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether the new type is the old one, with more fields in its documents at most."""
    if pa.types.is_struct(old) and pa.types.is_struct(new):
        return all(_grows(field, pa.schema(list(new))) for field in old)
    if pa.types.is_list(old) and pa.types.is_list(new):
        return _grows_into(old.value_type, new.value_type)
    return bool(old == new)
