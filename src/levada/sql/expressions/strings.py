"""Texts: lengths and positions count characters (code points)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from levada.sql.expression import Call
from levada.sql.expressions.castrules import convert
from levada.sql.expressions.pieces import bound, fail, given, javascript, known
from levada.sql.expressions.table import Emitted, Function, Signature, Typing, fixed
from levada.sql.types import BIGINT, BOOLEAN, INTEGER, NULL, VARCHAR, SqlType, list_of

_TEXTS = list_of(VARCHAR)

#: Letter by letter, as Unicode's simple mappings do: where JavaScript makes two of one, the letter stays.
_UPPER = """function(text) {
  return Array.from(text).map(function(c) {
    if (c === "\\u00df") return "\\u1e9e";
    var changed = c.toUpperCase();
    return Array.from(changed).length === 1 ? changed : c;
  }).join("");
}"""
_LOWER = """function(text) {
  return Array.from(text).map(function(c) {
    if (c === "\\u0130") return "i";
    var changed = c.toLowerCase();
    return Array.from(changed).length === 1 ? changed : c;
  }).join("");
}"""
_REVERSE = """function(text) { return Array.from(text).reverse().join(""); }"""
_CODE = """function(text) { return text.length ? text.codePointAt(0) : -1; }"""
_CHAR = """function(code) { return String.fromCodePoint(Number(code)); }"""
_TRANSLATE = """function(text, from, to) {
  var source = Array.from(from), target = Array.from(to);
  return Array.from(text).map(function(c) {
    var place = source.indexOf(c);
    return place < 0 ? c : place < target.length ? target[place] : "";
  }).join("");
}"""
_INITCAP = """function(text) {
  var inside = false;
  return Array.from(text).map(function(c) {
    var letter = c.toLowerCase() !== c.toUpperCase() || (c >= "0" && c <= "9");
    var changed = inside ? c.toLowerCase() : c.toUpperCase();
    inside = letter;
    return changed;
  }).join("");
}"""
_LEVENSHTEIN = """function(a, b) {
  var left = Array.from(a), right = Array.from(b), row = [];
  for (var j = 0; j <= right.length; j++) row.push(j);
  for (var i = 1; i <= left.length; i++) {
    var before = row[0];
    row[0] = i;
    for (var j = 1; j <= right.length; j++) {
      var kept = row[j];
      var cost = left[i - 1] === right[j - 1] ? 0 : 1;
      row[j] = Math.min(row[j] + 1, row[j - 1] + 1, before + cost);
      before = kept;
    }
  }
  return row[right.length];
}"""


def _length(text: Emitted) -> Emitted:
    return {"$strLenCP": text}


def _cased(operator: str, body: str) -> Callable[[Call, list[Emitted]], Emitted]:
    """MongoDB's own operator where all letters are ASCII: as many bytes as characters."""

    def emit(_call: Call, args: list[Emitted]) -> Emitted:
        ascii_only = {"$eq": [{"$strLenBytes": args[0]}, _length(args[0])]}
        return {"$cond": [ascii_only, {operator: args[0]}, javascript(body, args[0])]}

    return emit


def _length_typing(types: Sequence[SqlType]) -> Signature | None:
    if len(types) != 1 or (types[0].name not in {"VARCHAR", "NULL", "LIST"}):
        return None
    return Signature((types[0] if types[0] != NULL else VARCHAR,), BIGINT)


def _len(call: Call, args: list[Emitted]) -> Emitted:
    return {"$size": args[0]} if call.args[0].type.name == "LIST" else _length(args[0])


def _substring(call: Call, args: list[Emitted]) -> Emitted:
    """From a place counted from 1, or from the end if negative."""
    start = known(call.args[1])
    if isinstance(start, int) and start > 0 and len(args) == 2:
        return {"$substrCP": [args[0], start - 1, _length(args[0])]}
    count = known(call.args[2]) if len(args) > 2 else None
    if isinstance(start, int) and isinstance(count, int) and start > 0 and count >= 0:
        return {"$substrCP": [args[0], start - 1, count]}
    length = _length(args[0])
    return {"$let": {
        "vars": {"from": {"$cond": [{"$lt": [args[1], 0]}, {"$add": [length, args[1]]},
                                    {"$subtract": [args[1], 1]}]}},
        "in": _between(args[0], "$$from", _end("$$from", args, length)),
    }}  # fmt: skip


def _end(start: Emitted, args: list[Emitted], length: Emitted) -> Emitted:
    return {"$add": [start, args[2]]} if len(args) > 2 else length


def _between(text: Emitted, start: Emitted, end: Emitted) -> Emitted:
    """The characters from one place to before another, in whichever order; places outside are cut off."""
    return {"$let": {
        "vars": {"low": {"$min": [{"$max": [{"$min": [start, end]}, 0]}, 2**31 - 1]},
                 "high": {"$min": [{"$max": [start, end, 0]}, 2**31 - 1]}},
        "in": {"$substrCP": [text, "$$low", {"$subtract": ["$$high", "$$low"]}]},
    }}  # fmt: skip


def _left(_call: Call, args: list[Emitted]) -> Emitted:
    """The first letters; a negative count leaves that many off at the end."""
    text, count = args
    size = {"$cond": [{"$lt": [count, 0]}, {"$max": [{"$add": [_length(text), count]}, 0]}, count]}
    return {"$substrCP": [text, 0, size]}


def _right(_call: Call, args: list[Emitted]) -> Emitted:
    text, count = args
    length = _length(text)
    skipped = {"$cond": [{"$lt": [count, 0]}, {"$multiply": [count, -1]}, {"$subtract": [length, count]}]}
    return {"$substrCP": [text, {"$max": [skipped, 0]}, length]}


def _trim(operator: str) -> Callable[[Call, list[Emitted]], Emitted]:
    return lambda _call, args: {operator: {"input": args[0], "chars": args[1] if len(args) > 1 else " "}}


def _replace(call: Call, args: list[Emitted]) -> Emitted:
    replaced = {"$replaceAll": {"input": args[0], "find": args[1], "replacement": args[2]}}
    if known(call.args[1]):
        return replaced
    return {"$cond": [{"$eq": [args[1], ""]}, args[0], replaced]}


def _repeated(text: Emitted, count: Emitted) -> Emitted:
    return {"$reduce": {
        "input": {"$range": [0, {"$toInt": {"$max": [count, 0]}}]},
        "initialValue": "",
        "in": {"$concat": ["$$value", text]},
    }}  # fmt: skip


def _repeat(_call: Call, args: list[Emitted]) -> Emitted:
    return _repeated(args[0], args[1])


def _pad(left: bool) -> Callable[[Call, list[Emitted]], Emitted]:
    def emit(call: Call, args: list[Emitted]) -> Emitted:
        text, width, filling = args if len(args) > 2 else [*args, " "]
        sure = len(args) == 2 or known(call.args[2])
        lacking = {"$max": [{"$subtract": [width, _length(text)]}, 0]}
        rounds = {"$ceil": {"$divide": ["$$lacking", _length(filling)]}}
        padding = {"$substrCP": [_repeated(filling, rounds), 0, "$$lacking"]}
        cut = {"$substrCP": [text, 0, {"$max": [width, 0]}]}
        padded: Emitted = {"$concat": [padding, text] if left else [text, padding]}
        if not sure:
            nothing = fail("there is nothing to pad a text with", filling)
            padded = {"$cond": [{"$eq": [filling, ""]}, nothing, padded]}
        padded = {"$cond": [{"$eq": ["$$lacking", 0]}, cut, padded]}
        return {"$let": {"vars": {"lacking": lacking}, "in": padded}}

    return emit


def _starts(_call: Call, args: list[Emitted], wanted: bool) -> Emitted:
    same = {"$eq": [{"$substrCP": [{"$ifNull": [args[0], ""]}, 0, {"$strLenCP": _sure(args[1])}]}, args[1]]}
    return _certain(_call, args, same, wanted)


def _ends(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
    text, end = (_sure(arg) for arg in args)
    skipped = {"$max": [{"$subtract": [_length(text), _length(end)]}, 0]}
    return _certain(call, args, {"$eq": [{"$substrCP": [text, skipped, _length(text)]}, end]}, wanted)


def _contains(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
    found: Emitted = {"$gte": [{"$indexOfCP": [_sure(args[0]), _sure(args[1])]}, 0]}
    return _certain(call, args, found, wanted)


def _sure(text: Emitted) -> Emitted:
    return text if isinstance(text, dict) and "$literal" in text else {"$ifNull": [text, ""]}


def _certain(call: Call, args: list[Emitted], test: Emitted, wanted: bool) -> Emitted:
    """The test, false where an argument is NULL."""
    tests = [given(arg) for part, arg in zip(call.args, args, strict=True) if part.nullable]
    right = test if wanted else {"$not": [test]}
    return {"$and": [*tests, right]} if tests else right


def _position(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$add": [{"$indexOfCP": args}, 1]}


def _letters(text: Emitted) -> Emitted:
    return {"$map": {"input": {"$range": [0, _length(text)]}, "as": "place",
                     "in": {"$substrCP": [text, "$$place", 1]}}}  # fmt: skip


def _split(call: Call, args: list[Emitted]) -> Emitted:
    pieces = {"$split": args}
    if known(call.args[1]):
        return pieces
    letters = {"$cond": [{"$eq": [args[0], ""]}, [""], _letters(args[0])]}
    return letters if known(call.args[1]) == "" else {"$cond": [{"$eq": [args[1], ""]}, letters, pieces]}


def _split_part(call: Call, args: list[Emitted]) -> Emitted:
    """The part of a number from 1, or from the end if negative; an empty text where there is none."""
    place = known(call.args[2])
    pieces = _split(call, args[:2])
    if place == 0:
        return ""
    index = (
        (place - 1 if place > 0 else place)
        if isinstance(place, int)
        else {
            "$max": [
                {
                    "$min": [
                        {"$cond": [{"$gt": [args[2], 0]}, {"$subtract": [args[2], 1]}, args[2]]},
                        2**31 - 1,
                    ]
                },
                -(2**31),
            ]
        }
    )
    found = {"$ifNull": [{"$arrayElemAt": [pieces, index]}, ""]}
    return found if place else {"$cond": [{"$eq": [args[2], 0]}, "", found]}


def _js(body: str) -> Callable[[Call, list[Emitted]], Emitted]:
    return lambda _call, args: javascript(body, *args)


def _js_number(body: str, operator: str) -> Callable[[Call, list[Emitted]], Emitted]:
    """JavaScript's numbers are doubles."""
    return lambda _call, args: {operator: javascript(body, *args)}


def _ascii(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$toInt": {"$max": [javascript(_CODE, args[0]), 0]}}


def _md5(_call: Call, args: list[Emitted]) -> Emitted:
    return javascript("function(text) { return hex_md5(text); }", args[0])


def _any_texts(least: int) -> Typing:
    """Values of any type that has a text, at least so many."""

    def typing(types: Sequence[SqlType]) -> Signature | None:
        if len(types) < least or any(kind.name in {"STRUCT", "INTERVAL"} for kind in types):
            return None
        return Signature((VARCHAR,) * len(types), VARCHAR)

    return typing


def _concat(call: Call, args: list[Emitted]) -> Emitted:
    parts = [
        {"$ifNull": [arg, ""]} if part.nullable else arg for part, arg in zip(call.args, args, strict=True)
    ]
    return {"$concat": parts}


def _join(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$concat": args}


def _concat_ws(call: Call, args: list[Emitted]) -> Emitted:
    separator, *parts = args
    present = {"$filter": {"input": parts, "as": "part", "cond": given("$$part")}}
    joined = joined_list(present, separator)
    return {"$cond": [given(separator), joined, None]} if call.args[0].nullable else joined


def joined_list(items: Emitted, separator: Emitted) -> Emitted:
    """The texts of a list without nulls, with the separator between them."""
    return {"$reduce": {
        "input": items,
        "initialValue": None,
        "in": {"$cond": [{"$eq": ["$$value", None]}, "$$this", {"$concat": ["$$value", separator,
        "$$this"]}]},
    }}  # fmt: skip


def _concat_ws_emit(call: Call, args: list[Emitted]) -> Emitted:
    return bound([args[0]], lambda n: _empty_for_none(_concat_ws(call, [n[0], *args[1:]]), n[0]))


def _empty_for_none(joined: Emitted, separator: Emitted) -> Emitted:
    return {"$ifNull": [joined, {"$cond": [given(separator), "", None]}]}


def _blob_length(_call: Call, args: list[Emitted]) -> Emitted:
    return {"$strLenBytes": args[0]}


def _chr(_call: Call, args: list[Emitted]) -> Emitted:
    return javascript(_CHAR, convert(args[0], "int", False))


def _fn(
    name: str, typing: Typing, emit: Callable[[Call, list[Emitted]], Emitted], takes: str, example: str,
    *nodes: type[exp.Expression] | str, parts: tuple[str, ...] = (), note: str = "", nulls: str = "guard",
) -> Function:  # fmt: skip
    return Function(
        name, typing, emit, nulls=nulls, nodes=nodes, parts=parts, takes=takes, note=note, example=example
    )


_ONE = fixed(VARCHAR, result=VARCHAR)
_JS_NOTE = "letters beyond ASCII need the server's JavaScript"

TABLE = (
    _fn("upper", _ONE, _cased("$toUpper", _UPPER), "text", "upper('straße') = 'STRAẞE'", exp.Upper, "ucase",
        parts=("this",), note=_JS_NOTE),
    _fn("lower", _ONE, _cased("$toLower", _LOWER), "text", "lower('ÀÉ') = 'àé'", exp.Lower, "lcase",
        parts=("this",), note=_JS_NOTE),
    _fn("initcap", _ONE, _js(_INITCAP), "text", "initcap('two words') = 'Two Words'", exp.Initcap,
        parts=("this",), note="needs the server's JavaScript; DuckDB has none"),
    _fn("length", _length_typing, _len, "text or list", "length('héllo') = 5", exp.Length, exp.ArraySize,
        "char_length", "character_length", "cardinality", parts=("this",), note="also len"),
    _fn("strlen", fixed(VARCHAR, result=BIGINT), _blob_length, "text", "strlen('é') = 2", "strlen",
        exp.ByteLength, parts=("this",), note="bytes of UTF-8"),
    _fn("substring", fixed(VARCHAR, BIGINT, BIGINT, result=VARCHAR, optional=1), _substring,
        "text, start, length", "substring('héllo', 2, 3) = 'éll'", exp.Substring,
        parts=("this", "start", "length"), note="from 1; a negative start counts from the end"),
    _fn("left", fixed(VARCHAR, BIGINT, result=VARCHAR), _left, "text, count", "left('héllo', 2) = 'hé'",
        exp.Left,
        parts=("this", "expression")),
    _fn("right", fixed(VARCHAR, BIGINT, result=VARCHAR), _right, "text, count", "right('héllo', 2) = 'lo'",
        exp.Right, parts=("this", "expression")),
    _fn("trim", fixed(VARCHAR, VARCHAR, result=VARCHAR, optional=1), _trim("$trim"), "text, characters",
        "trim('  a ') = 'a'", note="spaces, or any of the characters"),
    _fn("ltrim", fixed(VARCHAR, VARCHAR, result=VARCHAR, optional=1), _trim("$ltrim"), "text, characters",
        "ltrim('xya', 'xy') = 'a'"),
    _fn("rtrim", fixed(VARCHAR, VARCHAR, result=VARCHAR, optional=1), _trim("$rtrim"), "text, characters",
        "rtrim('a  ') = 'a'"),
    _fn("replace", fixed(VARCHAR, VARCHAR, VARCHAR, result=VARCHAR), _replace, "text, part, by",
        "replace('banana', 'an', 'o') = 'booa'", exp.Replace, parts=("this", "expression", "replacement")),
    _fn("concat", _any_texts(1), _concat, "values...", "concat('a', 1, NULL) = 'a1'", exp.Concat,
        parts=("expressions",), note="NULL is left out", nulls="kept"),
    _fn("concat_ws", _any_texts(2), _concat_ws_emit, "separator, values...",
        "concat_ws('-', 'a', NULL, 1) = 'a-1'", exp.ConcatWs, parts=("expressions",), note="NULL is left out",
        nulls="kept"),
    _fn("||", _any_texts(2), _join, "a, b", "('a' || 1) = 'a1'", note="also joins lists", nulls="native"),
    _fn("repeat", fixed(VARCHAR, BIGINT, result=VARCHAR), _repeat, "text, times", "repeat('ab', 2) = 'abab'",
        exp.Repeat, parts=("this", "times")),
    _fn("lpad", fixed(VARCHAR, BIGINT, VARCHAR, result=VARCHAR, optional=1), _pad(True),
        "text, width, filling",
        "lpad('7', 3, '0') = '007'"),
    _fn("rpad", fixed(VARCHAR, BIGINT, VARCHAR, result=VARCHAR, optional=1), _pad(False),
        "text, width, filling",
        "rpad('ab', 3, '.') = 'ab.'"),
    _fn("reverse", _ONE, _js(_REVERSE), "text", "reverse('abc') = 'cba'", exp.Reverse, parts=("this",),
        note="needs the server's JavaScript; letters with accents of their own are not kept together"),
    Function("starts_with", fixed(VARCHAR, VARCHAR, result=BOOLEAN), condition=_starts,
             nodes=(exp.StartsWith, "prefix"), takes="text, start",
             example="starts_with('abc', 'ab') = TRUE"),
    Function("ends_with", fixed(VARCHAR, VARCHAR, result=BOOLEAN), condition=_ends,
             nodes=(exp.EndsWith, "suffix"), takes="text, end", example="ends_with('abc', 'bc') = TRUE"),
    Function("contains", fixed(VARCHAR, VARCHAR, result=BOOLEAN), condition=_contains,
             takes="text, part", example="contains('abc', 'b') = TRUE"),
    _fn("strpos", fixed(VARCHAR, VARCHAR, result=BIGINT), _position, "text, part", "strpos('abc', 'c') = 3",
        exp.StrPosition, parts=("this", "substr"), note="also instr and position; 0 where it is not found"),
    _fn("string_split", fixed(VARCHAR, VARCHAR, result=_TEXTS), _split, "text, separator",
        "string_split('a,b', ',') = ['a', 'b']", exp.Split, "string_to_array", "str_split",
        parts=("this", "expression"), note="also split"),
    _fn("split_part", fixed(VARCHAR, VARCHAR, BIGINT, result=VARCHAR), _split_part, "text, separator, number",
        "split_part('a,b', ',', 2) = 'b'", exp.SplitPart, parts=("this", "delimiter", "part_index")),
    _fn("ascii", fixed(VARCHAR, result=INTEGER), _ascii, "text", "ascii('a') = 97", exp.Ascii,
        parts=("this",),
        note="needs the server's JavaScript"),
    _fn("unicode", fixed(VARCHAR, result=INTEGER), _js_number(_CODE, "$toInt"), "text",
        "unicode('é') = 233", exp.Unicode,
        "ord",
        parts=("this",), note="needs the server's JavaScript"),
    _fn("chr", fixed(BIGINT, result=VARCHAR), _chr, "code", "chr(233) = 'é'", exp.Chr, parts=("expressions",),
        note="needs the server's JavaScript"),
    _fn("md5", _ONE, _md5, "text", "md5('a') = '0cc175b9c0f1b6a831c399e269772661'", exp.MD5, parts=("this",),
        note="needs the server's JavaScript"),
    _fn("translate", fixed(VARCHAR, VARCHAR, VARCHAR, result=VARCHAR), _js(_TRANSLATE), "text, from, to",
        "translate('abc', 'ab', 'x') = 'xc'", exp.Translate, parts=("this", "from_", "to"),
        note="needs the server's JavaScript"),
    _fn("levenshtein", fixed(VARCHAR, VARCHAR, result=BIGINT), _js_number(_LEVENSHTEIN, "$toLong"), "a, b",
        "levenshtein('kitten', 'sitting') = 3", exp.Levenshtein, parts=("this", "expression"),
        note="needs the server's JavaScript"),
)  # fmt: skip
