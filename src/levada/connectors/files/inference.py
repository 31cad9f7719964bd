"""The type of a column of text: the first that gives back every one of its values, letter by letter."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from levada.connectors.files.cells import cells
from levada.connectors.files.columns import parsed
from levada.types import field_of
from levada.types.kinds import PRECISION, decimal_field

_DECIMAL = re.compile(r"-?(\d+)(?:\.(\d+))?")
_CANDIDATES = (
    field_of("int64", ""),
    field_of("double", ""),
    *(
        pa.field("", pa.timestamp(unit, "UTC"), metadata={b"levada.bson": b"date"})
        for unit in ("ms", "s", "us")
    ),
    pa.field("", pa.date32()),
    field_of("bool", ""),
)


class Guess:
    """What one column can be, as its values come by."""

    def __init__(self) -> None:
        self._candidates = list(_CANDIDATES)
        self._decimals: tuple[int, int] | None = (0, -1)
        self._seen = False

    def see(self, texts: pa.Array) -> None:
        """Drop the types that a value doesn't come back from as it was."""
        texts = texts.drop_null()
        if not len(texts):
            return
        self._seen = True
        self._candidates = [field for field in self._candidates if _keeps(texts, field)]
        if self._decimals is not None:
            self._decimals = _digits(texts, self._decimals)

    def field(self, name: str) -> pa.Field:
        """The column's field: text where nothing else keeps it, and where it has no value."""
        if not self._seen:
            return pa.field(name, pa.string())
        if self._candidates:
            return self._candidates[0].with_name(name)
        return pa.field(name, pa.string()) if self._decimals is None else decimal_field(name, *self._decimals)


def _keeps(texts: pa.Array, field: pa.Field) -> bool:
    # the first values decide nearly always, and cost little
    return all(_same(part, field) for part in (texts.slice(0, 100), texts))


def _same(texts: pa.Array, field: pa.Field) -> bool:
    column, bad = parsed(texts, field) if _castable(texts, field) else (texts, {0: ""})
    return not bad and cells(column, field).equals(texts)


def _castable(texts: pa.Array, field: pa.Field) -> bool:
    """Whether Arrow reads them: what needs a closer look is no plain number or time."""
    try:
        texts.cast(field.type)
    except pa.ArrowException:
        return pa.types.is_floating(field.type) and bool(pc.any(pc.is_in(texts, pa.array(["NaN"]))).as_py())
    return True


def _digits(texts: pa.Array, known: tuple[int, int]) -> tuple[int, int] | None:
    """The most digits before the point, and the places after it where all values have the same."""
    digits, scale = known
    for text in texts.to_pylist():
        found = _DECIMAL.fullmatch(text)
        if found is None or (len(found[1]) > 1 and found[1][0] == "0") or (text[0] == "-" and _zero(text)):
            return None
        places = len(found[2] or "")
        if scale not in (-1, places):
            return None
        digits, scale = max(digits, len(found[1])), places
        if digits + scale > PRECISION:
            return None
    return digits, scale


def _zero(text: str) -> bool:
    return not text.strip("-0.")
