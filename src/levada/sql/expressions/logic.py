"""AND, OR, NOT, and the tests for NULL, TRUE and FALSE."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlglot import exp

from levada.sql.expression import Call
from levada.sql.expressions.pieces import given
from levada.sql.expressions.table import Emitted, Function, Signature, Typing, fixed
from levada.sql.types import BOOLEAN, SqlType

_Condition = Callable[[Call, list[Emitted], bool], Emitted]


def booleans(types: Sequence[SqlType]) -> Signature | None:
    """Any number of BOOLEANs."""
    return Signature((BOOLEAN,) * len(types), BOOLEAN) if types else None


def anything(count: int, result: SqlType = BOOLEAN) -> Typing:
    """`count` arguments of any type, as they are."""

    def typing(types: Sequence[SqlType]) -> Signature | None:
        return Signature(tuple(types), result) if len(types) == count else None

    return typing


def _null(negated: bool) -> _Condition:
    def rule(call: Call, args: list[Emitted], wanted: bool) -> Emitted:
        present = wanted is negated
        if not call.args[0].nullable:
            return present
        return given(args[0]) if present else {"$lte": [args[0], None]}

    return rule


def _truth(value: bool, negated: bool) -> _Condition:
    def rule(_call: Call, args: list[Emitted], wanted: bool) -> Emitted:
        return {"$eq" if wanted is not negated else "$ne": [args[0], value]}

    return rule


def _test(name: str, condition: _Condition, typing: Typing, example: str) -> Function:
    return Function(
        name, typing, nulls="kept", condition=condition, never_null=True, takes="value", example=example
    )


TABLE = (
    Function(
        "and", booleans, nulls="kept", nodes=(exp.And,), takes="a, b", note="three-valued",
        example="(NULL AND FALSE) = FALSE",
    ),
    Function(
        "or", booleans, nulls="kept", nodes=(exp.Or,), takes="a, b", note="three-valued",
        example="(NULL OR TRUE) = TRUE",
    ),
    Function(
        "not", fixed(BOOLEAN, result=BOOLEAN), nulls="kept", nodes=(exp.Not,), takes="a",
        example="(NOT FALSE) = TRUE",
    ),
    _test("is null", _null(False), anything(1), "(NULL IS NULL) = TRUE"),
    _test("is not null", _null(True), anything(1), "(1 IS NOT NULL) = TRUE"),
    _test("is true", _truth(True, False), booleans, "((1 > 2) IS TRUE) = FALSE"),
    _test("is not true", _truth(True, True), booleans, "(NULL IS NOT TRUE) = TRUE"),
    _test("is false", _truth(False, False), booleans, "((1 > 2) IS FALSE) = TRUE"),
    _test("is not false", _truth(False, True), booleans, "(NULL IS NOT FALSE) = TRUE"),
)  # fmt: skip
