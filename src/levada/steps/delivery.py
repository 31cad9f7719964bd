"""Moves batches into a sink under the commit protocol: announce, commit data and position, confirm.

A process killed between any two of these leaves a state that the next run understands
(see `levada.state.positions`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from levada.batches import Batch, Rejected
from levada.connectors.base import Changes, Mode, Sink, Table, Write, Writer, Written
from levada.errors import Fatal, PositionLost, ScanLost
from levada.observe import counted
from levada.positions import Position
from levada.state import OnLost, Positions, Quarantine, reconcile
from levada.steps.base import StepContext
from levada.windows import Window

_ANEW = "from the beginning: the server can't go on where the stopped copy was (--order id can, anywhere)"
_UNREAD = "it could not be read"
_MANY = 1_000  # rejected records, or their bytes, that are held while rows are written
_LARGE = 16_000_000
_SHOWN = 5  # rejected records that are kept to be shown


@dataclass(frozen=True)
class Target:
    """Where a step writes to, and how (see `levada.connectors.base.Write`)."""

    table: Table
    mode: Mode
    key: tuple[str, ...] = ()
    window: Window | None = None
    checkpoints: str | None = None
    resume: bool = False
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True)
class Delivered:
    """What was stored, and the position it was stored with."""

    written: Written
    position: Position
    quarantined: int = 0
    note: str | None = None


class _Kept:
    """How many of a writer's growing list of rejected records have been kept, and why they were."""

    def __init__(self, keep: Callable[[Sequence[Rejected]], object]) -> None:
        self._keep = keep
        self._listed = 0
        self.count = 0
        self.reason = ""

    def add(self, rejected: Sequence[Rejected]) -> None:
        """Keep those that came since the last time."""
        came = rejected[self._listed :]
        if came:
            self.reason = self.reason or came[0].reason
            self._keep(came)
        self._listed = len(rejected)
        self.count += len(came)

    def relieve(self, rejected: list[Rejected]) -> None:
        """Keep a list that has grown, and empty it: a writer may reject more than memory holds."""
        if len(rejected) >= _MANY or sum(len(record.raw) for record in rejected) >= _LARGE:
            self.add(rejected)
            rejected.clear()
            self._listed = 0


class Delivery:
    """One step's writing into one table.

    Args:
        context: of the step.
        target: the table and the mode.
    """

    def __init__(self, context: StepContext, target: Target) -> None:
        self._context = context
        self._target = target
        self._positions = Positions(context.store) if context.store else None
        self.sink: Sink = context.tables.connection(target.table.connection).sink(target.table)

    def start(self) -> Position:
        """Where to go on from; its sequence is the last one used.

        Raises:
            PositionLost: ledger and sink can't both be right.
        """
        if self._positions is None:
            return Position()
        owner, table = self._context.owner, str(self._target.table)
        return reconcile(
            self._positions.entry(owner, table),
            self.sink.position(owner),
            on_lost=self._context.on_lost,
            where=f"{owner} -> {table}",
        )

    def of_same_table(self, start: Position) -> Position:
        """Where an increment goes on from: a table that was made anew has not what came before.

        Args:
            start: as returned by `start`.

        Raises:
            PositionLost: it was made anew, and nobody has said how to go on.
        """
        owner, same = self._context.owner, getattr(self.sink, "same_table", None)
        if not start.sequence or same is None or same(owner):
            return start
        if self._context.on_lost is OnLost.FAIL:
            raise PositionLost(
                "the table was removed and made anew since the last commit: it lacks earlier rows",
                where=f"{owner} -> {self._target.table}",
                hint="choose: --on-lost restart reads everything again, --on-lost trust_sink goes on",
            )
        return start if self._context.on_lost is OnLost.TRUST_SINK else Position().numbered(start.sequence)

    @property
    def write(self) -> Write:
        return Write(
            table=self._target.table,
            mode=self._target.mode,
            owner=self._context.owner,
            key=self._target.key,
            window=self._target.window,
            fence=self._context.fence(),
            changes=self._target.changes,
            checkpoints=self._target.checkpoints,
            resume=self._target.resume,
        )

    def deliver(self, batches: Iterable[Batch], start: Position) -> Delivered:
        """Write the batches and commit them with the position after `start`."""
        writer = self.sink.open(self.write)
        return self._finish(writer, batches, start)

    def deliver_from(self, read: Callable[[Position | None], Iterator[Batch]], start: Position) -> Delivered:
        """The same with a source that can go on: at what a killed write left, where the sink has kept it.

        Args:
            read: batches behind a position of the source; None: from its beginning.
            start: as returned by `start`.
        """
        writer: Any = self.sink.open(self.write)
        if getattr(writer, "complete", False):
            writer.abort()
            return Delivered(
                Written(),
                start,
                note="this copy had been committed before; to copy once more, leave out --resume",
            )
        if hasattr(writer, "timings"):
            writer.timings = self._context.timings
        inherited, _ = _taken_up(writer)
        self._context.progress(inherited, 0)
        batches = _going_on(writer, read) if hasattr(writer, "reached") else read(None)
        delivered = self._finish(writer, batches, start)
        kept, rejected = _taken_up(writer)
        note = f"went on behind {counted(kept, 'row')}" if kept else _ANEW if inherited else delivered.note
        return replace(delivered, quarantined=delivered.quarantined + rejected, note=note)

    def commit(self, start: Position, call: Callable[[Position | None], Written]) -> Delivered:
        """Run a write that the sink does by itself, under the same protocol.

        Args:
            start: as returned by `start`.
            call: given the position to store, writes it with the data.
        """
        position = start.numbered(start.sequence + 1)
        self._announce(position)
        written, kept = call(position if self._positions else None), _Kept(self.quarantine)
        kept.add(written.rejected)
        return self._confirm(written, position, 0, kept)

    def _fill(self, writer: Writer, batches: Iterable[Batch], kept: _Kept) -> Iterator[Batch]:
        with ended(batches):
            for batch in batches:
                self._context.check_stop()
                if batch.data.num_rows or (batch.rejected and hasattr(writer, "reached")):
                    writer.write(batch)
                    kept.relieve(getattr(writer, "rejected", []))
                    self._context.progress(batch.data.num_rows, batch.data.nbytes)
                yield batch

    def _finish(self, writer: Writer, batches: Iterable[Batch], start: Position) -> Delivered:
        reached, quarantined, rows, reason = start, 0, 0, _UNREAD
        kept = _Kept(self.quarantine)
        filled = self._fill(writer, batches, kept)
        try:
            with ended(filled):
                for batch in filled:
                    if batch.rejected and not quarantined:
                        reason = batch.rejected[0].reason
                    quarantined += self.quarantine(batch.rejected)
                    rows += batch.data.num_rows
                    reached = reached.merge(batch.position) if batch.position else reached
            self._context.check_stop()
            rows += _taken_up(writer)[0]
            self.refuse_nothing(rows, quarantined, reason)
            self._refuse_all_set_aside(rows, getattr(writer, "rejected", ()), kept)
        except BaseException:
            writer.abort()
            raise
        return self.store(writer, reached.numbered(start.sequence + 1), quarantined, kept)

    def store(
        self, writer: Writer, position: Position, quarantined: int = 0, kept: _Kept | None = None
    ) -> Delivered:
        """Commit what a writer of `sink` was given; what it rejects is kept before the position is stored.

        Args:
            quarantined: records that could not be read.
            kept: those that the writer has rejected before.
        """
        kept = kept or _Kept(self.quarantine)
        try:
            self._announce(position)
            if hasattr(writer, "keep"):
                writer.keep = kept.add
            kept.add(getattr(writer, "rejected", ()))
            written = writer.commit(position if self._positions else None)
        except BaseException:
            writer.abort()
            raise
        kept.add(written.rejected)
        return self._confirm(written, position, quarantined, kept)

    def refuse_nothing(self, rows: int, quarantined: int, reason: str = _UNREAD) -> None:
        """Refuse to replace rows by nothing because none could be read."""
        if quarantined and not rows and self._target.mode in (Mode.REPLACE, Mode.REPLACE_WINDOW):
            raise self._all_rejected(quarantined, reason)

    def _refuse_all_set_aside(self, rows: int, rejected: Sequence[Rejected], kept: _Kept) -> None:
        """Refuse to replace rows by nothing, or to move on, because none could be stored."""
        if kept.count + len(rejected) >= rows > 0:
            kept.add(rejected)
            raise self._all_rejected(kept.count, kept.reason)

    def _announce(self, position: Position) -> None:
        if self._positions:
            self._positions.announce(self._context.owner, str(self._target.table), position.sequence)

    def _confirm(self, written: Written, position: Position, quarantined: int, kept: _Kept) -> Delivered:
        if kept.count and not (written.rows or written.deleted or written.older):
            raise self._all_rejected(kept.count, kept.reason)
        if self._positions:
            self._positions.confirm(self._context.owner, str(self._target.table), position)
        return Delivered(written, position, quarantined + kept.count)

    def _all_rejected(self, rows: int, reason: str) -> Fatal:
        return Fatal(
            f"all {rows} rows were rejected, the first because: {reason}",
            where=str(self._target.table),
            hint="they are in the collection `quarantine` of the state database"
            if self._context.store
            else "leave out what can't be stored with `columns:` or `where:`",
        )

    def quarantine(self, rejected: Sequence[Rejected]) -> int:
        """Keep records that can't be stored, where there is a place for them. Returns how many."""
        if rejected and self._context.store:
            Quarantine(self._context.store).add(
                rejected, table=str(self._target.table), run=self._context.run, step=self._context.step
            )
        elif rejected:
            room = max(0, _SHOWN - len(self._context.set_aside))
            self._context.set_aside.extend(rejected[:room])
        return len(rejected)


def _taken_up(writer: Any) -> tuple[int, int]:
    """Rows and rejected records of the stopped write that this one goes on from; fewer once it went back."""
    found: tuple[int, int] = getattr(writer, "taken_up", (0, 0))
    return found


@contextmanager
def ended(batches: Iterable[Batch]) -> Iterator[None]:
    """End a source whose batches are not wanted any more at once: an error's traceback would hold it open."""
    try:
        yield
    finally:
        if isinstance(batches, Generator):
            batches.close()


def _going_on(writer: Any, read: Callable[[Position | None], Iterator[Batch]]) -> Iterator[Batch]:
    """Batches behind what the writer holds; it goes back as long as the source can't go on there.

    Raises:
        ScanLost: the source can't even go on at its beginning.
    """
    while True:
        try:
            yield from read(writer.reached)
        except ScanLost:
            if not writer.rewind():
                raise
        else:
            return
