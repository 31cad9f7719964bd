"""What a query does: its stages, which index each read uses, what the compiler chose and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bson import json_util
from pymongo.errors import OperationFailure

from levada.observe import counted
from levada.sql.catalog import Catalog, TableSchema
from levada.sql.live import stages_of
from levada.sql.plan import Note, Plan, PlanColumn, Stage
from levada.sql.running import command

if TYPE_CHECKING:
    from levada.sql.driver import Connection

#: Characters of a line.
_WIDE: Final = 100

#: The interval that is no restriction.
_ALL: Final = ["[MinKey, MaxKey]"]

#: Intervals that are a whole type, as the server writes their beginnings; the first stands in every check.
_LEAST: Final = "[MinKey, MinKey]"
_WHOLE: Final = (
    *(_LEAST, '["", ', "[{}, ", "[[], ", "[BinData(0, ), ", "[ObjectId('000000000000000000000000'), "),
    *("[false, true]", "[new Date(-9223372036854775808), ", "[Timestamp(0, 0), ", "[//, ", "[nan.0, inf.0]"),
)

#: Intervals of an index that are shown, and characters of each.
_SPANS: Final = 3
_SPAN: Final = 60

#: Stages of the server that say how documents are found -> whether that is by an index.
_READS: Final[Mapping[str, bool]] = {
    "COLLSCAN": False,
    "IXSCAN": True,
    "IDHACK": True,
    "COUNT_SCAN": True,
    "DISTINCT_SCAN": True,
    "CLUSTERED_IXSCAN": True,
    "EXPRESS_IXSCAN": True,
    "EXPRESS_CLUSTERED_IXSCAN": True,
    "EQ_LOOKUP": True,
    "EQ_LOOKUP_UNWIND": True,
}

#: How the server runs a `$lookup` that it plans itself -> in words.
_STRATEGIES: Final[Mapping[str, str]] = {
    "IndexedLoopJoin": "for every row, by index {index}",
    "HashJoin": "read once into a hash table",
    "NestedLoopJoin": "read again for every row, without an index",
    "NonExistentForeignCollection": "there is no such collection",
    "DynamicIndexedLoopJoin": "for every row, by index {index} where that is possible",
}


@dataclass(frozen=True)
class Read:
    """One place where the server reads a collection.

    Args:
        collection: its name.
        index: None: every document is read.
        bounds: of the index: path -> intervals, as the server writes them; empty for a `$lookup`.
        strategy: of a `$lookup` that the server plans itself, else empty.
    """

    collection: str
    index: str | None
    bounds: Mapping[str, list[str]]
    strategy: str = ""


@dataclass(frozen=True)
class Piece:
    """A pipeline and where it reads.

    Args:
        name: of the temporary table it fills; empty for the query itself.
        reads: None: the server would not tell.
    """

    name: str
    collection: str | None
    pipeline: list[Stage]
    reads: tuple[Read, ...] | None


@dataclass(frozen=True)
class Explained:
    """A query, explained.

    Args:
        checked: table -> the columns whose values' types are checked while they are read.
    """

    pieces: tuple[Piece, ...]
    columns: tuple[PlanColumn, ...]
    tables: tuple[TableSchema, ...]
    checked: Mapping[str, tuple[str, ...]]
    notes: tuple[Note, ...]

    def document(self) -> dict[str, Any]:
        """For machines; stages as relaxed Extended JSON."""
        return {
            "pipelines": [_piece(one) for one in self.pieces],
            "columns": [
                {"name": one.name, "type": str(one.type), "nullable": one.nullable} for one in self.columns
            ],
            "tables": [
                {
                    "name": one.name,
                    "collection": one.source,
                    "documents": one.rows,
                    "types_from": one.origin,
                    "sure": one.sure,
                    "checked": list(self.checked.get(one.name, ())),
                }
                for one in self.tables
            ],
            "notes": [
                {"kind": one.kind, "table": one.table or None, "text": one.text, "works": one.works}
                for one in self.notes
            ],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        for piece in self.pieces:
            yield f"{_title(piece)}:"
            for number, stage in enumerate(piece.pipeline, 1):
                yield from _stage_lines(number, stage)
        yield "reads:"
        reads = dict.fromkeys(line for piece in self.pieces for line in _read_lines(piece))
        yield from list(reads) or ["  nothing of the database"]
        if self.tables:
            yield "tables:"
            yield from (f"  {_told(table, self.checked.get(table.name, ()))}" for table in self.tables)
        if self.notes:
            yield "notes:"
            yield from (f"  {'' if note.works else '! '}{note.kind}: {note.text}" for note in self.notes)
        yield "columns:"
        yield from (f"  {one.name} {one.type}{'' if one.nullable else ' not null'}" for one in self.columns)


def explain(connection: Connection, plan: Plan, catalog: Catalog | None = None) -> Explained:
    """Ask the server how it would run a plan; nothing is read.

    Args:
        catalog: what the plan was compiled with, where it is not the connection's own.

    Raises:
        PyMongoError: it can't be asked.
    """
    parts: list[tuple[str, str | None, list[Stage]]]
    parts = [(one.name, one.collection, one.pipeline) for one in plan.stored]
    parts.append(("", plan.collection, plan.pipeline))
    pieces = [Piece(*part, _reads(connection, *part[1:])) for part in parts]
    names = dict.fromkeys(scan.table for scan in plan.scans)
    known = connection.catalog if catalog is None else catalog
    tables = [table for name in names if (table := known.table(name)) is not None]
    checked = {
        name: tuple(dict.fromkeys(f.name for scan in plan.scans if scan.table == name for f in scan.unproven))
        for name in names
    }
    return Explained(tuple(pieces), plan.columns, tuple(tables), checked, plan.notes)


def _reads(connection: Connection, collection: str | None, pipeline: list[Stage]) -> tuple[Read, ...] | None:
    asked = {"explain": command(collection, pipeline, {}), "verbosity": "queryPlanner"}
    try:
        found = connection.database.command(asked)
    except OperationFailure:  # not with this user's rights
        return None
    return tuple(_found(found))


def _found(explained: Any) -> Iterator[Read]:
    """Every read in the server's explanation, wherever a planner speaks."""
    if isinstance(explained, list):
        for one in explained:
            yield from _found(one)
    elif isinstance(explained, Mapping):
        if "winningPlan" in explained:
            yield from _of_planner(explained)
            return
        for part in explained.values():
            yield from _found(part)


def _of_planner(planner: Mapping[str, Any]) -> Iterator[Read]:
    collection = planner.get("namespace", "").partition(".")[2]
    for stage in stages_of(planner["winningPlan"]):
        name = stage["stage"]
        if name not in _READS:
            continue
        if name.startswith("EQ_LOOKUP"):
            foreign = str(stage.get("foreignCollection", "")).partition(".")[2]
            yield Read(foreign, stage.get("indexName"), {}, str(stage.get("strategy", "")))
        else:
            index = str(stage.get("indexName", "_id_")) if _READS[name] else None
            yield Read(collection, index, dict(stage.get("indexBounds", {})))


def _piece(piece: Piece) -> dict[str, Any]:
    reads = None if piece.reads is None else [_read(read) for read in piece.reads]
    stages = json.loads(_json(piece.pipeline))
    return {"fills": piece.name or None, "collection": piece.collection, "pipeline": stages, "reads": reads}


def _read(read: Read) -> dict[str, Any]:
    return {
        "collection": read.collection,
        "index": read.index,
        "bounds": dict(read.bounds) or None,
        "strategy": read.strategy or None,
    }


def _title(piece: Piece) -> str:
    source = "no collection" if piece.collection is None else piece.collection
    return f"temporary table {piece.name}, from {source}" if piece.name else f"pipeline over {source}"


def _stage_lines(number: int, stage: Stage) -> Iterator[str]:
    first, *rest = laid_out(json.loads(_json(stage)), _WIDE)
    yield f"{number:3}. {first}"
    yield from (f"     {line}" for line in rest)


def laid_out(value: Any, width: int) -> list[str]:
    """JSON in lines: whatever fits stands in one line, lists of plain values fill their lines."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= width or not value or not isinstance(value, dict | list):
        return [text]
    if isinstance(value, dict) and len(value) == 1:
        [(name, item)] = value.items()
        first, *rest = laid_out(item, width - 1)
        lines = [f"{{{json.dumps(name, ensure_ascii=False)}: {first}", *rest]
        return [*lines[:-1], f"{lines[-1]}}}"]
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return _filled([json.dumps(item, ensure_ascii=False) for item in value], width)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    lines = [line for part in _parts(value, width - 3) for line in part]
    lines[-1] = lines[-1].removesuffix(",")
    return [opening, *lines, closing]


def _parts(value: dict[str, Any] | list[Any], width: int) -> Iterator[list[str]]:
    """The lines of each item, with a comma at the end."""
    named = isinstance(value, dict)
    items = value.items() if isinstance(value, dict) else (("", item) for item in value)
    for name, item in items:
        first, *rest = laid_out(item, width)
        start = f"{json.dumps(name, ensure_ascii=False)}: " if named else ""
        lines = [f"  {start}{first}", *(f"  {line}" for line in rest)]
        yield [*lines[:-1], f"{lines[-1]},"]


def _filled(texts: list[str], width: int) -> list[str]:
    lines = ["["]
    for text in texts:
        if len(lines[-1]) + len(text) > width and lines[-1] != "[":
            lines.append("  ")
        lines[-1] += f"{text}, "
    return [*(line.rstrip() for line in lines[:-1]), lines[-1].removesuffix(", ") + "]"]


def _json(value: Any) -> str:
    return json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS, ensure_ascii=False)


def _read_lines(piece: Piece) -> Iterator[str]:
    if piece.reads is None:
        yield f"  {piece.collection}: the server does not tell this user"
    for read in piece.reads or ():
        yield f"  {read.collection}: {_way(read)}"


def _way(read: Read) -> str:
    if read.strategy:
        return _STRATEGIES.get(read.strategy, read.strategy).format(index=read.index)
    if read.index is None:
        return "every document, no index"
    if all(spans == _ALL for spans in read.bounds.values()):
        return f"index {read.index}" + (", all of it" if read.bounds else "")
    bounds = [f"{path} in {_spans(spans)}" for path, spans in read.bounds.items()]
    return f"index {read.index}, {', '.join(bounds)}"


def _spans(spans: list[str]) -> str:
    """Intervals in words; those of whole types are the check that no other type is there."""
    checked = _LEAST in spans
    own = [one for one in spans if not (checked and one.startswith(_WHOLE))]
    shown = [one if len(one) <= _SPAN else f"{one[:_SPAN]}..." for one in own[:_SPANS]]
    more = [f"{len(own) - _SPANS} more"] if len(own) > _SPANS else []
    return " or ".join([*shown, *more, *(["values of other types"] if checked else [])])


def _told(table: TableSchema, checked: tuple[str, ...]) -> str:
    size = "a view" if table.rows is None else f"about {counted(table.rows, 'document')}"
    more = f"; checked while reading: {', '.join(checked)}" if checked else ""
    return f"{table.name}: {size}, types by {table.sure or table.origin}{more}"
