"""What a server says when a query fails, as PEP 249's errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pymongo.errors import OperationFailure, PyMongoError

from levada.connectors.mongodb.faults import translate
from levada.errors import LevadaError, Retriable
from levada.sql.faults import DatabaseError, DataError, InternalError, OperationalError, RefusedError
from levada.sql.mismatches import mismatch, offender
from levada.sql.plan import Scanned

if TYPE_CHECKING:
    from pymongo.database import Database

#: How an expression says that it fails (`levada.sql.expressions.pieces.fail`).
_OURS = re.compile(r"levada: (.*?)' in \$convert")

#: What the scan's check of types ends with.
_MISMATCH = re.compile(r"\$multiply only supports numeric types, not bool")

#: What the server says of a cast that fails -> in words; the group is the value.
_CASTS: Final = (
    (r"Failed to parse number '(.*?)' in \$convert", "{!r} can't be converted to a number"),
    (r"Failed to parse objectId '(.*?)' in \$convert", "{!r} can't be converted to an ObjectId"),
    (r"Error parsing date string '(.*?)';", "{!r} can't be converted to a time"),
    (r"overflow target type in \$convert", "a number is beyond the range of the type it is cast to"),
    (r"Attempt to convert (NaN|[Ii]nfinity) value to integer", "{} can't be converted to an integer"),
    (r"Unsupported conversion from (\w+ to \w+)", "there is no conversion from {}"),
)

_CAST: Final = "TRY_CAST gives NULL where a value can't be converted"
_DEFECT: Final = "this is a defect of the compiler; `explain` shows the pipeline"
_MEMORY: Final = "select less, or let the server spill: allowDiskUseByDefault"

#: Server error code, or a part of its text -> the error, what to say before the text, advice.
_CODES: Final[Mapping[int, tuple[type[DatabaseError], str, str | None]]] = {
    13: (RefusedError, "not authorized", "`levada doctor` prints the least role this needs"),
    33: (RefusedError, "not authorized", "`levada doctor` prints the least role this needs"),
    18: (RefusedError, "authentication failed", "check user, password and authSource"),
    50: (OperationalError, "the query ran out of time", "raise `max_time`, or select less"),
    146: (RefusedError, "the server ran out of memory for the query", _MEMORY),
    292: (RefusedError, "the server ran out of memory for the query", _MEMORY),
    16945: (RefusedError, "the server ran out of memory for the query", _MEMORY),
    10334: (DataError, "a row is larger than 16 MB", "select less columns, or shorter lists"),
    17419: (DataError, "a row is larger than 16 MB", "select less columns, or shorter lists"),
    17420: (DataError, "a row is larger than 16 MB", "select less columns, or shorter lists"),
    4031700: (DataError, "a row is larger than 16 MB", "select less columns, or shorter lists"),
    241: (DataError, "a value can't be converted", _CAST),
    16493: (DataError, "a text is larger than 16 MB", "select less"),
    18537: (DataError, "a time can't be written as text", "years from 0 to 9999 can"),
    28680: (DataError, "a number is beyond the range of BIGINT", None),
    40324: (
        RefusedError,
        "the server does not know a stage of this query",
        "it runs on MongoDB 6.0 or newer",
    ),
    168: (RefusedError, "the server does not know an operator", "it runs on MongoDB 6.0 or newer"),
}

#: Of errors without a code of their own.
_TEXTS: Final[tuple[tuple[str, type[DatabaseError], str, str | None], ...]] = (
    (r"can't \$divide by zero|can't \$mod by zero", DataError, "a division by zero", None),
    (r"\$(sqrt|log|log10|ln|pow|acos|asin)\b", DataError, "a number outside a function's range", None),
    (r"Exceeded memory limit|exceeded memory", RefusedError, "the server ran out of memory", _MEMORY),
    (r"object to insert too large|BSONObj size|exceeds? maximum.* 16", DataError, "a row is too large", None),
    (r"can't convert|Failed to parse|Failed to optimize|out of range|overflow", DataError, "a value", _CAST),
)


def complaint(error: PyMongoError, database: Database[Any], scans: tuple[Scanned, ...]) -> LevadaError:
    """What a query ended with.

    Args:
        database: is asked for a document of another type than declared, where that was the reason.
        scans: the tables of the query, with the columns that may hold such.
    """
    if not isinstance(error, OperationFailure):
        return outside(translate(error, database.name))
    text = str((error.details or {}).get("errmsg") or error)
    ours = _OURS.search(text)
    if ours:
        return DataError(ours[1].rstrip("."), where=database.name)
    if _MISMATCH.search(text):
        return mismatch(database, scans)
    for pattern, words in _CASTS:
        found = re.search(pattern, text)
        if found:
            return DataError(words.format(*found.groups()), where=database.name, hint=_CAST)
    told = _server(error, text, database.name)
    return (offender(database, scans) or told) if isinstance(told, InternalError) else told


def outside(error: LevadaError) -> LevadaError:
    """An error of the connection, as PEP 249 has it."""
    kind = OperationalError if isinstance(error, Retriable) else RefusedError
    return kind(error.what, where=error.where, hint=error.hint)


def _server(error: OperationFailure, text: str, where: str) -> LevadaError:
    reason = re.sub(
        r"^(PlanExecutor|Executor) error during \w+( command)?( on [^:]*)? :: caused by :: ", "", text
    )
    if error.code is not None and error.code in _CODES:
        kind, what, hint = _CODES[error.code]
        return kind(f"{what}: {reason}", where=where, hint=hint)
    known = translate(error, where)
    if isinstance(known, Retriable):
        return outside(known)
    for pattern, kind, what, hint in _TEXTS:
        if re.search(pattern, text):
            return kind(f"{what}: {reason}", where=where, hint=hint)
    return InternalError(
        f"MongoDB does not run this (code {error.code}): {reason}", where=where, hint=_DEFECT
    )
