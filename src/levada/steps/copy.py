"""`copy`: rows of one table into another, in any write mode.

Between two tables of one MongoDB an aggregation stays in the server; documents that only pass through keep
their exact BSON; everything else travels as typed Arrow batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

from bson import json_util
from pydantic import BeforeValidator, Field, model_validator

from levada.batches import Batch
from levada.config import Columns
from levada.config.shapes import one_or_many
from levada.connectors.base import Changes, Estimate, Mode, Query, Source, Table
from levada.connectors.telling import told
from levada.errors import ConfigError, Retriable
from levada.positions import Position
from levada.steps.base import StepContext, StepResult, StepSettings, Uses
from levada.steps.cursor import Cursor, restored
from levada.steps.delivery import Delivered, Delivery, Target, ended
from levada.steps.ends import (
    begin,
    has_columns,
    holding,
    keyed,
    known_key,
    refuse_inner_keys,
    refuse_missing,
    refuse_sql,
    refuse_unread,
)
from levada.steps.explode import Explosion, tree
from levada.steps.family import Family, child_address, child_tables
from levada.steps.increment import ChangeSettings, Increment, IncrementSettings, Piece, notes
from levada.steps.outcome import Outcome
from levada.steps.removal import OPERATION, Removal
from levada.steps.reshape import Reshaping, ShapeSettings
from levada.windows import Window


def _by_path(value: Any) -> Any:
    """`items` or `[items, tags]` as `{items: null, tags: null}`."""
    if not isinstance(value, (str, list, tuple)):
        return value
    paths = one_or_many(value)
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise ValueError(f"{twice[0]!r} is named twice")
    return dict.fromkeys(paths)


class CopySettings(IncrementSettings, ChangeSettings, ShapeSettings):
    """Settings of `copy`; those of increments and of changes to stored rows are in `levada.steps.increment`.

    Args:
        source: address to read from (`from:`).
        to: address to write to.
        mode: append, replace, replace_window or upsert.
        key: columns that identify a row; default: the key of the target table, or of the source's; of a
            source that is read as it is stored, its primary key, or `_id` of MongoDB.
        columns, where, filter, pipeline, sql: what to read (see `Query`).
        window: whether to read the run's window only; default: yes where the run has one and the source
            table has a time column.
        server_side: leave an aggregation between two collections of one MongoDB to the server.
        order: `id` reads in the order of `_id`, which can go on at any server (MongoDB sources).
        lanes: ranges of `_id` that are read at once (MongoDB sources); more than one costs the server more.
        consistent: read all rows as they were at one moment (MongoDB sources, up to 5 minutes long).
        explode: paths of arrays that become rows of child tables; one, several, or `path: address`.
        as_json: paths whose values become canonical Extended JSON (`json:`).
    """

    source: str = Field(alias="from")
    to: str
    mode: Mode = Mode.APPEND
    key: Columns = ()
    columns: Columns = ()
    where: str | None = None
    filter: Mapping[str, Any] = Field(default_factory=dict)
    pipeline: tuple[Mapping[str, Any], ...] = ()
    sql: str | None = None
    window: bool | None = None
    server_side: bool = True
    order: Literal["any", "id"] = "any"
    lanes: int = Field(default=1, ge=1, le=64)
    consistent: bool = False
    explode: Annotated[
        Mapping[str, str | None],
        BeforeValidator(_by_path, json_schema_input_type=str | list[str] | dict[str, str | None]),
    ] = Field(default_factory=dict)
    as_json: Annotated[
        tuple[str, ...], BeforeValidator(one_or_many, json_schema_input_type=str | list[str])
    ] = Field(default=(), alias="json")

    @model_validator(mode="after")
    def _paths_that_can_be(self) -> CopySettings:
        tree(self.explode, self.as_json)
        if self.shape is not None and (self.explode or self.as_json):
            raise ValueError("`shape` makes documents of columns, `explode` and `json` take them apart")
        if self.explode and self.mode is Mode.UPSERT:
            raise ValueError(
                "mode upsert can't remove the rows of elements that are gone, so it can't explode; "
                "use replace, replace_window, or append with a window"
            )
        return self

    @model_validator(mode="after")
    def _deletes_of_whole_tables(self) -> CopySettings:
        if self.mode is not Mode.UPSERT and (self.delete_where or self.deletes == "compare"):
            raise ValueError("`deletes` and `delete_where` go with mode upsert: the other modes keep no rows")
        narrowed = [name for name in ("where", "filter", "pipeline") if getattr(self, name)]
        if self.deletes == "compare" and narrowed:
            raise ValueError(f"`deletes: compare` compares whole tables, `{narrowed[0]}` leaves rows out")
        if self.delete_where and self.operation:
            raise ValueError("`delete_where` and `operation` both say which rows to delete: name one")
        return self

    @model_validator(mode="after")
    def _one_way_to_move_on(self) -> CopySettings:
        if self.since and self.window:
            raise ValueError("`since` and `window` exclude each other: a window is already an increment")
        if self.since and self.mode in (Mode.REPLACE, Mode.REPLACE_WINDOW):
            raise ValueError(f"`since` adds to a table, mode {self.mode} would remove the rest; use upsert")
        return self


@dataclass(frozen=True)
class Attended:
    """What a copy has that someone waits for.

    Args:
        resume: go on from what a killed copy of the same left in the target.
        expected: told what there is to read.
    """

    resume: bool = False
    expected: Callable[[Estimate], None] = lambda _: None


@dataclass(frozen=True)
class Work:
    """What a copy works with: the source as it is read, the writing of the target, and of its children."""

    context: StepContext
    source: Table
    delivery: Delivery
    family: Family | None

    def start(self) -> Position:
        return (self.family or self.delivery).start()

    @property
    def children(self) -> Mapping[str, Table]:
        return self.family.tables if self.family else {}


class CopyStep:
    """Copies rows from one table to another.

    Args:
        settings: of the step.
        attended: for a copy outside of a pipeline; where the sink can, it keeps checkpoints.
    """

    settings_model: ClassVar[type[StepSettings]] = CopySettings

    def __init__(self, settings: CopySettings, attended: Attended | None = None) -> None:
        self.settings = settings
        self._attended = attended

    def uses(self) -> Uses:
        to, explode = self.settings.to, self.settings.explode
        children = [address or child_address(to, path) for path, address in explode.items()]
        return Uses((self.settings.source,), (to, *children))

    def run(self, context: StepContext) -> StepResult:
        settings, work = self.settings, self.work(context)
        if settings.since:
            done = self._increments(work)
        else:
            window = self.window(work)
            if window is not None and window.start >= context.now:
                raise ConfigError(f"window {window} lies in the future")
            done = Outcome({"window": str(window)} if window else {})
            done.add(self._move(work, Piece(self.query, window), work.start()), work.family)
        if settings.deletes == "compare":
            done.removed(Removal(context, work.source, work.delivery.write, settings.sql).run())
        return done.result(work.family, "to quarantine" if context.store else "set aside")

    def work(self, context: StepContext) -> Work:
        """What will be worked with; nothing is read or written yet."""
        source = context.tables.table(self.settings.source)
        refuse_sql(context, source, self.settings.sql)
        self._refuse_unread(source)
        if self.settings.since:
            source = replace(source, time=self.settings.since)
        delivery = Delivery(context, self._target(context, source))
        if self.settings.deletes == "compare":
            refuse_inner_keys(context, source, delivery.write)
        return Work(context, source, delivery, self._family(context, source, delivery))

    def _refuse_unread(self, source: Table) -> None:
        settings = self.settings
        names = [name for name in (settings.version, settings.operation) if name]
        refuse_unread(source, settings.columns, names, settings.delete_where)

    def increment(self, work: Work) -> Increment:
        """What plans a copy with `since`."""
        connection = work.context.tables.connection(work.source.connection)
        cursor = Cursor(connection, work.source, self.query)
        return Increment(work.context, self.settings, cursor, self.settings.job or work.context.owner)

    def _increments(self, work: Work) -> Outcome:
        """Everything that is due, piece by piece; what is committed stays when a later piece fails."""
        context, settings, family = work.context, self.settings, work.family
        start, increment = work.delivery.of_same_table(work.start()), self.increment(work)
        plan = increment.plan(start, family.interrupted if family else None)
        done = Outcome(plan.values, notes(plan, settings))
        for piece in plan.pieces:
            context.check_stop()
            done.add(self._move(work, piece, start), family)
            if piece.reached is not None:
                increment.keep(piece.reached)
            if piece is not plan.pieces[-1]:
                start = self._behind(piece, work)
        return done

    def _behind(self, piece: Piece, work: Work) -> Position:
        """Where the next piece begins.

        Raises:
            Retriable: the target has lost what was committed a moment ago; the policy for that comes next.
        """
        start, delivery = work.start(), work.delivery
        if restored(start.parts.get("")) == piece.reached and delivery.of_same_table(start) == start:
            return start
        raise Retriable(
            f"{delivery.write.table} was removed or replaced while it was written",
            hint="the step is tried again, and goes on from what the target has then",
        )

    def _target(self, context: StepContext, source: Table) -> Target:
        settings = self.settings
        table = context.tables.table(settings.to)
        window = None if settings.since else context.window  # an increment adds, whatever came before
        key = settings.key or table.key
        if settings.mode is Mode.UPSERT and not key:
            made = settings.pipeline or settings.shape or settings.sql
            connection = context.tables.connection(source.connection)
            key = known_key(connection, source, table, as_stored=not made)
        changes = settings.changes
        if settings.delete_where:
            changes = replace(changes, operation=OPERATION)
        target = Target(table, settings.mode, key, window, changes=changes)
        if self._attended is None:
            return target
        sink = context.tables.connection(table.connection).sink(table)
        able = _is_mongodb(context, source) and getattr(sink, "keeps_checkpoints", False)
        able = able and not (settings.explode or settings.since or settings.shape)
        # a condition may have an index, which a scan that can be resumed would not use
        if able and (self._attended.resume or not (settings.where or settings.filter or context.window)):
            return replace(target, checkpoints=self._what(source), resume=self._attended.resume)
        if self._attended.resume and not able:
            raise ConfigError(
                f"a copy from {source} to {table} can't be resumed",
                hint="copies from MongoDB to a lake without `explode` can; copy again, with mode replace",
            )
        return target

    def _what(self, source: Table) -> str:
        """Which rows are copied, and in which form: the name of their checkpoints."""
        settings = self.settings
        conditions = {"where": settings.where, "filter": settings.filter, "pipeline": settings.pipeline}
        form = {"columns": settings.columns, "as_json": settings.as_json, "consistent": settings.consistent}
        what = {"format": 1, "source": str(source), **conditions, **form}
        return json_util.dumps(what, json_options=json_util.CANONICAL_JSON_OPTIONS, sort_keys=True)

    def _explosion(self, context: StepContext, source: Table, target: Table) -> Explosion | None:
        settings = self.settings
        if not (settings.explode or settings.as_json):
            return None
        if _keeps_documents(context, target):
            raise ConfigError(f"{target} keeps documents as they are", hint="leave out `explode` and `json`")
        key = settings.key or target.key or ("_id",)
        explosion = Explosion(tuple(settings.explode), settings.as_json, key, target.time or source.time)
        roots = [path.split(".")[0] for path in (*settings.explode, *settings.as_json)]
        unread = [name for name in (*roots, *explosion.shared) if name not in settings.columns]
        if settings.columns and unread:
            raise ConfigError(f"`columns` leaves out {unread[0]!r}", hint="name that column too")
        return explosion

    def _family(self, context: StepContext, source: Table, parent: Delivery) -> Family | None:
        settings, write = self.settings, parent.write
        explosion = self._explosion(context, source, write.table)
        if explosion is None or not settings.explode:
            return None
        time = write.table.time or source.time
        tables = child_tables(context.tables, settings.to, settings.explode, explosion.shared, time)
        if documents := [table for table in tables.values() if _keeps_documents(context, table)]:
            raise ConfigError(f"{documents[0]} can't be a child table", hint="name a table of columns")
        children = {path: Target(table, write.mode, window=write.window) for path, table in tables.items()}
        return Family(context, parent, children, explosion)

    @property
    def query(self) -> Query:
        """What to read, increments and windows aside."""
        settings = self.settings
        return Query(
            settings.columns,
            settings.where,
            settings.filter,
            settings.pipeline,
            sql=settings.sql,
            order=settings.order,
            lanes=settings.lanes,
            consistent=settings.consistent,
        )

    def window(self, work: Work) -> Window | None:
        """What of the source to read, where it is not an increment; None: everything."""
        context, source = work.context, work.source
        wanted = self.settings.window
        if wanted is None:
            wanted = context.window is not None and source.time is not None
        if not wanted:
            return None
        if context.window is None:
            raise ConfigError(
                "the step says `window: true`, but this pipeline has no windows",
                hint="add `window: day` to the pipeline, or take it from the step",
            )
        if source.time is None:
            raise ConfigError(
                f"table {source} has no time column, so it has no windows",
                hint=f"add `{source}: {{time: COLUMN}}` under `tables:` or say --time COLUMN; "
                "or `window: false` in the step",
            )
        return context.window

    def _move(self, work: Work, piece: Piece, start: Position) -> Delivered:
        context, delivery, source = work.context, work.delivery, work.source
        settings = self.settings
        if settings.sql is None and (settings.mode is Mode.REPLACE or self._attended):
            refuse_missing(context.tables.connection(source.connection), source)
        start, target = piece.position(start), delivery.write.table
        merge = getattr(delivery.sink, "merge_pipeline", None)
        inside = settings.server_side and source.connection == target.connection and not piece.also
        inside = inside and delivery.write.changes == Changes() and settings.shape is None
        if merge and settings.pipeline and inside:
            query, window = piece.query, piece.window
            return delivery.commit(
                start, lambda position: merge(delivery.write, source, query, window, position)
            )
        explosion = self._explosion(context, source, target)
        exact = _keeps_documents(context, source) and _keeps_documents(context, target)
        exact = exact and settings.shape is None
        resumable = delivery.write.checkpoints is not None
        reader = self._reader(work, replace(piece.query, canonical=exact, resumable=resumable))
        self._attend(reader, piece)
        before: Iterator[Batch] = iter(())
        if piece.also:
            also = self._reader(work, replace(piece.also, canonical=exact))
            before = _batches(also, None, None, resumable=False)
        if work.family:
            return work.family.deliver(
                chain(before, _batches(reader, piece.window, piece.after, resumable=False)), start
            )

        reshaping = self.reshaping(work)
        needed = self._needed(work, exact=exact)

        def read(after: Position | None) -> Iterator[Batch]:
            batches: Iterator[Batch] = chain(
                before, _batches(reader, piece.window, piece.after or after, resumable=resumable)
            )
            if needed:
                batches = (keyed if exact else holding)(batches, needed, source)
            if settings.delete_where:
                batches = told(batches, settings.delete_where, "delete", OPERATION, str(source))
            batches = reshaping.of(batches) if reshaping else batches
            return _written(batches, explosion) if explosion else batches

        delivered = self._delivered(delivery, read, start, ahead=bool(needed) or not resumable)
        return reshaping.noted(delivered) if reshaping else delivered

    def reshaping(self, work: Work) -> Reshaping | None:
        """What makes documents of the rows; None where they stay as they are.

        Raises:
            ConfigError: the shape can't be read, or does not go with the rest of the step.
        """
        settings, context = self.settings, work.context
        if settings.shape is None:
            return None
        operation = OPERATION if settings.delete_where else settings.operation
        found = Reshaping(
            settings.shape,
            context,
            self._target(context, work.source),
            source=str(work.source),
            kind=context.tables.connection(work.source.connection).kind,
            carried=[operation] if operation else [],
        )
        if settings.since:
            found.refuse_groups(settings.since)
        if settings.deletes == "compare":
            found.refuse_renamed_keys()
        return found

    def _needed(self, work: Work, *, exact: bool) -> list[str]:
        """Columns without which an upsert makes no sense, where the source has the same in all rows.

        Of whole documents the first ones must have them.
        """
        settings, write = self.settings, work.delivery.write
        if settings.mode is not Mode.UPSERT or settings.shape is not None:
            return []
        if exact:
            return [name for name in (*write.key, settings.operation) if name]
        if not has_columns(work.context.tables.connection(work.source.connection)):
            return []
        return [name for name in (*write.key, settings.version, settings.operation) if name]

    def _delivered(
        self,
        delivery: Delivery,
        read: Callable[[Position | None], Iterator[Batch]],
        start: Position,
        *,
        ahead: bool,
    ) -> Delivered:
        """Everything that is read, written; with `ahead` a first batch that is refused leaves no trace."""
        if not ahead:
            return delivery.deliver_from(read, start)
        batches = read(None)
        with ended(batches):
            begun = begin(batches)
            return delivery.deliver_from(lambda _: begun, start)

    def _reader(self, work: Work, query: Query) -> Any:
        reader: Any = work.context.tables.connection(work.source.connection).source(work.source, query)
        if hasattr(reader, "timings"):
            reader.timings = work.context.timings
        return reader

    def _attend(self, reader: Any, piece: Piece) -> None:
        if self._attended and piece.reached is None and hasattr(reader, "estimated"):
            self._attended.expected(reader.estimated(piece.window))


def _batches(
    reader: Source, window: Window | None, after: Position | None, *, resumable: bool
) -> Iterator[Batch]:
    """What the source has; of its positions only those of a resumable scan count here."""
    for batch in reader.read(window, after):
        yield batch if resumable else replace(batch, position=None)


def _written(batches: Iterator[Batch], explosion: Explosion) -> Iterator[Batch]:
    """The batches with text where it is wanted."""
    for batch in batches:
        yield replace(batch, data=explosion.of(batch.data)[0])


def _is_mongodb(context: StepContext, table: Table) -> bool:
    return context.tables.connection(table.connection).kind == "mongodb"


def _keeps_documents(context: StepContext, table: Table) -> bool:
    """Whether the table holds whole BSON documents: between two such tables nothing is decoded."""
    connection: Any = context.tables.connection(table.connection)
    asked = getattr(connection, "keeps_documents", None)
    return bool(asked(table)) if asked else bool(connection.kind == "mongodb")
