"""Casts to and from VARCHAR, and from VARIANT."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from bson.decimal128 import Decimal128

from levada.sql.expression import Cast
from levada.sql.expressions.castrules import (
    INTEGERS,
    Rule,
    away,
    convert,
    ranged,
)
from levada.sql.expressions.pieces import bound, fail, given, javascript
from levada.sql.expressions.table import Emitted
from levada.sql.types import BOOLEAN, DOUBLE, TIMESTAMP, VARCHAR, SqlType

#: As DuckDB writes doubles: shortest digits, an exponent of two digits from 1e16 and below 1e-4.
_DOUBLE_TEXT = """function(x) {
  if (x === null || x === undefined) return null;
  if (x !== x) return "nan";
  if (x === Infinity) return "inf";
  if (x === -Infinity) return "-inf";
  if (x === 0) return 1 / x < 0 ? "-0.0" : "0.0";
  var size = Math.abs(x);
  if (size >= 1e16 || size < 1e-4) {
    return x.toExponential().replace(/e([+-])(\\d)$/, "e$10$2");
  }
  var text = x.toString();
  if (text.indexOf("e") >= 0) text = x.toFixed(20).replace(/0+$/, "");
  return text.indexOf(".") < 0 ? text + ".0" : text;
}"""

_UUID_TEXT = """function(x) {
  if (x === null || x === undefined) return null;
  var hex = x.hex();
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}"""

_MOMENT = (
    r"^\s*\d{4}-\d{1,2}-\d{1,2}"
    r"([ T]\d{1,2}:\d\d(:\d\d(\.\d+)?)?\s*(Z|UTC|[+-]\d\d(:?\d\d)?)?)?\s*$"
)
_DAY = r"^\s*\d{4}-\d{1,2}-\d{1,2}"


def _double_to_text(_expr: Cast, arg: Emitted) -> Emitted:
    return javascript(_DOUBLE_TEXT, {"$toDouble": arg})


def _decimal_to_text(expr: Cast, arg: Emitted) -> Emitted:
    """All places of the type: `5` is `5.00` in DECIMAL(10, 2)."""
    scale = expr.arg.type.scale
    zero = Decimal128(Decimal(0).scaleb(-scale))
    return {"$toString": {"$add": [{"$round": [arg, scale]}, zero]}}


def _date_to_text(_expr: Cast, arg: Emitted) -> Emitted:
    return {"$dateToString": {"date": arg, "format": "%Y-%m-%d"}}


def _moment_to_text(_expr: Cast, arg: Emitted) -> Emitted:
    """Milliseconds only where there are any, without zeros at the end."""

    def body(names: list[Emitted]) -> Emitted:
        whole = {"$dateToString": {"date": names[0], "format": "%Y-%m-%d %H:%M:%S"}}
        fine = {"$dateToString": {"date": names[0], "format": "%Y-%m-%d %H:%M:%S.%L"}}
        return {
            "$cond": [
                {"$eq": [{"$millisecond": names[0]}, 0]},
                whole,
                {"$rtrim": {"input": fine, "chars": "0"}},
            ]
        }

    return bound([arg], body)


def _uuid_to_text(_expr: Cast, arg: Emitted) -> Emitted:
    return javascript(_UUID_TEXT, arg)


def _trimmed(arg: Emitted) -> Emitted:
    return {"$trim": {"input": arg}}


def _text_to_int(kind: str) -> Rule:
    """Through DECIMAL: `'2.7'` is 3."""

    def rule(expr: Cast, arg: Emitted) -> Emitted:
        return convert(away(convert(_trimmed(arg), "decimal", expr.safe), 0), kind, expr.safe)

    return rule


def _text_to_double(expr: Cast, arg: Emitted) -> Emitted:
    return convert(_trimmed(arg), "double", expr.safe)


def _text_to_decimal(expr: Cast, arg: Emitted) -> Emitted:
    return ranged(expr, away(convert(_trimmed(arg), "decimal", expr.safe), expr.type.scale))


def _text_to_boolean(expr: Cast, arg: Emitted) -> Emitted:
    def body(names: list[Emitted]) -> Emitted:
        other = None if expr.safe else fail("a text is no BOOLEAN", arg)
        return {"$switch": {"branches": [
            {"case": {"$in": [names[0], ["true", "t", "yes", "y", "1"]]}, "then": True},
            {"case": {"$in": [names[0], ["false", "f", "no", "n", "0"]]}, "then": False},
            {"case": {"$not": [given(arg)]}, "then": None},
        ], "default": other}}  # fmt: skip

    return bound([{"$toLower": _trimmed(arg)}], body)


def _text_to_moment(expr: Cast, arg: Emitted) -> Emitted:
    def body(names: list[Emitted]) -> Emitted:
        other = None if expr.safe else fail("a text is no TIMESTAMP", names[0])
        return {"$switch": {"branches": [
            {"case": {"$regexMatch": {"input": names[0], "regex": _MOMENT}},
             "then": convert(_trimmed(names[0]), "date", expr.safe)},
            {"case": {"$lte": [names[0], None]}, "then": None},
        ], "default": other}}  # fmt: skip

    return bound([arg], body)


def _text_to_date(expr: Cast, arg: Emitted) -> Emitted:
    def body(names: list[Emitted]) -> Emitted:
        other = None if expr.safe else fail("a text is no DATE", names[0])
        day = {"$getField": {"field": "match", "input": {"$regexFind": {"input": names[0], "regex": _DAY}}}}
        return {"$switch": {"branches": [
            {"case": {"$regexMatch": {"input": names[0], "regex": _MOMENT}},
             "then": convert(day, "date", expr.safe)},
            {"case": {"$lte": [names[0], None]}, "then": None},
        ], "default": other}}  # fmt: skip

    return bound([arg], body)


def _text_to_object_id(expr: Cast, arg: Emitted) -> Emitted:
    return convert(arg, "objectId", expr.safe)


#: BSON types of a VARIANT's values -> the type they are cast from.
_FAMILIES: tuple[tuple[tuple[str, ...], SqlType], ...] = (
    (("string", "symbol", "javascript"), VARCHAR),
    (("int", "long"), SqlType("BIGINT")),
    (("double",), DOUBLE),
    (("decimal",), SqlType("DECIMAL", 38, 6)),
    (("bool",), BOOLEAN),
    (("date",), TIMESTAMP),
    (("objectId",), SqlType("OBJECTID")),
)


def _variant(expr: Cast, arg: Emitted) -> Emitted:
    """By the type that each value has."""
    from levada.sql.expressions.casts import RULES

    def body(names: list[Emitted]) -> Emitted:
        value, kind = names
        branches = [{"case": {"$lte": [value, None]}, "then": None}]
        for family, source in _FAMILIES:
            inner = Cast(expr.type, True, _stand_in(source), expr.safe)
            rule = RULES.get((source.name, expr.type.name))
            if source.name == expr.type.name:
                branches.append({"case": {"$in": [kind, list(family)]}, "then": value})
            elif rule is not None:
                branches.append({"case": {"$in": [kind, list(family)]}, "then": rule(inner, value)})
        other = None if expr.safe else fail(f"a value of another type is no {expr.type}", value)
        return {"$switch": {"branches": branches, "default": other}}

    return bound([arg], lambda n: bound([n[0], {"$type": n[0]}], body))


def _stand_in(kind: SqlType) -> Cast:
    from levada.sql.expression import Constant

    return Cast(kind, True, Constant(kind, True, None))


TEXT_RULES: Mapping[tuple[str, str], Rule] = {
    ("DOUBLE", "VARCHAR"): _double_to_text,
    ("DECIMAL", "VARCHAR"): _decimal_to_text,
    ("DATE", "VARCHAR"): _date_to_text,
    ("TIMESTAMP", "VARCHAR"): _moment_to_text,
    ("OBJECTID", "VARCHAR"): lambda _expr, arg: {"$toString": arg},
    ("UUID", "VARCHAR"): _uuid_to_text,
    **{("VARCHAR", name): _text_to_int(to) for name, to in INTEGERS},
    ("VARCHAR", "DOUBLE"): _text_to_double,
    ("VARCHAR", "DECIMAL"): _text_to_decimal,
    ("VARCHAR", "BOOLEAN"): _text_to_boolean,
    ("VARCHAR", "TIMESTAMP"): _text_to_moment,
    ("VARCHAR", "DATE"): _text_to_date,
    ("VARCHAR", "OBJECTID"): _text_to_object_id,
    **{
        ("VARIANT", name): _variant
        for name in ("BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "DECIMAL", "VARCHAR", "TIMESTAMP", "DATE")
    },
}
