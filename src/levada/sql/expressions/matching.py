"""LIKE and regular expressions. DuckDB's are RE2's, MongoDB's are PCRE's: what both know means the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from levada.sql.errors import SqlError
from levada.sql.expression import Call
from levada.sql.expressions.patterns import glob_regex, like_regex
from levada.sql.expressions.pieces import given, known
from levada.sql.expressions.table import Emitted, Function, fixed
from levada.sql.types import BIGINT, BOOLEAN, VARCHAR, list_of

_OPTIONS = {"i": "i", "s": "s", "m": "m", "n": "m", "c": "", "g": "", "p": ""}
_SPECIAL = "\\.^$*+?{}[]|()"
_REFERENCE = re.compile(r"\\([\\0-9])")

_Condition = Callable[[Call, list[Emitted], bool], Emitted]


def _literal(text: str) -> Emitted:
    return {"$literal": text}


def _text_of(call: Call, place: int, what: str) -> str:
    text = known(call.args[place])
    if not isinstance(text, str):
        raise SqlError(f"{call.name} takes its {what} as a literal")
    return text


def _matched(call: Call, args: list[Emitted], regex: Emitted, options: str, wanted: bool) -> Emitted:
    spec: dict[str, Any] = {"input": args[0], "regex": regex}
    if options:
        spec["options"] = options
    found: Emitted = {"$regexMatch": spec}
    dynamic = [given(arg) for part, arg in zip(call.args[1:], args[1:], strict=True) if part.nullable]
    if wanted:
        return {"$and": [*dynamic, found]} if dynamic else found
    tests = [given(args[0])] if call.args[0].nullable else []
    return {"$and": [*tests, *dynamic, {"$not": [found]}]}


def _like(options: str) -> _Condition:
    def rule(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
        pattern = known(call.args[1])
        escape = _text_of(call, 2, "escape") if len(call.args) > 2 else ""
        if isinstance(pattern, str):
            try:
                regex = _literal(like_regex(pattern, escape))
            except ValueError as error:
                raise SqlError(str(error)) from error
        elif escape:
            raise SqlError(f"{call.name} with ESCAPE takes its pattern as a literal")
        else:
            regex = _dynamic(args[1])
        return _matched(call, args, regex, options, wanted)

    return rule


def _dynamic(pattern: Emitted) -> Emitted:
    """A LIKE pattern that only the row tells."""
    regex: Emitted = {"$ifNull": [pattern, ""]}
    for letter in _SPECIAL:
        regex = {
            "$replaceAll": {"input": regex, "find": _literal(letter), "replacement": _literal(f"\\{letter}")}
        }
    for find, replacement in (("%", ".*"), ("_", ".")):
        regex = {"$replaceAll": {"input": regex, "find": find, "replacement": replacement}}
    return {"$concat": ["^", regex, _literal("(?!\n)$")]}


def _glob(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
    return _matched(call, args, _literal(glob_regex(_text_of(call, 1, "pattern"))), "s", wanted)


def _options(call: Call, place: int) -> str:
    if len(call.args) <= place:
        return ""
    given_ = _text_of(call, place, "options")
    unknown = [letter for letter in given_ if letter not in _OPTIONS]
    if unknown:
        raise SqlError(f"{call.name} has no option {unknown[0]}")
    return "".join(dict.fromkeys(_OPTIONS[letter] for letter in given_))


def checked(call: Call, place: int = 1) -> Emitted:
    """The regular expression, a literal that can at least be read."""
    text = _text_of(call, place, "regular expression")
    if "\0" in text:
        raise SqlError("a regular expression can't contain NUL")
    return _literal(text)


def _full(pattern: str) -> Emitted:
    return _literal(f"^(?:{pattern})(?!\n)$")


def _regexp(full: bool) -> _Condition:
    def rule(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
        regex = checked(call)
        if full:
            regex = _full(_text_of(call, 1, "regular expression"))
        return _matched(call, args, regex, _options(call, 2), wanted)

    return rule


def _find(call: Call, text: Emitted, operator: str, options: str) -> Emitted:
    spec = {"input": text, "regex": checked(call)}
    return {operator: {**spec, "options": options} if options else spec}


def _group(match: str, number: int) -> Emitted:
    if number == 0:
        return f"{match}.match"
    return {"$ifNull": [{"$arrayElemAt": [f"{match}.captures", number - 1]}, ""]}


def _extract(call: Call, args: list[Emitted]) -> Emitted:
    """The match, or one of its groups; an empty text where there is none."""
    group = known(call.args[2]) if len(call.args) > 2 else 0
    if not isinstance(group, int):
        raise SqlError("regexp_extract takes its group as a number")
    found = _find(call, args[0], "$regexFind", _options(call, 3))
    return {"$let": {"vars": {"found": found}, "in": {"$ifNull": [_group("$$found", group), ""]}}}


def _extract_all(call: Call, args: list[Emitted]) -> Emitted:
    group = known(call.args[2]) if len(call.args) > 2 else 0
    found = _find(call, args[0], "$regexFindAll", _options(call, 3))
    return {"$map": {"input": found, "as": "found", "in": _group("$$found", int(group or 0))}}


def _replacement(template: str, match: str) -> Emitted:
    parts: list[Emitted] = []
    place = 0
    for reference in _REFERENCE.finditer(template):
        if reference.start() > place:
            parts.append(_literal(template[place : reference.start()]))
        parts.append(_literal("\\") if reference[1] == "\\" else _group(match, int(reference[1])))
        place = reference.end()
    if place < len(template) or not parts:
        parts.append(_literal(template[place:]))
    return parts[0] if len(parts) == 1 else {"$concat": parts}


def _replace(call: Call, args: list[Emitted]) -> Emitted:
    """The first match, or with the option g all of them."""
    template = _text_of(call, 2, "replacement")
    options = _text_of(call, 3, "options") if len(call.args) > 3 else ""
    text = args[0]
    if "g" in options:
        return _replace_all(call, text, template)
    found = _find(call, text, "$regexFind", _options(call, 3))
    after = {"$add": ["$$found.idx", {"$strLenCP": "$$found.match"}]}
    replaced = {"$concat": [
        {"$substrCP": [text, 0, "$$found.idx"]},
        _replacement(template, "$$found"),
        {"$substrCP": [text, after, {"$strLenCP": text}]},
    ]}  # fmt: skip
    none = {"$lte": ["$$found", None]}
    return {"$let": {"vars": {"found": found}, "in": {"$cond": [none, text, replaced]}}}


def _replace_all(call: Call, text: Emitted, template: str) -> Emitted:
    gap = {"$substrCP": [text, "$$value.end", {"$subtract": ["$$this.idx", "$$value.end"]}]}
    folded = {"$reduce": {
        "input": _find(call, text, "$regexFindAll", _options(call, 3)),
        "initialValue": {"text": "", "end": 0},
        "in": {
            "text": {"$concat": ["$$value.text", gap, _replacement(template, "$$this")]},
            "end": {"$add": ["$$this.idx", {"$strLenCP": "$$this.match"}]},
        },
    }}  # fmt: skip
    rest = {"$substrCP": [text, "$$folded.end", {"$strLenCP": text}]}
    return {"$let": {"vars": {"folded": folded}, "in": {"$concat": ["$$folded.text", rest]}}}


_TEXTS = (VARCHAR, VARCHAR)

TABLE = (
    Function("like", fixed(*_TEXTS, VARCHAR, result=BOOLEAN, optional=1), condition=_like("s"),
             nodes=(exp.Like,),
             parts=("this", "expression"), takes="text, pattern", note="a fixed start can use an index",
             example="('banana' LIKE 'b%_a') = TRUE"),
    Function("ilike", fixed(*_TEXTS, VARCHAR, result=BOOLEAN, optional=1), condition=_like("si"),
             nodes=(exp.ILike,), parts=("this", "expression"), takes="text, pattern",
             example="('Banana' ILIKE 'b%') = TRUE"),
    Function("glob", fixed(*_TEXTS, result=BOOLEAN), condition=_glob, nodes=(exp.Glob,),
             parts=("this", "expression"), takes="text, pattern", example="('banana' GLOB 'b?n*') = TRUE"),
    Function("similar to", fixed(*_TEXTS, result=BOOLEAN), condition=_regexp(True), nodes=(exp.SimilarTo,),
             parts=("this", "expression"), takes="text, regex", note="a whole match, as in DuckDB",
             example="('banana' SIMILAR TO 'b(an)+a') = TRUE"),
    Function("regexp_matches", fixed(*_TEXTS, VARCHAR, result=BOOLEAN, optional=1), condition=_regexp(False),
             nodes=(exp.RegexpLike,), parts=("this", "expression", "flag"), takes="text, regex, options",
             note="PCRE; also text ~ regex", example="regexp_matches('banana', 'n.n') = TRUE"),
    Function("regexp_full_match", fixed(*_TEXTS, VARCHAR, result=BOOLEAN, optional=1),
             condition=_regexp(True),
             nodes=(exp.RegexpFullMatch,), parts=("this", "expression", "options"),
             takes="text, regex, options",
             example="regexp_full_match('banana', 'b.*') = TRUE"),
    Function("regexp_extract", fixed(*_TEXTS, BIGINT, VARCHAR, result=VARCHAR, optional=2), _extract,
             nodes=(exp.RegexpExtract,), parts=("this", "expression", "group", "parameters"),
             takes="text, regex, group, options", example="regexp_extract('a=1', '(.)=(.)', 2) = '1'"),
    Function("regexp_extract_all", fixed(*_TEXTS, BIGINT, VARCHAR, result=list_of(VARCHAR), optional=2),
             _extract_all, nodes=(exp.RegexpExtractAll,), parts=("this", "expression", "group", "parameters"),
             takes="text, regex, group, options", example="regexp_extract_all('a1b2', '[0-9]') = ['1', '2']"),
    Function("regexp_replace", fixed(*_TEXTS, VARCHAR, VARCHAR, result=VARCHAR, optional=1), _replace,
             nodes=(exp.RegexpReplace,), parts=("this", "expression", "replacement", "modifiers"),
             takes="text, regex, by, options", note="the first match; all of them with the option g",
             example="regexp_replace('banana', '(a)(n)', '\\2\\1', 'g') = 'bnanaa'"),
)  # fmt: skip
