"""From bound relations to an aggregation pipeline."""

from __future__ import annotations

from levada.sql.algebra import BoundQuery, outputs
from levada.sql.errors import SqlError
from levada.sql.expression import Column
from levada.sql.lower.relation import dense, lower_relation
from levada.sql.lower.scan import plain
from levada.sql.lower.state import LONGEST, Context, Lowered
from levada.sql.plan import Plan, PlanColumn, StoredPlan

__all__ = ["lower"]


def lower(query: BoundQuery) -> Plan:
    """The plan of a query.

    Raises:
        SqlError: it needs something that MongoDB does not have.
    """
    context = Context(query)
    stored = []
    for name, relation in query.stored:
        columns = {column.id: column for column in outputs(relation)}
        kept = [(column, column.id, columns[column.id].nullable) for column in columns.values()]
        lowered = _result(lower_relation(relation, dict.fromkeys(columns, 1), context), kept, whole=True)
        context.stored[name] = f"${name}"  # no collection can have such a name
        stored.append(StoredPlan(f"${name}", lowered.collection, list(lowered.stages)))
    needed: dict[str, int] = {}
    for _, column in query.output:
        needed[column.id] = needed.get(column.id, 0) + 1
    lowered = lower_relation(query.relation, needed, context)
    nullable = {column.id: column.nullable for column in outputs(query.relation)}
    fields = _fields(query.output)
    kept = [(c, name, nullable.get(c.id, True)) for (_, c), name in zip(query.output, fields, strict=True)]
    lowered = _result(lowered, kept)
    columns_ = tuple(
        PlanColumn(name, column.type, field, may)
        for (name, _), (column, field, may) in zip(query.output, kept, strict=True)
    )
    return Plan(
        lowered.collection,
        list(lowered.stages),
        columns_,
        tuple(stored),
        tuple(context.notes),
        tuple(context.scans),
    )


def _fields(output: tuple[tuple[str, Column], ...]) -> list[str]:
    """Names of the result's fields: those of SQL, where all are unique and can be names of fields."""
    names = [name for name, _ in output]
    if len(set(names)) == len(names) and all(map(plain, names)):
        return names
    return [f"{column.id}_{place}" for place, (_, column) in enumerate(output)]


def _result(lowered: Lowered, columns: list[tuple[Column, str, bool]], *, whole: bool = False) -> Lowered:
    """The rows as documents of the result.

    Args:
        whole: write a null where a field is missing; who reads the result takes both for NULL, and to leave
            a field as it is costs less.
    """
    shown: dict[str, object] = {} if any(name == "_id" for _, name, _ in columns) else {"_id": 0}
    for column, name, nullable in columns:
        place = lowered.row[column.id]
        if place.path and not whole:
            shown[name] = 1 if place.path == name else place.value
            continue
        emitted = dense(place, nullable=nullable)
        constant = not isinstance(emitted, dict | list | str) or emitted == ""
        shown[name] = {"$literal": emitted} if constant else emitted
    if not columns:
        shown = {"_id": 1}
    lowered = lowered.then({"$project": shown})
    if len(lowered.stages) > LONGEST:
        raise SqlError(f"the query becomes {len(lowered.stages)} stages; MongoDB takes {LONGEST}")
    return lowered
