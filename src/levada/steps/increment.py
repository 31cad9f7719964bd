"""What a copy with `since` reads: pieces of the cursor's line, each committed by itself.

```
 start ──────── last ──┬─────────┬───────── … ─┬── now - lag ──── now
     was copied        │ piece   │ piece       │      too young: later
              overlap ─┘         └ a commit with its position and watermark
```

Times are read in half-open windows `[last, now - lag)`, numbers in `(last, highest]`: every value lies in one
piece and in no other, so rows with equal cursors are never parted, and no second column has to break ties.
Cuts lie where the source has rows: a gap belongs to the piece behind it, so nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, model_validator

from levada.config import Duration
from levada.config.durations import parse_duration
from levada.connectors.base import Changes, Mode, Query
from levada.errors import ConfigError, Fatal
from levada.observe import counted
from levada.positions import Position
from levada.state import DEFAULT_START, Watermarks
from levada.steps.base import StepContext, StepSettings
from levada.steps.cursor import Cursor, Value, restored, seconds, stored, tops
from levada.windows import Window

_SECOND = timedelta(seconds=1)
_SKEW = timedelta(hours=1)  # between the clocks of two machines, at most
_MOST_STEPS = 100_000

Nulls = Literal["every_run", "first_run", "skip", "error"]
Kind = Literal["time", "number"]


def _start(value: Any) -> Any:
    """A time (UTC where it names no zone) or a number."""
    if isinstance(value, str):
        text = value.strip()
        if text.lstrip("+-").replace(".", "", 1).isdigit():
            return Decimal(text) if "." in text else int(text)
        value = datetime.fromisoformat(text)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return value


def _width(value: Any) -> Any:
    """A length of time or of numbers."""
    if isinstance(value, str):
        return int(value) if value.strip().isdigit() else parse_duration(value)
    return value


Start = Annotated[datetime | int | Decimal, BeforeValidator(_start, json_schema_input_type=str | int | float)]
Width = Annotated[timedelta | int, BeforeValidator(_width, json_schema_input_type=str | int)]


class IncrementSettings(StepSettings):
    """Settings of a `copy` that reads what is new.

    Args:
        since: the column that says what is newer than the last run's watermark.
        lag: how far behind the clock an increment ends, so that late commits are not missed (times only).
        job: name of the watermark; default `pipeline/step`.
        start: where a job begins that has no watermark: a time (default 2000-01-01), or a number behind
            which it begins (default: at the lowest).
        step: catch up in pieces this long, each committed by itself: `1d`, or a number.
        overlap: read this much of what was copied again: `1h`, or a number; with `upsert` only.
        nulls: rows without a cursor are copied in `every_run` (the default of `upsert`) or in the `first_run`
            only, `skip`ped and counted (the default of `append`), or an `error`.
        deletes: `compare` removes rows of the target whose key the source has no more.
        delete_where: a SQL condition on the source's rows: those it holds for are removed from the target.
    """

    since: str | None = None
    lag: Duration = timedelta(minutes=1)
    job: str | None = None
    start: Start | None = None
    step: Width | None = None
    overlap: Width | None = None
    nulls: Nulls | None = None
    deletes: Literal["keep", "compare"] = "keep"
    delete_where: str | None = None
    mode: Mode = Mode.APPEND

    @model_validator(mode="after")
    def _parts_of_an_increment(self) -> IncrementSettings:
        if not self.since:
            wrong = [
                name for name in ("start", "step", "overlap", "nulls") if getattr(self, name) is not None
            ]
            if wrong:
                raise ValueError(f"`{wrong[0]}` belongs to an increment: it needs `since`")
            return self
        if self.step is not None and (self.step < 1 if isinstance(self.step, int) else self.step < _SECOND):
            raise ValueError("`step` must be at least 1, or a second")
        if self.mode is not Mode.UPSERT and self.overlap:
            raise ValueError("`overlap` reads rows again, which only mode upsert stores once")
        if self.mode is not Mode.UPSERT and self.nulls == "every_run":
            raise ValueError("`nulls: every_run` reads rows again, which only mode upsert stores once")
        return self

    @property
    def rule(self) -> Nulls:
        """What becomes of rows without a cursor."""
        return self.nulls or ("every_run" if self.mode is Mode.UPSERT else "skip")


class ChangeSettings(StepSettings):
    """What an upsert does to stored rows (see `levada.connectors.base.Changes`).

    Args:
        version: a column; a row whose version is lower than the stored one's changes nothing.
        merge: `replace` the row, set the `fields` that the new one has, or go `deep` into documents.
        on_null: `write` null, `unset` the field, or `keep` what is stored.
        operation: a column that says `insert`, `upsert`, `update` or `delete`, row by row.
    """

    version: str | None = None
    merge: Literal["replace", "fields", "deep"] = "replace"
    on_null: Literal["write", "unset", "keep"] = "write"
    operation: str | None = None
    mode: Mode = Mode.APPEND

    @model_validator(mode="after")
    def _changes_of_an_upsert(self) -> ChangeSettings:
        if self.changes != Changes() and self.mode is not Mode.UPSERT:
            set_ = next(name for name in _CHANGES if getattr(self, name) != getattr(Changes(), name))
            raise ValueError(f"`{set_}` says what becomes of stored rows: it needs mode upsert")
        if self.on_null == "keep" and self.merge == "replace":
            raise ValueError(
                "`on_null: keep` needs `merge: fields` or `deep`: nothing is kept of a replaced row"
            )
        return self

    @property
    def changes(self) -> Changes:
        return Changes(self.operation, self.version, self.merge, self.on_null)


_CHANGES = ("version", "merge", "on_null", "operation")


@dataclass(frozen=True)
class Piece:
    """One read that is committed by itself.

    Args:
        window: of times; None for numbers, and for everything.
        query: what to read.
        after: a position behind which the source begins.
        reached: the watermark once it is stored; None where there is none.
        also: rows without a cursor, to be read before.
        bare: whether it is only those.
    """

    query: Query
    window: Window | None = None
    after: Position | None = None
    reached: Value | None = None
    also: Query | None = None
    bare: bool = False

    def position(self, start: Position) -> Position:
        """What is committed with it."""
        return start if self.reached is None else start.merge(Position({"": stored(self.reached)}))


@dataclass(frozen=True)
class Plan:
    """What an increment will do.

    Args:
        kind: of the cursor; None where the source has none yet.
        last: the watermark it begins at; None for the beginning of a line of numbers.
        end: the one it reaches.
        first: whether the job has never run.
        pieces: in order; none where nothing is due.
        bare: rows without a cursor.
        older: rows before the first window.
    """

    kind: Kind | None
    last: Value | None = None
    end: Value | None = None
    first: bool = False
    pieces: tuple[Piece, ...] = ()
    bare: int = 0
    older: int = 0

    @property
    def values(self) -> dict[str, Any]:
        """What later steps and the ledger are told."""
        if not self.pieces:
            return {}
        first, last = self.pieces[0].window, self.pieces[-1].window
        found: dict[str, Any] = {"steps": len(self.pieces)} if len(self.pieces) > 1 else {}
        if first and last:
            return found | {"window": str(Window(first.start, last.end))}
        return found | {"after": _plain(self.last), "to": _plain(self.end)}


class Increment:
    """Plans one run of an incremental copy.

    Args:
        context: of the step.
        settings: of the copy.
        cursor: of its source.
        job: name of the watermark.
    """

    def __init__(self, context: StepContext, settings: IncrementSettings, cursor: Cursor, job: str) -> None:
        self._context = context
        self._settings = settings
        self._cursor = cursor
        self.job = job

    def plan(self, start: Position, interrupted: Position | None = None) -> Plan:
        """Cut what is due into pieces.

        Args:
            start: what the target and the ledger say was committed.
            interrupted: what a killed run has begun to commit: the first piece ends where that one ended.

        Raises:
            ConfigError: the cursor is neither a time nor a number, or settings belong to the other kind.
            Fatal: there are rows without a cursor, and they are an error.
        """
        known = self.known(start)
        kind, first = self._kind(known), known is None
        last, pieces = None, []
        if kind is not None:
            self._check(kind)
            last = self._cursor.below(self._last(known, kind))
            self._refuse_future(known)
            stop = restored(interrupted.parts.get("")) if interrupted else None
            begin: Any = last if first else self._back(last)
            pieces = (
                self._times(begin, last, stop)
                if isinstance(last, datetime)
                else self._numbers(begin, last, stop)
            )
            if kind == "time" and not pieces:
                return Plan(kind, last, last, first)
        bare, pieces = self._bare(kind, pieces, first=first, last=last)
        end = pieces[-1].reached if pieces else last
        return Plan(kind, last, end, first, tuple(pieces), bare, self._older(first, last))

    def _bare(
        self, kind: Kind | None, pieces: list[Piece], *, first: bool, last: Value | None
    ) -> tuple[int, list[Piece]]:
        """Rows without a cursor, and the pieces with those that are to be read."""
        rule, query = self._settings.rule, self._cursor.without(kind or "time")
        told = query
        if kind and pieces and self._cursor.mongodb and self._settings.mode is Mode.APPEND:
            told, pieces = self._parted(kind, query, pieces)
        bare = self._cursor.count(told)
        if bare and rule == "error":
            raise Fatal(
                f"{counted(bare, 'row')} without {self._cursor.name!r}, or with one of another type",
                where=str(self._cursor.table),
                hint="mend them, or say what becomes of them with `nulls:` (every_run, first_run, skip)",
            )
        if not bare or not (rule == "every_run" or (rule == "first_run" and first and pieces)):
            return bare, pieces
        if not pieces:
            return bare, [Piece(query, reached=last, bare=True)]
        return bare, [replace(pieces[0], also=query), *pieces[1:]]

    def _parted(self, kind: Kind, bare: Query, pieces: list[Piece]) -> tuple[Query, list[Piece]]:
        """Rows in several pieces beside those without a cursor, and the pieces without them.

        They would be appended twice.
        """
        cursor, window = self._cursor, pieces[0].window
        last = pieces[-1].reached
        assert last is not None
        several = cursor.several(kind, window.start if window else None, last)
        parted = [replace(piece, query=cursor.neither(piece.query, several)) for piece in pieces]
        return cursor.either(bare, several), parted

    def known(self, start: Position) -> Value | None:
        """The watermark; later runs count the position alone: the watermark may have been lost.

        Raises:
            ConfigError: somebody has stored what can't be one.
        """
        if start.sequence or not self._context.store:
            return restored(start.parts.get(""))
        found = Watermarks(self._context.store).get(self.job)
        if found is not None and (
            isinstance(found, bool)
            or not isinstance(found, (datetime, int, float, Decimal))
            or (isinstance(found, (float, Decimal)) and not isfinite(found))
        ):
            raise ConfigError(
                f"the watermark of {self.job!r} is {found!r}, which is neither a time nor a number",
                where=str(self._cursor.table),
                hint="set `last_processed` in the collection `watermarks` to one, or remove the document",
            )
        return found

    def keep(self, reached: Value) -> None:
        """Remember a watermark beside the position, for people and other programs."""
        if self._context.store:
            Watermarks(self._context.store).set(self.job, reached)

    def _kind(self, known: Value | None) -> Kind | None:
        told = known if known is not None else self._settings.start
        if told is None:
            return self._cursor.kind()
        kind: Kind = "time" if isinstance(told, datetime) else "number"
        if self._cursor.is_other(kind):
            raise self._other(kind, known)
        return kind

    def _other(self, kind: Kind, known: Value | None) -> ConfigError:
        """Every row would be one without a cursor."""
        if known is None:
            told, hint = "`start`", "write it as the column's values are"
        else:
            told, hint = f"the watermark of {self.job!r}", "name the column it is of, or another `job`"
        holds = "numbers" if kind == "time" else "times"
        return ConfigError(
            f"{told} is a {kind}, but {self._cursor.name!r} holds {holds}",
            where=str(self._cursor.table),
            hint=hint,
        )

    def _refuse_future(self, known: Value | None) -> None:
        """Refuse to wait for a time that only a wrong clock can have stored."""
        now = self._context.now
        if isinstance(known, datetime) and known > now + _SKEW:
            raise Fatal(
                f"the watermark {known:%F %T} of {self.job!r} lies in the future: it is {now:%F %T} UTC here",
                where=str(self._cursor.table),
                hint="set this machine's clock; if it was wrong when the watermark was stored, begin another "
                "`job` with `start:` at a time before that",
            )

    def _check(self, kind: Kind) -> None:
        settings, timed = self._settings, kind == "time"
        for name in ("step", "overlap"):
            width = getattr(settings, name)
            if width is not None and isinstance(width, timedelta) is not timed:
                raise ConfigError(
                    f"`{name}` is a length of {'numbers' if timed else 'time'}, but {self._cursor.name!r} "
                    f"holds {kind}s",
                    where=str(self._cursor.table),
                    hint=f"write {'1h or 1d' if timed else 'a number'}",
                )

    def _last(self, known: Value | None, kind: Kind) -> Value | None:
        if known is not None:
            return known
        return self._settings.start or DEFAULT_START if kind == "time" else self._settings.start

    def _back(self, last: Any) -> Any:
        """Where to begin to read, so that what was committed late is found."""
        return last - self._settings.overlap if self._settings.overlap else last

    def _times(self, begin: datetime, last: datetime, stop: Value | None) -> list[Piece]:
        now, pieces = self._cursor.complete(self._context.now - self._settings.lag), []
        if isinstance(stop, datetime) and last < stop:
            pieces.append(self._window(begin, stop))
            begin = last = stop
        if last < now:
            for end in self._ends(last, now):
                pieces.append(self._window(begin, end))
                begin = end
        return pieces

    def _window(self, begin: datetime, end: datetime) -> Piece:
        return Piece(self._cursor.query, Window(begin, end), reached=end)

    def _ends(self, last: datetime, now: datetime) -> list[datetime]:
        step = self._settings.step
        if not isinstance(step, timedelta) or now - last <= step:
            return [now]
        if self._cursor.metered:
            count = -(-(now - last) // step)
            if count > _MOST_STEPS:
                raise ConfigError(
                    f"{count:,} steps are due, of which each asks the API",
                    where=str(self._cursor.table),
                    hint="say a longer `step`, or a later `start`",
                )
            return cuts(last, now, step, set(range(count)))
        busy: set[int] = set()
        for values in self._cursor.values(self._cursor.query, Window(last, now), None):
            moments = seconds(values)
            if moments is None:
                return [now]
            places = (moments - int(last.timestamp())) // step.total_seconds()
            busy.update(np.unique(places).astype(np.int64).tolist())
        return cuts(last, now, step, busy)

    def _numbers(self, begin: Value | None, last: Value | None, stop: Value | None) -> list[Piece]:
        step = self._settings.step
        query, after = self._cursor.beyond(last, None)
        highest: dict[Any, Any] = {}
        for values in self._cursor.values(query, None, after):
            for place, top in tops(values, step if isinstance(step, int) else None).items():
                highest[place] = max(top, highest.get(place, top))
        ends = sorted(end for end in highest.values() if last is None or end > last)
        if stop is not None:
            ends = [stop, *(end for end in ends if end > stop)]
        pieces = []
        for end in ends:
            query, after = self._cursor.beyond(begin, end)
            pieces.append(Piece(query, after=after, reached=end))
            begin = end
        return pieces

    def _older(self, first: bool, last: Value | None) -> int:
        """Rows that no run will read, counted once."""
        if not first or last is None or self._cursor.name == "_id":
            return 0
        return self._cursor.count(self._cursor.older(last))


def cuts(first: datetime, last: datetime, step: timedelta, busy: set[int]) -> list[datetime]:
    """Where to end pieces of `[first, last)`: behind every step that has rows, the last at the end.

    Args:
        busy: the numbers of those steps, counted from `first`.
    """
    ends = sorted({min(first + step * (max(number, 0) + 1), last) for number in busy})
    return [*ends[:-1], last]


def notes(plan: Plan, settings: IncrementSettings) -> list[str]:
    """What is worth saying of it, for people."""
    found = [f"{len(plan.pieces)} steps"] if len(plan.pieces) > 1 else []
    if all(piece.bare for piece in plan.pieces):
        found = [_NOTHING[plan.kind]]
    if plan.bare:
        read = any(piece.also or piece.bare for piece in plan.pieces)
        found.append(
            f"{counted(plan.bare, 'row')} without {settings.since} {'read too' if read else 'left out'}"
        )
    if plan.older and plan.last is not None:
        edge = f"{plan.last:%F}" if isinstance(plan.last, datetime) else plan.last
        found.append(f"{counted(plan.older, 'row')} from before {edge} left out (`start:`)")
    return found


_NOTHING: Mapping[Kind | None, str] = {
    "time": "nothing is due yet",
    "number": "nothing is new",
    None: "no row has a cursor yet",
}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def refuse_without_state(since: str) -> ConfigError:
    """Nowhere to remember how far a copy has come."""
    return ConfigError(
        f"a copy since {since!r} remembers how far it has come in the state of a project; there is none here",
        hint="`levada init` writes a levada.yml; or name the rows yourself: --window or --where",
    )
