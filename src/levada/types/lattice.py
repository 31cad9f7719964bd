"""The lattice: the least kind that holds two, decided by kinds alone and so in any order.

```
                      variant
   ┌─────────┬──────────┼───────────┬─────────────┐
 double   decimal   document(…)   array(…)   every other kind
   │     ┌───┘
   │   int64           documents join field by field, arrays by their elements,
   └──┬──┘             decimals by most digits before and after the point
    int32
     null
```

- int32 joins double as double: every int32 is a double. int64 and decimal do not (9007199254740993 is
  none): int64 or decimal with double is a variant, whatever the values are, so that the result never
  depends on which value came first.
- Decimals (and integers, of 10 and 19 digits) are a decimal while the most digits before the point and
  the most places after it are 38 together; a variant beyond.
- Documents of more than `MAX_FIELDS` distinct names are maps with moving keys: a variant.
- Arrow types that BSON does not have widen to the one that holds both (int8, uint16 -> int32, float32 ->
  double, any date or time stamp -> UTC time stamp of the finer unit; a naive one is taken as UTC).

A variant keeps values, and drops what widening could have dropped before it became a variant; else its
text would depend on the order too. So in its text: a whole number is int32 where it fits, else int64,
whichever numeric type it had (-0.0 stays a double; doubles beyond int32 stay doubles); a decimal has no
trailing zeros; the members of a document are sorted by name and null ones are left out.
"""

from __future__ import annotations

from functools import reduce

import pyarrow as pa

from levada.types.kinds import (
    BSON,
    DIGITS,
    MAX_FIELDS,
    decimal_facts,
    decimal_field,
    field_of,
    kind_of,
)

_NUMBERS = {
    frozenset({"int32", "int64"}): "int64",
    frozenset({"int32", "double"}): "double",
    frozenset({"int32", "decimal"}): "decimal",
    frozenset({"int64", "decimal"}): "decimal",
}

_UNITS = ("s", "ms", "us", "ns")


def widen(a: pa.Schema, b: pa.Schema) -> pa.Schema:
    """The least schema that holds the rows of both.

    The types do not depend on the order of the arguments; the fields are those of `a`, then the new ones
    of `b`.
    """
    if a.equals(b, check_metadata=True):
        return a
    metadata = {**(b.metadata or {}), **(a.metadata or {})} or None
    return pa.schema(_union(list(a), list(b)), metadata=metadata)


def join(a: pa.Field, b: pa.Field) -> pa.Field:
    """The least field that holds the values of both, by the name of `a`; nullable unless both are equal."""
    if a.equals(b, check_metadata=True):
        return a
    kinds = kind_of(a), kind_of(b)
    if "null" in kinds:
        return _nullable(a if kinds[1] == "null" else b.with_name(a.name))
    joined = _join_kinds(a, b, *kinds)
    ours = {key: value for key, value in (a.metadata or {}).items() if key not in {BSON, DIGITS}}
    return joined.with_metadata({**ours, **(joined.metadata or {})} or None)


def _join_kinds(a: pa.Field, b: pa.Field, first: str, second: str) -> pa.Field:
    if first != second:
        number = _NUMBERS.get(frozenset({first, second}))
        if number is None:
            return field_of("variant", a.name)
        return _join_decimals(a, b) if number == "decimal" else field_of(number, a.name)
    if first in _SAME:
        return _SAME[first](a, b)
    if first.startswith("arrow:"):
        return pa.field(a.name, a.type)
    return field_of(first, a.name)


def _join_documents(a: pa.Field, b: pa.Field) -> pa.Field:
    fields = _union(list(a.type), list(b.type))
    if len(fields) > MAX_FIELDS:
        return field_of("variant", a.name)
    return pa.field(a.name, pa.struct(fields))


def _join_arrays(a: pa.Field, b: pa.Field) -> pa.Field:
    element = join(a.type.value_field, b.type.value_field).with_name("item")
    return pa.field(a.name, pa.list_(_nullable(element)))


def _join_decimals(a: pa.Field, b: pa.Field) -> pa.Field:
    digits, scale = map(max, zip(decimal_facts(a), decimal_facts(b), strict=True))
    return decimal_field(a.name, digits, scale)


def _join_dates(a: pa.Field, b: pa.Field) -> pa.Field:
    unit = _UNITS[max(map(_unit, (a.type, b.type)))]
    return pa.field(a.name, pa.timestamp(unit, "UTC"), metadata={BSON: b"date"})


def _unit(arrow: pa.DataType) -> int:
    return _UNITS.index(arrow.unit) if pa.types.is_timestamp(arrow) else _UNITS.index("ms")


_SAME = {
    "document": _join_documents,
    "array": _join_arrays,
    "decimal": _join_decimals,
    "date": _join_dates,
}


def _union(first: list[pa.Field], second: list[pa.Field]) -> list[pa.Field]:
    fields = {field.name: field for field in first}
    news = {field.name: field for field in second}
    shared = {
        name: join(field, news[name]) if name in news else _nullable(field) for name, field in fields.items()
    }
    return [*shared.values(), *(_nullable(field) for name, field in news.items() if name not in fields)]


def _nullable(field: pa.Field) -> pa.Field:
    return field if field.nullable else field.with_nullable(True)


def join_all(fields: list[pa.Field]) -> pa.Field:
    """The least field that holds the values of all of them (one at least)."""
    return reduce(join, fields)
