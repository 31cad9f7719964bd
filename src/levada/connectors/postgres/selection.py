"""What is selected of a table for each column, and how Arrow columns are made of what comes back.

A value that its Arrow type can't hold is selected as text beside the typed column: it comes in a column
`<name>__text` once there is one, or its row is rejected, by the connection's `out_of_range`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from levada.batches import Rejected
from levada.connectors.jsontext import canonical
from levada.connectors.postgres.catalog import Column, Stored
from levada.connectors.postgres.documents import decoded
from levada.connectors.postgres.settings import PostgresSettings
from levada.connectors.screening import set_aside
from levada.connectors.sqltext import quoted
from levada.errors import Fatal
from levada.types import cast, field_of, widen
from levada.types.extjson import decimal as decimal_text
from levada.types.kinds import decimal_field
from levada.types.postgres import US_UTC, Reading

ASIDE = "__text"
#: A time that Levada wrote itself; another program may have stored 24:00 since.
TIMES = Reading(pa.time64("us"), fits="{} < '24:00'")
_NUMBER = r"^-?(?P<whole>\d+)(?:\.(?P<places>\d+))?$"

#: What a column's values are by another name: the array, its field, and the texts of rows that don't fit.
Made = tuple[pa.Array, pa.Field, dict[int, str]]


@dataclass(frozen=True)
class Item:
    """One column of the result.

    Args:
        field: of its values; their type may grow where they decide it.
        sql: the expression selected.
        aside: the expression of the text where the value does not fit; None where all do.
        make: what is made of the values that come.
    """

    field: pa.Field
    sql: str
    aside: str | None
    make: Callable[[pa.Array, pa.Field], Made]


def item_of(column: Column, stored: Stored, settings: PostgresSettings) -> Item:
    """How a column is read."""
    name, logical = quoted(column.name), stored.field(column)
    if column.type in ("json", "jsonb"):
        return _json(name, logical, stored.owned(column), settings)
    reading = TIMES if column.type == "time" and stored.owned(column) else column.reading
    if reading.arrow is None:
        return Item(logical, reading.select.format(name), None, _numbers)
    fits = reading.fits.format(*[name] * reading.fits.count("{}")) if reading.fits else None
    select = reading.select.format(name)
    if column.type == "timestamp" and settings.timezone and not stored.owned(column):
        zone = settings.timezone.replace("'", "''")
        select, logical = f"({name} AT TIME ZONE '{zone}')", logical.with_type(US_UTC)
    if fits and settings.out_of_range == "text":
        return Item(pa.field(column.name, pa.string()), f"{name}::text", None, _plain)
    if column.type == "numeric":
        select = f"{name}::text"
    if fits:
        aside = f"CASE WHEN NOT ({fits}) THEN {name}::text END"
        return Item(logical, f"CASE WHEN {fits} THEN {select} END", aside, _plain)
    return Item(logical, select, None, _plain)


def _json(name: str, logical: pa.Field, owned: bool, settings: PostgresSettings) -> Item:
    if owned:
        return Item(logical, f"{name}::text", None, _documents)
    if settings.json_as == "variant":
        return Item(field_of("variant", logical.name), f"{name}::text", None, _variants)
    return Item(logical, f"{name}::text", None, _plain)


def _plain(column: pa.Array, wanted: pa.Field) -> Made:
    return _typed(column, wanted.type), wanted, {}


def _typed(column: pa.Array, arrow: pa.DataType) -> pa.Array:
    if column.type == arrow:
        return column
    if pa.types.is_string(column.type) and pa.types.is_integer(arrow):  # numeric(20,0) of unsigned integers
        return column.cast(pa.decimal128(38, 0)).cast(arrow)
    if pa.types.is_time64(column.type) and pa.types.is_time32(arrow):
        return column.cast(pa.time64("us")).cast(arrow)
    return column.cast(arrow)


def _documents(column: pa.Array, wanted: pa.Field) -> Made:
    values, strangers = decoded(column.to_pylist(), wanted.type)
    return values, wanted, strangers


def _variants(column: pa.Array, wanted: pa.Field) -> Made:
    found = column.to_pylist()
    made = [None if text is None else canonical(text) for text in found]
    strange = {row: text for row, text in enumerate(found) if text is not None and made[row] is None}
    return pa.array(made, pa.string()), wanted, strange


def _numbers(column: pa.Array, wanted: pa.Field) -> Made:
    """Decimals of as many places as are there; a variant where 38 digits don't do."""
    name = wanted.name
    texts = column.cast(pa.string())
    places = pc.utf8_rtrim(pc.if_else(pc.match_substring(texts, "."), texts, pa.scalar("")), "0")
    trimmed = pc.if_else(pc.match_substring(texts, "."), pc.utf8_rtrim(places, "."), texts)
    parts = pc.extract_regex(trimmed, _NUMBER)
    strange = texts.null_count < parts.null_count
    if not strange:
        whole = pc.max(pc.utf8_length(pc.utf8_ltrim(pc.struct_field(parts, "whole"), "0"))).as_py() or 0
        scale = pc.max(pc.utf8_length(pc.struct_field(parts, "places"))).as_py() or 0
        fits = decimal_field(name, whole, scale)
        if pa.types.is_decimal(fits.type):
            return trimmed.cast(fits.type), fits, {}
    written = [None if text is None else decimal_text(Decimal(text)) for text in texts.to_pylist()]
    return pa.array(written, pa.string()), field_of("variant", name), {}


@dataclass
class Selection:
    """The columns of one read, and the schema that its rows have reached.

    Args:
        items: in the order of the result.
        wanted: names to hand on; the others are read for conditions only.
        unsettled: columns that never held a value.
        reject: whether rows with values that don't fit are rejected.
        where: what is read, for errors.
    """

    items: Sequence[Item]
    wanted: Sequence[str]
    unsettled: Sequence[pa.Field]
    metadata: dict[bytes, bytes] | None
    reject: bool
    where: str
    _schema: pa.Schema | None = field(default=None, init=False)

    def again(self) -> Selection:
        """The same for another lane."""
        return replace(self)

    def sql(self) -> str:
        """The expressions to select; rows of no column still count."""
        listed = [
            f"{expression} AS c{at}_{part}"
            for at, item in enumerate(self.items)
            for part, expression in enumerate((item.sql, item.aside))
            if expression
        ]
        return ", ".join(listed) or "1 AS c"

    def made(self, raw: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch, tuple[Rejected, ...]]:
        """What came: all columns read, those wanted by the schema reached so far, and the rows rejected.

        Raises:
            Fatal: another program stored a value that the column's logical type can't hold.
        """
        columns: list[pa.Array] = []
        fields: list[pa.Field] = []
        asides: dict[str, dict[int, str]] = {}
        at = 0
        for item in self.items:
            values, made, strange = self._column(raw.column(at), item)
            at += 1
            if item.aside:
                strange = {**strange, **_texts(raw.column(at))}
                at += 1
            columns.append(values)
            fields.append(made)
            if strange:
                asides[item.field.name] = strange
        columns += [pa.nulls(len(raw), one.type) for one in self.unsettled]
        schema = pa.schema([*fields, *self.unsettled], metadata=self.metadata)
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        rejected: list[Rejected] = []
        if asides and self.reject:
            reasons = {
                row: f"{name}: {text} has no place in Arrow's type"
                for name, rows in asides.items()
                for row, text in rows.items()
            }
            batch, rejected = set_aside(batch, reasons)
        elif asides:
            batch = _beside(batch, asides)
        return batch, self._handed(batch), tuple(rejected)

    def _column(self, column: pa.Array, item: Item) -> Made:
        if isinstance(column.type, pa.BaseExtensionType):
            column = column.storage
        try:
            return item.make(column, item.field)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise Fatal(
                f"a stored value of {item.field.name!r} does not fit its type: {error}",
                where=self.where,
                hint="another program wrote it; mend it there, or write the table anew with mode replace",
            ) from error

    def _handed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        names = [
            name
            for name in batch.schema.names
            if name.removesuffix(ASIDE) in self.wanted or name in self.wanted
        ]
        order = {name: place for place, name in enumerate(self.wanted)}
        names.sort(
            key=lambda name: (order.get(name, order.get(name.removesuffix(ASIDE), 0)), name not in order)
        )
        return self.widened(batch.select(names) if names else batch)

    def widened(self, chosen: pa.RecordBatch) -> pa.RecordBatch:
        """The rows by a schema that holds those before them too."""
        self._schema = chosen.schema if self._schema is None else widen(self._schema, chosen.schema)
        return cast(chosen, self._schema)


def _texts(column: pa.Array) -> dict[int, str]:
    if column.null_count == len(column):
        return {}
    rows = pc.indices_nonzero(column.is_valid()).to_pylist()
    return dict(zip(rows, column.drop_null().to_pylist(), strict=True))


def _beside(batch: pa.RecordBatch, asides: dict[str, dict[int, str]]) -> pa.RecordBatch:
    """The batch with the texts of values that did not fit, in columns of their own."""
    for name, rows in asides.items():
        beside = name + ASIDE
        while beside in batch.schema.names:
            beside += "_"
        texts = pa.array([rows.get(row) for row in range(len(batch))], pa.string())
        batch = batch.append_column(pa.field(beside, pa.string()), texts)
    return batch
