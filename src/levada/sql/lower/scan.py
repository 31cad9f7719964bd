"""Reading collections: names as paths, pushed conditions, the check that values have their columns' types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from levada.sql.algebra import BoundQuery, Relation, Scan, Stored, Values, expressions, inputs
from levada.sql.catalog import Field, TableSchema
from levada.sql.expression import columns, conjuncts
from levada.sql.expressions.emit import Place, Row, match, value
from levada.sql.expressions.filters import foreign
from levada.sql.lower.state import Context, Lowered, Needed, filtered, matched, read, wrong_types
from levada.sql.plan import Scanned, Stage


def lower_scan(scan: Scan, needed: Needed, context: Context) -> Lowered:
    """The documents of a collection, where they are of the declared types."""
    used = set(needed) | (columns(scan.condition) if scan.condition is not None else set())
    fields = [(name, field) for name, field in scan.fields if name in used]
    single = _single(scan.table)
    row = {name: _known(place_of(field), field.name, single) for name, field in fields}
    source = Lowered(scan.table.source, (), row, indexes=_indexes(scan.table))
    lowered = filtered(source, scan.condition, context)
    _note_filters(scan, row, context)
    values = valued(context.query)
    unproven = tuple(f for name, f in fields if not f.proven and foreign(f.type) and name in values)
    context.scans.append(Scanned(scan.table.name, scan.table.source, unproven))
    if not unproven:
        return lowered
    parts = [stage["$match"] for stage in lowered.stages]
    return replace(lowered, stages=({"$match": matched([*parts, check(unproven)])},))


def valued(query: BoundQuery) -> frozenset[str]:
    """Ids of the columns whose values the query reads; of others it asks at most the type."""
    found = {column.id for _, column in query.output}
    for relation in (query.relation, *(one for _, one in query.stored)):
        for inner in _all(relation):
            for expr in expressions(inner):
                found.update(column.id for column in read(expr))
    return frozenset(found)


def _all(relation: Relation) -> Iterator[Relation]:
    yield relation
    for below in inputs(relation):
        yield from _all(below)


def _indexes(table: TableSchema) -> frozenset[str]:
    return frozenset({"_id"} | {index.keys[0][0] for index in table.indexes if index.complete})


def _note_filters(scan: Scan, row: Row, context: Context) -> None:
    """Tell of conditions that the match language can't say: no index serves them."""
    names = {name: field.name for name, field in scan.fields}
    for part in conjuncts(scan.condition):
        said = sorted(names[name] for name in columns(part) if name in names)
        if match(part, context.row(Lowered(None, (), row))) is None and said:
            text = (
                f"a condition on {' and '.join(said)} is computed for every document: no index can serve it"
            )
            context.note("filter", text, scan.table.name, works=False)


def _known(place: Place, name: str, single: frozenset[str]) -> Place:
    """The place of a column, and where in it an index knows that there are no arrays."""
    inside = frozenset(path for path in single if path.startswith(f"{name}."))
    return replace(place, scalar=name in single, flat=inside)


def _single(table: TableSchema) -> frozenset[str]:
    """Paths of which an index says that no document has an array there, or on the way."""
    found = [(index.multikey, index.keys) for index in table.indexes if index.complete]
    return frozenset(
        path
        for arrays, keys in found
        if arrays is not None
        for path, _ in keys
        if not any(path == one or path.startswith(f"{one}.") for one in arrays)
    )


def plain(name: str) -> bool:
    """Whether a field's name can stand in a path."""
    return bool(name) and not name.startswith("$") and "." not in name and "\0" not in name


def place_of(field: Field) -> Place:
    """Where a collection's own documents hold a column."""
    if not plain(field.name):
        get = {"$getField": {"field": {"$literal": field.name}, "input": "$$ROOT"}}
        return Place(get, proven=field.proven)
    return Place(f"${field.name}", path=field.name, dense=not field.nullable, proven=field.proven)


def check(fields: tuple[Field, ...]) -> Stage:
    """A filter that every document of the declared types passes, and that fails at any other.

    `$type` of the match language costs next to nothing; what fails is evaluated where it finds something.
    """
    odd = [field for field in fields if not plain(field.name)]
    wrong = [wrong_types(f.name, f.type) for f in fields if plain(f.name)]
    wrong += [{"$expr": {"$in": [{"$type": place_of(f).value}, foreign(f.type)]}} for f in odd]
    some = place_of(fields[0]).value
    failing = {"$gt": [{"$multiply": [{"$eq": [some, None]}, 1]}, 0]}
    return {"$or": [{"$nor": wrong}, {"$expr": failing}]}


def lower_values(values: Values, _needed: Needed, context: Context) -> Lowered:
    """Rows that the query itself gives."""
    documents = [
        {column.id: value(expr, context.outer) for column, expr in zip(values.header, one, strict=True)}
        for one in values.rows
    ]
    row = {c.id: Place(f"${c.id}", path=c.id, dense=True, proven=True) for c in values.header}
    return Lowered(None, ({"$documents": documents},), row)


def lower_stored(stored: Stored, needed: Needed, context: Context) -> Lowered:
    """A temporary table: every field is there, of the right type."""
    row = {
        column.id: Place(f"${name}", path=name, dense=True, proven=True)
        for column, name in stored.fields
        if column.id in needed
    }
    return Lowered(context.stored[stored.name], (), row)
