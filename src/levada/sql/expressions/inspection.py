"""What BSON really holds, beyond SQL's types."""

from __future__ import annotations

from levada.sql.expression import Call
from levada.sql.expressions.logic import anything
from levada.sql.expressions.table import Emitted, Function
from levada.sql.types import VARCHAR


def _missing(_call: Call, args: list[Emitted], wanted: bool) -> Emitted:
    return {"$eq" if wanted else "$ne": [{"$type": args[0]}, "missing"]}


TABLE = (
    Function(
        "is_missing", anything(1), condition=_missing, nulls="kept", nodes=("is_missing",), never_null=True,
        takes="column", note="TRUE where the document lacks the field; NULL alone does not tell",
        example="is_missing(1) = FALSE",
    ),
    Function(
        "bson_type", anything(1, VARCHAR), lambda _call, args: {"$type": args[0]}, nulls="kept",
        nodes=("bson_type",), never_null=True, takes="column",
        note="the alias of $type: int, long, double, string, null, missing, ...",
        example="bson_type('a') = 'string'",
    ),
)  # fmt: skip
