"""The rows of one key -> one document: what `each` in a shape asks for.

Rows of a key may come anywhere, so all rows have to be there before the first document. They wait on disk
where they don't fit in memory; then they are dealt out by a hash of the key, so that all rows of one key are
in one part and each part fits in memory. A part is put in order and filled at once. No value takes another
way than through Arrow's own copies, so types and digits stay as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from levada.batches import Batch, Rejected
from levada.connectors.reading import OFFLINE
from levada.connectors.screening import set_aside
from levada.connectors.spool import Spool
from levada.errors import ConfigError
from levada.steps.shape import Document, Each, Rest, at, columns_of, rests, walk
from levada.steps.shaping import Rows, Shaper, locate
from levada.types import extjson, kind_of
from levada.types.names import stored_name

#: Bytes of rows that are put in order at once.
MEMORY = 128 * 1024 * 1024

_MOST_PARTS = 256
_ROWS = 5_000
_MOST_ELEMENTS = 100_000  # of the documents of one batch, so that none gets too large

#: A number in canonical Extended JSON; in a text its quotes are escaped.
_NUMBER = re.compile(r'\{"\$number(?P<type>Int|Long|Double|Decimal)":"(?P<digits>[^"]*)"\}')
_EXACT = Context(prec=2_000)  # a double has up to 767 digits

Codes = npt.NDArray[np.int64]


def by_key(
    shaper: Shaper,
    batches: Iterable[Batch],
    key: Sequence[str],
    folder: Path | None = None,
    memory: int | None = None,
) -> Iterator[Batch]:
    """Batches of documents, one for each key, in no particular order of keys.

    Args:
        shaper: of a shape with `each`.
        batches: of a whole read.
        key: fields of the shape that tell documents apart; empty: all that is outside of `each`.
        folder: where rows may wait.
        memory: bytes of rows that are in memory at once, about.
    """
    memory = MEMORY if memory is None else memory
    with closing(Spool(folder, memory // 2)) as spool:
        for batch in batches:
            if batch.data.num_columns:
                shaper.learn(batch.data.schema)
                spool.add(batch.data)
            if batch.rejected:
                yield Batch(batch.data.slice(0, 0), rejected=batch.rejected)
        if spool.schema is None or not spool.rows:
            return
        names = key_columns(shaper.shape, key, spool.schema)
        parts = min(_MOST_PARTS, 1 + spool.bytes * 2 // max(memory, 1))
        for part in _parts(spool, names, int(parts), folder, memory):
            yield from _documents(shaper, part, names)


def key_columns(shape: Document, key: Sequence[str], schema: pa.Schema) -> tuple[str, ...]:
    """The columns whose values are one for all rows of a document.

    Raises:
        ConfigError: the key is no field of the shape that has a column.
    """
    if not key:
        return _outside(shape, schema)
    found: list[str] = []
    for path in key:
        node = at(shape, path)
        columns = columns_of(node) if node is not None else _column_of_rest(shape, path, schema)
        if not columns or any(isinstance(inner, Each) for inner in walk(node or shape) if node):
            fields = ", ".join(name for name, inner in shape.fields.items() if columns_of(inner))
            raise ConfigError(
                f"the key {path!r} is no field of the shape that a column fills",
                hint=f"fields that could be the key: {fields}",
            )
        found += columns
    return tuple(dict.fromkeys(found))


def _column_of_rest(shape: Document, path: str, schema: pa.Schema) -> tuple[str, ...]:
    return (path,) if shape.rest and locate(schema, path) is not None else ()


def _outside(shape: Document, schema: pa.Schema) -> tuple[str, ...]:
    """All columns outside of `each`, the rest included."""
    named = columns_of(shape)
    others = [name for rest in rests(shape) for name in _others(shape, rest, schema)]
    return tuple(dict.fromkeys([*named, *others]))


def _others(shape: Document, rest: Rest, schema: pa.Schema) -> list[str]:
    taken = {
        schema.names[steps[0]] for name in columns_of(shape, each=True) if (steps := locate(schema, name))
    }
    taken |= {stored_name(schema, name) for name in rest.without}
    return [name for name in schema.names if name not in taken]


def _parts(
    spool: Spool, names: Sequence[str], parts: int, folder: Path | None, memory: int
) -> Iterator[pa.RecordBatch]:
    """All rows, those of one key in one batch, in the order they came."""
    assert spool.schema is not None
    if parts == 1:
        yield _whole(spool)
        return
    with ExitStack() as stack:
        dealt = [stack.enter_context(closing(Spool(folder, memory // 2 // parts))) for _ in range(parts)]
        _deal(spool, names, dealt, memory // 8)
        for one in dealt:
            if one.rows:
                yield _whole(one)
            one.close()


def _whole(spool: Spool) -> pa.RecordBatch:
    schema = spool.schema
    assert schema is not None
    batches = list(spool.batches(schema))
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _deal(spool: Spool, names: Sequence[str], dealt: Sequence[Spool], size: int) -> None:
    import duckdb

    schema = spool.schema
    assert schema is not None
    with closing(duckdb.connect(config=OFFLINE)) as connection:
        for batch in _larger(spool.batches(schema), size):
            codes = _hashed(connection, [_as_key(batch, name) for name in names], len(dealt))
            order = np.argsort(codes, kind="stable")
            edges = np.searchsorted(codes[order], np.arange(len(dealt) + 1))
            sorted_rows = batch.take(pa.array(order))
            for number, one in enumerate(dealt):
                first, last = int(edges[number]), int(edges[number + 1])
                if last > first:
                    one.add(_own(sorted_rows.slice(first, last - first)))


def _larger(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of about so many bytes: many small pieces would be slow to put together."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.nbytes for one in held) > size:
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)


def _own(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows without the rest of the memory they are a slice of, which a spool would count."""
    return batch.take(pa.array(np.arange(len(batch))))


def _hashed(connection: Any, columns: Sequence[pa.Array], parts: int) -> npt.NDArray[np.int64]:
    names = [f"k{number}" for number in range(len(columns))]
    connection.register("keys", pa.table(list(columns), names=names))
    listed = ", ".join(names)
    place = f"row_number() over () - 1 as place, (hash({listed}) % {parts})::bigint as part"
    found = connection.sql(f"SELECT {place} FROM keys").to_arrow_table()  # noqa: S608
    connection.unregister("keys")
    order = np.argsort(found["place"].to_numpy(), kind="stable")
    hashed: npt.NDArray[np.int64] = found["part"].to_numpy()[order]
    return hashed


def _comparable(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column as values that are equal where its values are; of nested ones their text."""
    steps = locate(batch.schema, name)
    if steps is None:
        return pa.nulls(batch.num_rows, pa.string())
    one, column = batch.schema.field(steps[0]), batch.column(steps[0])
    for step in steps[1:]:
        one, column = one.type.field(step), column.flatten()[step]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if pa.types.is_nested(column.type):
        return pa.array(extjson.texts(column, one), pa.string())
    if pa.types.is_temporal(column.type):
        return column.view(pa.int32() if column.type.bit_width == 32 else pa.int64())
    return column.cast(pa.string()) if pa.types.is_decimal(column.type) else column


def _as_key(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column as values that are equal where stores take them for one key.

    So zeros of both signs are equal, and all NaNs, and in mixed columns numbers of all types.
    """
    column = _comparable(batch, name)
    if pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
        column = pc.if_else(pc.is_nan(column), math.nan, pc.add(column, 0.0))
    one = _field(batch.schema, name)
    mixed = pa.types.is_nested(one.type) or kind_of(one) == "variant"
    return _with_equal_numbers(column) if mixed else column


def _field(schema: pa.Schema, name: str) -> pa.Field:
    steps = locate(schema, name)
    if steps is None:
        return pa.field(name, pa.null())
    one = schema.field(steps[0])
    for step in steps[1:]:
        one = one.type.field(step)
    return one


def _with_equal_numbers(texts: pa.Array) -> pa.Array:
    """Canonical Extended JSON in which equal numbers are written alike."""
    encoded = texts.dictionary_encode()
    written = [text and _NUMBER.sub(_number, text) for text in encoded.dictionary.to_pylist()]
    return pa.array(written, pa.string()).take(encoded.indices)


def _number(found: re.Match[str]) -> str:
    value = Decimal(found["digits"])
    if found["type"] == "Double":
        value = Decimal(float(value))  # the very number, not its shortest digits
    return "#" + str("NaN" if value.is_nan() else value.normalize(_EXACT) if value else 0)


def _codes(column: pa.Array) -> Codes:
    """Numbers that are equal where values are; null equals null."""
    indices = column.dictionary_encode(null_encoding="encode").indices
    found: Codes = indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _groups(batch: pa.RecordBatch, names: Sequence[str]) -> Codes:
    """The place of the first row of each row's group."""
    together = np.zeros(len(batch), np.int64)
    for name in names:
        codes = _codes(_as_key(batch, name))
        pairs = together * (int(codes.max(initial=0)) + 1) + codes
        together = np.unique(pairs, return_inverse=True)[1].astype(np.int64)
    _, firsts, inverse = np.unique(together, return_index=True, return_inverse=True)
    found: Codes = firsts[inverse].astype(np.int64)
    return found


def _documents(shaper: Shaper, part: pa.RecordBatch, names: Sequence[str]) -> Iterator[Batch]:
    part = _sorted(shaper.shape, part, _groups(part, names))
    groups = _groups(part, names)
    edges = np.append(np.flatnonzero(np.diff(groups, prepend=-1)), len(part))
    disagreeing = _disagreeing(shaper.shape, part, names, edges)
    for first, last in _cuts(edges):
        rows = part.slice(edges[first], edges[last] - edges[first])
        own = edges[first : last + 1] - edges[first]
        bad = {at - first: why for at, why in disagreeing.items() if first <= at < last}
        yield _batch(shaper, rows, own, bad)


def _sorted(shape: Document, part: pa.RecordBatch, groups: Codes) -> pa.RecordBatch:
    """The rows of each group side by side, in the order that `each` asks for, else as they came."""
    order = _order(shape)
    keys = [("group", "ascending")]
    columns: dict[str, Any] = {"group": groups}
    for number, (name, downwards) in enumerate(order):
        columns[f"o{number}"] = _orderable(part, name)
        keys.append((f"o{number}", "descending" if downwards else "ascending"))
    columns["place"] = np.arange(len(part))
    return part.take(pc.sort_indices(pa.table(columns), sort_keys=[*keys, ("place", "ascending")]))


def _order(shape: Document) -> tuple[tuple[str, bool], ...]:
    orders = {node.order_by for node in walk(shape) if isinstance(node, Each)}
    if len(orders) > 1:
        raise ConfigError(
            "two arrays of one shape are ordered differently",
            hint="give every `each` the same `order_by`, or order one of them in a later step",
        )
    return next(iter(orders), ())


def _orderable(part: pa.RecordBatch, name: str) -> pa.Array:
    steps = locate(part.schema, name)
    if steps is None:
        return pa.nulls(len(part), pa.string())
    column = part.column(steps[0])
    for step in steps[1:]:
        column = column.flatten()[step]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if pa.types.is_nested(column.type):
        raise ConfigError(f"rows can't be ordered by {name!r}, which is {column.type}")
    return column


def _cuts(edges: Codes) -> Iterator[tuple[int, int]]:
    """Groups that make one batch."""
    first, groups = 0, len(edges) - 1
    while first < groups:
        most = int(np.searchsorted(edges, edges[first] + _MOST_ELEMENTS, side="right")) - 1
        last = min(groups, first + _ROWS, max(most, first + 1))
        yield first, last
        first = last


def _disagreeing(shape: Document, part: pa.RecordBatch, names: Sequence[str], edges: Codes) -> dict[int, str]:
    """Group -> the column of which its rows have several values though the document takes one."""
    found: dict[int, str] = {}
    groups = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    for name in _outside(shape, part.schema):
        if name in names:
            continue
        codes = _codes(_comparable(part, name))
        for group in np.unique(groups[codes != codes[edges[:-1]][groups]]).tolist():
            why = f"{name}: the rows of this key have different values, and the document takes one"
            found.setdefault(group, why)
    return found


def _batch(shaper: Shaper, part: pa.RecordBatch, edges: Codes, bad: dict[int, str]) -> Batch:
    """The documents of some whole groups; a group with a bad row is set aside whole."""
    elements = Rows(part)
    rows = Rows(part.take(pa.array(edges[:-1])), bad, elements, edges)
    made = shaper.fill(rows)
    for row, why in elements.bad.items():
        bad.setdefault(int(np.searchsorted(edges, row, side="right")) - 1, why)
    if not bad:
        return Batch(made)
    reasons = {
        row: why
        for group, why in sorted(bad.items())
        for row in range(int(edges[group]), int(edges[group + 1]))
    }
    rejected: list[Rejected] = set_aside(part, reasons)[1]
    good = np.ones(len(rows), np.bool_)
    good[list(bad)] = False
    return Batch(made.filter(pa.array(good)), rejected=tuple(rejected))
