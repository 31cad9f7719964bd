"""Columns -> text: the cells of CSV and the members of JSON Lines, whole columns at once.

| Kind | CSV cell | JSON |
|---|---|---|
| bool, int32, int64, timestamp | `true`, `42` | the same |
| double | `0.1`, `1.0`, `-0.0`, `NaN`, `Infinity` | a number; `{"$numberDouble":"NaN"}` |
| decimal | `1.50`, every digit | `{"$numberDecimal":"1.50"}` |
| string, ObjectId, UUID, code, symbol | the text | a string |
| date | `2026-11-23T05:00:00.000Z`, digits by its unit | the same, a string |
| date outside the years 1 to 9999 | `{"$date":{"$numberLong":"ms"}}`; not in ms: a count | the same |
| binary | base64 | `{"$binary":{"base64":...,"subType":...}}` |
| variant | its text | its value; a text that isn't canonical: `{"$variant":"text"}` |
| document, array | canonical Extended JSON | an object, an array |
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.connectors.files.kinds import as_text, textual
from levada.connectors.isotimes import UNITS
from levada.connectors.jsontext import canonical
from levada.errors import Fatal
from levada.types import extjson, kind_of, struct

#: Seconds since 1970 of the years 1 to 9999, which ISO 8601 and its readers know.
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
_INT64 = range(-(2**63), 2**63)


def cells(column: pa.Array, field: pa.Field) -> pa.Array:
    """The cells of a CSV column, not yet quoted; null stays null.

    Raises:
        Fatal: the column's type has no text form.
    """
    column, field = as_text(column, field), textual(field)
    kind = _kind(field)
    if kind in ("document", "array"):
        return pa.array(extjson.texts(_embeddable(column, field), field), pa.string())
    if kind == "binary":
        encoded = (None if v is None else base64.b64encode(v).decode() for v in column.to_pylist())
        return pa.array(encoded, pa.string())
    return _PLAIN[kind](column)


def members(column: pa.Array, field: pa.Field) -> pa.Array:
    """The JSON text of every value of a column; null is `null`.

    Raises:
        Fatal: the column's type has no text form.
    """
    return _json(as_text(column, field), textual(field)).fill_null("null")


def quoted_cells(texts: pa.Array, delimiter: str) -> pa.Array:
    """Cells as they stand in a file (RFC 4180): quoted where needed, and where empty, which null is not."""
    special = "[" + _escaped(delimiter) + '"\r\n\ufeff]'
    needs = pc.or_(pc.match_substring_regex(texts, special), pc.equal(texts, ""))
    if not pc.any(needs).as_py():
        return texts
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(needs, pc.binary_join_element_wise('"', doubled, '"', ""), texts)


def buffer_of(lines: pa.Array) -> memoryview:
    """The bytes of a string column without nulls, one value behind the other."""
    _, offsets, data = lines.buffers()
    edges = np.frombuffer(offsets, np.int32, len(lines) + 1, lines.offset * 4)
    return memoryview(data or b"")[int(edges[0]) : int(edges[-1])]


def pieces(batch: pa.RecordBatch, size: int = 32 * 1024 * 1024) -> Iterator[pa.RecordBatch]:
    """A batch in parts of about that many bytes, so that their text stays below Arrow's 2 GiB."""
    rows = max(1, len(batch) * size // max(batch.nbytes, 1))
    for first in range(0, len(batch), rows):
        yield batch.slice(first, rows)


def _escaped(character: str) -> str:
    return f"\\{character}" if character in "\\]^-[" else character


def _kind(field: pa.Field) -> str:
    kind = kind_of(field).partition(":")[0]
    if kind not in _PLAIN and kind not in _JSON:
        raise Fatal(
            f"column {field.name!r} of type {field.type} has no text form",
            hint="leave it out with `columns:`, or write Parquet",
        )
    return kind


def _as_it_is(column: pa.Array) -> pa.Array:
    return column.cast(pa.string())


def _double(column: pa.Array) -> pa.Array:
    """The shortest text that reads back as the same number, with a point or an exponent."""
    text = column.cast(pa.float64()).cast(pa.string())
    whole = pc.match_substring_regex(text, r"^-?\d+$")
    text = pc.if_else(whole, pc.binary_join_element_wise(text, ".0", ""), text)
    for arrow, ours in (("nan", "NaN"), ("-nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")):
        text = pc.if_else(pc.equal(text, arrow), ours, text)
    return text


def _decimal(column: pa.Array) -> pa.Array:
    text = column.cast(pa.string())
    powers = pc.match_substring(text, "E")
    if not pc.any(powers).as_py():
        return text
    plain = [None if v is None else format(Decimal(v), "f") for v in text.to_pylist()]
    return pa.array(plain, pa.string())


def _date(column: pa.Array) -> pa.Array:
    if pa.types.is_date(column.type):
        column = column.cast(pa.date32())
        counts, per_second, shown = column.cast(pa.int32()).cast(pa.int64()), None, column.cast
        low, high = _FIRST // 86_400, _LAST // 86_400
    else:
        counts, per_second = column.cast(pa.int64()), UNITS[column.type.unit]
        low, high = _FIRST * per_second, (_LAST + 1) * per_second - 1
        shown = None
    inside = pc.and_(
        pc.greater_equal(counts, max(low, _INT64.start)), pc.less_equal(counts, min(high, _INT64.stop - 1))
    )
    known = pc.if_else(inside, column, pa.scalar(None, column.type))
    if shown is not None:
        text = known.cast(pa.string())
    else:
        text = pc.strftime(known, "%Y-%m-%dT%H:%M:%S" + ("Z" if column.type.tz else ""))
    if not pc.any(pc.invert(inside)).as_py():
        return text
    odd = counts.cast(pa.string())
    if column.type == pa.timestamp("ms", "UTC"):
        odd = pc.binary_join_element_wise('{"$date":{"$numberLong":"', odd, '"}}', "")
    return pc.if_else(inside, text, odd)


_PLAIN: dict[str, Callable[[pa.Array], pa.Array]] = {
    **dict.fromkeys(("bool", "int32", "int64", "timestamp", "null"), _as_it_is),
    **dict.fromkeys(("string", "objectId", "uuid", "javascript", "symbol", "variant"), _as_it_is),
    "double": _double,
    "decimal": _decimal,
    "date": _date,
}


def _json(column: pa.Array, field: pa.Field) -> pa.Array:
    kind = _kind(field)
    if kind in _JSON:
        return _JSON[kind](column, field)
    return _PLAIN[kind](column)


def _wrapped(text: pa.Array, before: str, after: str) -> pa.Array:
    return pc.binary_join_element_wise(before, text, after, "")


def _json_string(column: pa.Array, _field: pa.Field) -> pa.Array:
    column = column.cast(pa.string())
    if not pc.any(pc.match_substring_regex(column, '["\\\\\\x00-\\x1f]')).as_py():
        return _wrapped(column, '"', '"')
    return pa.array([None if v is None else extjson.quote(v) for v in column.to_pylist()], pa.string())


def _json_double(column: pa.Array, _field: pa.Field) -> pa.Array:
    text = _double(column)
    odd = pc.match_substring_regex(text, "[NI]")
    return pc.if_else(odd, _wrapped(text, '{"$numberDouble":"', '"}'), text)


def _json_decimal(column: pa.Array, _field: pa.Field) -> pa.Array:
    return _wrapped(_decimal(column), '{"$numberDecimal":"', '"}')


def _json_date(column: pa.Array, _field: pa.Field) -> pa.Array:
    text = _date(column)
    iso = pc.match_substring_regex(text, "^[0-9]{4}-")
    return pc.if_else(iso, _wrapped(text, '"', '"'), text)


def _json_variant(column: pa.Array, _field: pa.Field) -> pa.Array:
    values = column.cast(pa.string()).to_pylist()
    return pa.array([None if v is None else _embedded(v) for v in values], pa.string())


def _embedded(text: str) -> str:
    plain = text != "null" and canonical(text) == text
    return text if plain else f'{{"$variant":{extjson.quote(text)}}}'


def _embeddable(column: pa.Array, field: pa.Field) -> pa.Array:
    """The column with every variant below it in a form that may stand inside of JSON."""
    kind = _kind(field)
    if kind == "variant":
        return _json_variant(column, field)
    nulls = column.is_null() if column.null_count else None
    if kind == "document":
        children = [_embeddable(*pair) for pair in zip(_children(column), field.type, strict=True)]
        return struct(children, field.type, len(column), nulls)
    if kind == "array":
        edges = np.asarray(column.offsets)
        values = column.values.slice(edges[0], edges[-1] - edges[0])
        values = _embeddable(values, field.type.value_field)
        offsets = pa.array(edges - edges[0], pa.int32())
        return pa.ListArray.from_arrays(offsets, values, type=field.type, mask=nulls)
    return column


def _json_document(column: pa.Array, field: pa.Field) -> pa.Array:
    return pc.if_else(column.is_valid(), joined(_children(column), list(field.type), len(column)), None)


def _children(column: pa.Array) -> list[pa.Array]:
    return [column.field(place) for place in range(column.type.num_fields)]


def joined(columns: list[pa.Array], fields: list[pa.Field], rows: int) -> pa.Array:
    """The JSON object of every row."""
    parts: list[pa.Array | str] = []
    for column, field in zip(columns, fields, strict=True):
        parts += [("," if parts else "{") + extjson.quote(field.name) + ":", members(column, field)]
    if not parts:
        return pa.array(["{}"] * rows, pa.string())
    return pc.binary_join_element_wise(*parts, "}", "")


def _json_array(column: pa.Array, field: pa.Field) -> pa.Array:
    edges = np.asarray(column.offsets)
    values = column.values.slice(edges[0], edges[-1] - edges[0])
    texts = members(values, field.type.value_field)
    lists = pa.ListArray.from_arrays(pa.array(edges - edges[0], pa.int32()), texts)
    return pc.if_else(column.is_valid(), _wrapped(pc.binary_join(lists, ","), "[", "]"), None)


def _json_binary(column: pa.Array, field: pa.Field) -> pa.Array:
    return pa.array(extjson.texts(column, field), pa.string())


_JSON: dict[str, Callable[[pa.Array, pa.Field], pa.Array]] = {
    **dict.fromkeys(("string", "objectId", "uuid", "javascript", "symbol"), _json_string),
    "double": _json_double,
    "decimal": _json_decimal,
    "date": _json_date,
    "variant": _json_variant,
    "binary": _json_binary,
    "document": _json_document,
    "array": _json_array,
}
