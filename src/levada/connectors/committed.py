"""What commits leave beside a table: epoch and position of each owner, and the logical schema of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from levada.connectors.base import Write
from levada.errors import Fatal, Fenced
from levada.positions import Position

#: Of the tables `_levada_tables` and `_levada_positions` in a database.
FORMAT = 1


@dataclass(frozen=True)
class Committed:
    """What an owner committed last into a table; zeros where it never did.

    Args:
        epoch: the highest fence.
        sequence: of the last position.
        position: that position as JSON, where the table keeps it.
    """

    epoch: int = 0
    sequence: int = 0
    position: str | None = None

    @property
    def last(self) -> Position | None:
        """The position; None if there is none."""
        return Position.from_json(self.position) if self.sequence and self.position else None

    def then(self, write: Write, position: Position | None) -> Committed:
        """What is there after a commit of this write; a position without sequence (an ad-hoc copy) is none.

        Raises:
            Fenced: a newer epoch, or this sequence or a later one, is there already.
        """
        where, epoch = str(write.table), write.fence.epoch if write.fence else self.epoch
        if epoch < self.epoch:
            raise Fenced(
                f"{write.owner} has epoch {epoch}, the table has seen {self.epoch}",
                where=where,
                hint="another run took over; nothing was written",
            )
        if position is None or not position.sequence:
            return Committed(epoch, self.sequence, self.position)
        if position.sequence <= self.sequence:
            raise Fenced(
                f"{write.owner} is at commit {position.sequence}, the table has {self.sequence} already",
                where=where,
                hint="another run was faster, or this one committed before it died; nothing was written",
            )
        return Committed(epoch, position.sequence, position.to_json())


def logical_of(target: str, version: int, logical: bytes) -> pa.Schema:
    """The logical schema that is kept of a table.

    Args:
        target: the table.
        version: the format it is kept in.
        logical: an Arrow schema as an IPC message.

    Raises:
        Fatal: a newer Levada has written it.
    """
    if version > FORMAT:
        raise Fatal(
            f"{target} has format {version}, this Levada reads up to {FORMAT}",
            hint="upgrade Levada on this machine",
        )
    return pa.ipc.read_schema(pa.py_buffer(logical))
