"""Writes a table and the child tables that its arrays become, out of one read.

Each table is committed by itself, with a position of its own and under the protocol of
`levada.steps.delivery`: the children first, the parent last. So a run that is killed in between leaves
children that are ahead of their parent, which the next run sees by their positions:

| Mode | then |
|---|---|
| `replace`, `replace_window`, `append` of a window | all are written again: each replaces what it wrote |
| `append` without a window | a child that is ahead has its rows; the others follow, over the same interval |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from levada.batches import Batch, Rejected
from levada.connectors.addresses import FILE
from levada.connectors.base import Mode, Table, Write, Writer
from levada.connectors.screening import outside_window, set_aside
from levada.errors import ConfigError
from levada.observe import counted
from levada.positions import Position
from levada.steps.base import StepContext, Tables
from levada.steps.delivery import Delivered, Delivery, Target, ended
from levada.steps.explode import Explosion
from levada.types.layout import unstorable_rows

_PARENT = ""


def child_address(parent: str, path: str) -> str:
    """Where the rows of an array go if nothing else is said: `lake.orders` -> `lake.orders__items`."""
    ending = f"__{path.replace('.', '_')}"
    file = FILE.search(parent)
    return f"{parent[: file.start() + 1]}{ending}{parent[file.start() + 1 :]}" if file else parent + ending


def child_tables(
    tables: Tables, parent: str, explode: Mapping[str, str | None], shared: tuple[str, ...], time: str | None
) -> dict[str, Table]:
    """Path -> the table that its rows go to.

    Args:
        parent: address of the parent's table.
        explode: path -> address; None for the usual one.
        shared: columns that children have of their parent.
        time: the one of them that says which window a row belongs to.

    Raises:
        ConfigError: two of them are one table, or a table's time column is another one.
    """
    above = tables.table(parent)
    found = {path: child_table(tables, parent, path, address) for path, address in explode.items()}
    names = [str(table) for table in (above, *found.values())]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"two tables of the copy would be {twice[0]}", hint="name others under `explode:`")
    return {path: _laid_out(table, above, shared, time) for path, table in found.items()}


def child_table(tables: Tables, parent: str, path: str, address: str | None = None) -> Table:
    """The table that the rows of an array go to, before it is laid out.

    Args:
        parent: address of the parent's table.
        path: of the array.
        address: None for the usual one.
    """
    if address is not None or "://" not in parent:
        return tables.table(address or child_address(parent, path))
    above = tables.table(parent)
    return Table(above.connection, child_address(above.name, path))  # a URL may have options behind the name


def _laid_out(table: Table, above: Table, shared: tuple[str, ...], time: str | None) -> Table:
    """The table with its parent's time column, and its parent's partitions where it has those columns."""
    if table.time not in (None, time):
        raise ConfigError(
            f"the rows of {table} have the time column of {above}, {time!r}, and none named {table.time!r}",
            hint=f"take `time:` from {table}",
        )
    columns = {part.partition("(")[2].rstrip(") ").strip() or part for part in above.partition_by}
    inherited = above.partition_by if columns <= set(shared) else ()
    return replace(table, time=time, partition_by=table.partition_by or inherited)


@dataclass(frozen=True)
class _Open:
    """A table that is being written."""

    delivery: Delivery
    writer: Writer


class Family:
    """A table and its children.

    Args:
        context: of the step.
        parent: writes the table.
        children: path -> the target of its rows.
        explosion: makes them.
    """

    def __init__(
        self, context: StepContext, parent: Delivery, children: Mapping[str, Target], explosion: Explosion
    ) -> None:
        self._context = context
        self._parent = parent
        self._children = {path: Delivery(context, target) for path, target in children.items()}
        self._explosion = explosion
        self._starts: dict[str, Position] = {}
        self.rows: dict[str, int] = {}

    def start(self) -> Position:
        """Where the parent goes on from.

        Raises:
            PositionLost: of one of the tables ledger and sink can't both be right.
        """
        self._starts = {path: child.start() for path, child in self._children.items()}
        self._starts[_PARENT] = self._parent.start()
        return self._starts[_PARENT]

    @property
    def tables(self) -> dict[str, Table]:
        """Path -> the table that its rows go to."""
        return {path: child.write.table for path, child in self._children.items()}

    @property
    def interrupted(self) -> Position | None:
        """What a killed run committed to a child and not to the parent, where it must not be done twice."""
        ahead = self._ahead()
        return self._starts[ahead[0]] if ahead else None

    def deliver(self, batches: Iterable[Batch], start: Position) -> Delivered:
        """Write batches of the parent's rows into all tables; `rows` then says how many each child got.

        Args:
            start: as returned by `start`, and how far the source will have been read.
        """
        done = self._ahead()
        last = start.sequence if self._adds else max(each.sequence for each in self._starts.values())
        with ExitStack() as opened:
            opened.enter_context(ended(batches))
            tables = {path: self._opened(each, opened) for path, each in self._all() if path not in done}
            rows = quarantined = 0
            for batch in batches:
                self._context.check_stop()
                stored, set_aside = self._write(batch, tables)
                rows, quarantined = rows + stored, quarantined + set_aside
            self._context.check_stop()
            self._parent.refuse_nothing(rows, quarantined)
            opened.pop_all()  # from here on each is committed or aborted by itself
            return self._commit(tables, start.numbered(last + 1), quarantined)

    @property
    def not_arrays(self) -> dict[str, int]:
        """Path -> values that are no arrays and stayed with the parent."""
        return dict(self._explosion.kept)

    def notes(self, rows_of: Mapping[str, int]) -> list[str]:
        """What is worth saying of it, for people; `rows_of` says how many rows each child got."""
        rows = [f"{counted(count, 'row')} of {path}" for path, count in rows_of.items()]
        return rows + [
            f"{count:,} values of {path} are no arrays and stay" for path, count in self.not_arrays.items()
        ]

    @property
    def _adds(self) -> bool:
        """Whether what was written once must not be written again."""
        write = self._parent.write
        return write.mode is Mode.APPEND and write.window is None

    def _ahead(self) -> list[str]:
        """Children that have the rows of this very run already."""
        reached = self._starts[_PARENT].sequence
        return [path for path in self._children if self._adds and self._starts[path].sequence > reached]

    def _all(self) -> list[tuple[str, Delivery]]:
        return [*self._children.items(), (_PARENT, self._parent)]

    def _opened(self, delivery: Delivery, opened: ExitStack) -> _Open:
        writer: Any = delivery.sink.open(delivery.write)
        if hasattr(writer, "timings"):
            writer.timings = self._context.timings
        opened.push(lambda *failed: writer.abort() if failed[0] else None)
        return _Open(delivery, writer)

    def _write(self, batch: Batch, tables: Mapping[str, _Open]) -> tuple[int, int]:
        """Hand the rows of a batch to the tables; returns how many, and how many records were set aside."""
        data, unfit = screened(batch.data, self._parent.write)
        parent, children = self._explosion.of(data)
        for path, part in {**children, _PARENT: parent}.items():
            if path in tables and part.num_columns:
                tables[path].writer.write(Batch(part))
        self._context.progress(batch.data.num_rows, batch.data.nbytes)
        return data.num_rows, self._parent.quarantine([*batch.rejected, *unfit])

    def _commit(self, tables: Mapping[str, _Open], position: Position, quarantined: int) -> Delivered:
        waiting = list(tables.items())
        try:
            while waiting:
                path, table = waiting.pop(0)
                delivered = table.delivery.store(table.writer, position, quarantined)
                quarantined = delivered.quarantined
                self.rows[path] = delivered.written.rows
        except BaseException:
            for _, table in waiting:
                table.writer.abort()
            raise
        del self.rows[_PARENT]
        return delivered


def screened(data: pa.RecordBatch, write: Write) -> tuple[pa.RecordBatch, list[Rejected]]:
    """Rows that the table takes, and the others, whole: no child has rows of a parent that is not there."""
    if not data.num_rows:
        return data, []
    kept, unfit = set_aside(data, dict(unstorable_rows(data)))
    kept, outside = set_aside(kept, outside_window(kept, write))
    return kept, [*unfit, *outside]
