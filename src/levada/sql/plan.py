"""What a query becomes: a collection, a pipeline, and the columns of its result. Pure data; nothing runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from levada.sql.catalog import Field
from levada.sql.types import SqlType

#: A pipeline's stage.
Stage = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlanColumn:
    """A column of the result.

    Args:
        name: in SQL; names may repeat.
        field: of the documents that the pipeline gives, a plain top-level name without dots; unique.
        nullable: whether it can be NULL: null or missing in the document.
    """

    name: str
    type: SqlType
    field: str
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Note:
    """What the compiler chose or could not do, and why.

    Args:
        kind: `scan`, `filter`, `join`, `group`, `window`, `sort`, `limit`, `subquery`, `stored`.
        text: one sentence, for people.
        table: the table it is about, or empty.
        works: False: something that costs, such as a condition that can't use an index.
    """

    kind: str
    text: str
    table: str = ""
    works: bool = True


@dataclass(frozen=True, slots=True)
class Scanned:
    """A table that the plan reads, and the columns whose types the server does not keep.

    Args:
        table: in SQL.
        collection: in MongoDB.
        unproven: the columns it reads whose values may be of another type, which is an error.
    """

    table: str
    collection: str
    unproven: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A temporary table that must be filled before what comes after it is run.

    Args:
        name: stands for the temporary collection in `$lookup.from`, `$unionWith` and `collection`; every run
            puts a name of its own in its place (`renamed`).
        collection, pipeline: what fills it; as in `Plan`.
    """

    name: str
    collection: str | None
    pipeline: list[Stage]


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled query.

    Args:
        collection: what is aggregated; None: the database itself, the pipeline begins with `$documents`.
        pipeline: its stages.
        columns: of the result, in order.
        stored: temporary tables, in the order they must be filled.
        notes: what was chosen and why.
        scans: the tables it reads.
    """

    collection: str | None
    pipeline: list[Stage]
    columns: tuple[PlanColumn, ...]
    stored: tuple[StoredPlan, ...] = ()
    notes: tuple[Note, ...] = ()
    scans: tuple[Scanned, ...] = ()


def renamed(plan: Plan, names: Mapping[str, str]) -> Plan:
    """The plan with other names for its temporary tables."""
    if not names:
        return plan
    stored = tuple(
        StoredPlan(
            names.get(one.name, one.name),
            names.get(one.collection or "", one.collection),
            _stages(one.pipeline, names),
        )
        for one in plan.stored
    )
    collection = names.get(plan.collection or "", plan.collection)
    return replace(plan, collection=collection, pipeline=_stages(plan.pipeline, names), stored=stored)


def _stages(pipeline: list[Stage], names: Mapping[str, str]) -> list[Stage]:
    return [{name: _stage(name, body, names) for name, body in stage.items()} for stage in pipeline]


def _stage(name: str, body: Any, names: Mapping[str, str]) -> Any:
    """A stage reads other collections only here; everything else is left as it is."""
    if name == "$unionWith" and isinstance(body, str):
        return names.get(body, body)
    if name == "$facet":
        return {facet: _stages(stages, names) for facet, stages in body.items()}
    if name not in _READING:
        return body
    changed = dict(body)
    key = _READING[name]
    if key in changed:
        changed[key] = names.get(changed[key], changed[key])
    if "pipeline" in changed:
        changed["pipeline"] = _stages(changed["pipeline"], names)
    return changed


#: Stage that reads another collection -> where its name stands.
_READING = {"$unionWith": "coll", "$lookup": "from", "$graphLookup": "from"}
