"""Rows of flat columns -> rows of nested documents, all rows of a batch at once.

A row with a value that its field can't hold without a change is set aside with the reason, as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.batches import Batch
from levada.config import nearest
from levada.connectors.jsontext import canonical
from levada.connectors.screening import set_aside
from levada.errors import ConfigError
from levada.steps.shape import (
    Array,
    Column,
    Constant,
    Document,
    Each,
    IfNull,
    Node,
    columns_of,
    rests,
    walk,
)
from levada.types import join, struct
from levada.types.cast import convert
from levada.types.fit import Unfit, fit
from levada.types.kinds import NAME, NAMED, OMITTED, SETTLED, field_of, original_name
from levada.types.names import stored_name

Mask = npt.NDArray[np.bool_]


class Value(NamedTuple):
    """A field of all rows.

    Args:
        field: its type and labels; the name does not count.
        column: the values.
        there: in which rows a column of it has a value; None where it has no column.
    """

    field: pa.Field
    column: pa.Array
    there: Mask | None


@dataclass
class Rows:
    """What a shape is filled from.

    Args:
        batch: one row per document, or per element.
        bad: row -> why it is set aside.
        elements: the rows that the arrays of `each` are made of, those of one document side by side.
        edges: int64 [documents + 1], where each document's elements begin and end.
    """

    batch: pa.RecordBatch
    bad: dict[int, str] = field(default_factory=dict)
    elements: Rows | None = None
    edges: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return int(self.batch.num_rows)


class Shaper:
    """Fills a shape.

    Args:
        shape: what documents are to be like.
        where: the table that rows come from, for errors.
        open_ended: rows may lack columns that others have (documents of MongoDB); such columns are null.
        carried: columns that may be missing, whatever the source.
    """

    def __init__(
        self, shape: Document, where: str, *, open_ended: bool = False, carried: Collection[str] = ()
    ) -> None:
        self.shape = shape
        self._where, self._open, self._carried = where, open_ended, carried
        self._wanted = columns_of(shape, each=True)
        self._unseen, self._unused = set(self._wanted).difference(carried), dict[str, None]()
        self._checked: pa.Schema | None = None

    def learn(self, schema: pa.Schema) -> None:
        """Look at the columns of some rows.

        Raises:
            ConfigError: a column is not there that has to be.
        """
        if self._checked is not None and self._checked.equals(schema):
            return
        self._checked = schema
        for name in self._wanted:
            if locate(schema, name) is not None:
                self._unseen.discard(name)
            elif not self._open and name not in self._carried:
                raise self._unknown(name, schema)
        tops = {_top(schema, name) for name in self._wanted}
        without = [name for rest in rests(self.shape) for name in rest.without]
        tops |= {stored_name(schema, name) for name in without}
        if not rests(self.shape):
            self._unused |= {original_name(one): None for one in schema if one.name not in tops}

    @property
    def notes(self) -> list[str]:
        """What is worth saying once all rows have come."""
        unseen, unused = sorted(self._unseen), list(self._unused)
        notes = [f"no row had the column {_listed(unseen)}"] if unseen and self._checked is not None else []
        return notes + ([f"columns that the shape leaves out: {_listed(unused)}"] if unused else [])

    def fill(self, rows: Rows) -> pa.RecordBatch:
        """The documents as columns; values of rows in `rows.bad` say nothing."""
        found = self._members(self.shape, rows)
        fields = [value.field.with_name(name) for name, value in found]
        return pa.RecordBatch.from_arrays([value.column for _, value in found], schema=pa.schema(fields))

    def _unknown(self, name: str, schema: pa.Schema) -> ConfigError:
        path = next(
            (node.path for node in walk(self.shape) if isinstance(node, Column) and node.name == name), None
        )
        what = f"there is no column {name!r}" + (f" for the field {path!r}" if path else " to order by")
        return ConfigError(what, where=self._where, hint=nearest(name, map(original_name, schema)))

    def _members(self, node: Document, rows: Rows) -> list[tuple[str, Value]]:
        found = [(name, self._value(inner, rows)) for name, inner in node.fields.items()]
        if node.rest:
            found += self._others(node, rows)
        return found

    def _others(self, node: Document, rows: Rows) -> Iterator[tuple[str, Value]]:
        schema = rows.batch.schema
        assert node.rest
        named = {_top(schema, name) for name in self._wanted}
        named |= {stored_name(schema, name) for name in node.rest.without}
        for one, column in zip(schema, rows.batch.columns, strict=True):
            if one.name in named:
                continue
            name = original_name(one)
            if name in node.fields:
                raise ConfigError(
                    f"the column {name!r} would be the field {name!r}, which the shape gives something else",
                    where=self._where,
                    hint=f"leave the column out: `'*': {{except: [{name}]}}`",
                )
            yield name, Value(_unnamed(one), column, _there(column))

    def _value(self, node: Node, rows: Rows) -> Value:
        fill: Callable[[Any, Rows], Value] = _FILLED[type(node)]
        return fill(self, node, rows)  # type: ignore[arg-type, call-arg]

    def _column(self, node: Column, rows: Rows) -> Value:
        one, column = self._located(node.name, rows)
        one = _unnamed(one)
        if node.kind is not None:
            try:
                one, column, bad = fit(column, one, node.kind, truncate=node.truncate)
            except Unfit as error:
                hint = "take out its `type`, or name one that fits (docs/reference/shape.md)"
                raise ConfigError(f"field {node.path!r}: {error}", where=self._where, hint=hint) from error
            for row, why in bad.items():
                rows.bad.setdefault(row, f"{node.path}: {why}")
            one = _with(one, SETTLED, b"1")
        return Value(_labelled(one, node.if_null), column, _there(column))

    def _located(self, name: str, rows: Rows) -> tuple[pa.Field, pa.Array]:
        batch = rows.batch
        steps = locate(batch.schema, name)
        if steps is None:
            _reject_others(name, rows)
            return pa.field(name, pa.null()), pa.nulls(len(rows))
        one, column = batch.schema.field(steps[0]), batch.column(steps[0])
        for step in steps[1:]:
            one, column = one.type.field(step), column.flatten()[step]
        return one, column

    def _constant(self, node: Constant, rows: Rows) -> Value:
        one, column = constant(node)
        repeated = column.take(pa.array(np.zeros(len(rows), np.int64)))
        return Value(one, repeated, None)

    def _document(self, node: Document, rows: Rows) -> Value:
        found = self._members(node, rows)
        there = _any([value.there for _, value in found])
        kind = pa.struct([value.field.with_name(name) for name, value in found])
        nulls = None if there is None or node.if_null == "keep" else pa.array(~there)
        column = struct([value.column for _, value in found], kind, len(rows), nulls)
        return Value(_labelled(pa.field("", kind), node.if_null), column, there)

    def _array(self, node: Array, rows: Rows) -> Value:
        found = [self._value(item, rows) for item in node.items]
        element = found[0].field.with_name("item")
        for value in found[1:]:
            element = join(element, value.field.with_name("item"))
        element = element.with_nullable(True)
        parts = [convert(value.column, value.field, element) for value in found]
        places = np.arange(len(parts) * len(rows)).reshape(len(parts), len(rows)).T.ravel()
        items = pa.concat_arrays(parts).take(pa.array(places))
        edges = np.arange(len(rows) + 1, dtype=np.int64) * len(parts)
        kept = np.asarray(items.is_valid()) if node.nulls == "drop" else np.ones(len(items), np.bool_)
        there = _any([value.there for value in found])
        return _list(Value(element, items, there), kept, edges, node.if_null)

    def _each(self, node: Each, rows: Rows) -> Value:
        assert rows.elements is not None
        assert rows.edges is not None
        element, items, there = self._value(node.element, rows.elements)
        assert there is not None
        kept = there if node.nulls == "drop" else np.ones(len(items), np.bool_)
        some = np.add.reduceat(there, rows.edges[:-1]) > 0 if len(rows) else np.zeros(0, np.bool_)
        return _list(Value(element.with_name("item"), items, some), kept, rows.edges, node.if_null)


_FILLED: dict[type[Node], Callable[..., Value]] = {
    Column: Shaper._column,  # noqa: SLF001
    Constant: Shaper._constant,  # noqa: SLF001
    Document: Shaper._document,  # noqa: SLF001
    Array: Shaper._array,  # noqa: SLF001
    Each: Shaper._each,  # noqa: SLF001
}


def flat(shaper: Shaper, batches: Iterable[Batch]) -> Iterator[Batch]:
    """Batches of documents, one for each row."""
    for batch in batches:
        if not batch.data.num_columns:
            yield batch
            continue
        shaper.learn(batch.data.schema)
        rows = Rows(batch.data)
        made = shaper.fill(rows)
        _, rejected = set_aside(batch.data, rows.bad)
        if rows.bad:
            good = np.ones(len(rows), np.bool_)
            good[list(rows.bad)] = False
            made = made.filter(pa.array(good))
        yield replace(batch, data=made, rejected=(*batch.rejected, *rejected))


def locate(schema: pa.Schema, name: str) -> tuple[int, ...] | None:
    """Where a column lies: its place, and the places of fields in structs; None if there is none."""
    place = schema.get_field_index(stored_name(schema, name))
    if place >= 0:
        return (place,)
    for head in _heads(name):
        place = schema.get_field_index(stored_name(schema, head))
        inside = _inside(schema.field(place).type, name[len(head) + 1 :]) if place >= 0 else None
        if inside is not None:
            return (place, *inside)
    return None


def _reject_others(name: str, rows: Rows) -> None:
    """Set aside rows that have a value where a struct should be that has the column."""
    schema = rows.batch.schema
    for head in _heads(name):
        place = schema.get_field_index(stored_name(schema, head))
        if place >= 0 and not pa.types.is_struct(schema.field(place).type):
            for row in np.flatnonzero(_there(rows.batch.column(place))).tolist():
                rows.bad.setdefault(row, f"{name}: {head} is not always a document")


def _heads(name: str) -> Iterator[str]:
    """`a.b.c` -> `a.b`, `a`."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _inside(kind: pa.DataType, name: str) -> tuple[int, ...] | None:
    return locate(pa.schema(list(kind)), name) if pa.types.is_struct(kind) else None


def _top(schema: pa.Schema, name: str) -> str | None:
    steps = locate(schema, name)
    found: str | None = schema.names[steps[0]] if steps else None
    return found


def constant(node: Constant) -> tuple[pa.Field, pa.Array]:
    """The field and the one value of a constant.

    Raises:
        Unfit: it can't be of the type that is asked for, or BSON has no such value.
    """
    value = node.value
    if isinstance(value, list | tuple | dict):
        return field_of("variant", ""), pa.array([_extended_json(value)])
    column = pa.array([value])
    if column.type == pa.int64() and -(2**31) <= value < 2**31:
        column = column.cast(pa.int32())
    one = pa.field("", column.type)
    if node.kind is None:
        return one, column
    one, column, bad = fit(column, one, node.kind)
    if bad:
        raise Unfit(bad[0])
    return _with(one, SETTLED, b"1"), column


def _extended_json(value: Any) -> str:
    """The Extended JSON of a list or mapping as YAML has it; its nulls and their order stay."""
    from bson import json_util

    options = json_util.CANONICAL_JSON_OPTIONS
    try:
        text = json_util.dumps(_dated(value), json_options=options, separators=(",", ":"))
    except TypeError as error:
        raise Unfit(str(error)) from error
    if canonical(text) is None:
        raise Unfit("BSON has no such value")
    return text


def _dated(value: Any) -> Any:
    """Dates as their midnights in UTC."""
    if isinstance(value, dict):
        return {name: _dated(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_dated(member) for member in value]
    midnight = isinstance(value, date) and not isinstance(value, datetime)
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if midnight else value


def _list(value: Value, kept: Mask, edges: npt.NDArray[np.int64], if_null: IfNull) -> Value:
    """Lists of the items between the edges, without those that are not kept."""
    before = np.concatenate(([0], np.cumsum(kept)))
    offsets = pa.array(before[edges], pa.int32())
    items = value.column if kept.all() else value.column.filter(pa.array(kept))
    nulls = None if value.there is None or if_null == "keep" else pa.array(~value.there)
    kind = pa.list_(value.field)
    column = pa.ListArray.from_arrays(offsets, items, type=kind, mask=nulls)
    return Value(_labelled(pa.field("", kind), if_null), column, value.there)


def _any(masks: Sequence[Mask | None]) -> Mask | None:
    there = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(there) if there else None


def _there(column: pa.Array) -> Mask:
    return np.asarray(column.is_valid())


def _unnamed(one: pa.Field) -> pa.Field:
    """The field without what is said of the name it had."""
    kept = {key: text for key, text in (one.metadata or {}).items() if key not in (NAME, NAMED)}
    return pa.field(one.name, one.type, True, kept or None)


def _labelled(one: pa.Field, if_null: IfNull) -> pa.Field:
    return _with(one, OMITTED, b"1") if if_null == "missing" else one


def _with(one: pa.Field, key: bytes, text: bytes) -> pa.Field:
    return one.with_metadata({**(one.metadata or {}), key: text})


def _listed(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
