"""The columns of a table, a view or a query, as the server declares them, and the rows they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from levada.batches import Rejected
from levada.connectors.mysql.server import Server
from levada.connectors.mysql.settings import MysqlSettings
from levada.connectors.mysql.values import values
from levada.errors import ConfigError, Fatal, LevadaError
from levada.types.layout import row_text
from levada.types.mysql import Declared, Held, held

#: What the name of a column for texts ends in.
BESIDE = "__text"

_QUERY = "_levada_query"
_LOCAL = "datetime"
_TIMES = frozenset({_LOCAL, "timestamp", "date"})
_INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})


def quoted(name: str) -> str:
    """A name as MySQL's identifier."""
    return "`" + name.replace("`", "``") + "`"


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        name: as the server knows it.
        declared: its type there.
        held: what it becomes.
        key: whether it is part of the primary key.
    """

    name: str
    declared: Declared
    held: Held
    key: bool = False

    @property
    def naive(self) -> bool:
        """Whether its times have no zone."""
        return self.declared.base == _LOCAL

    @property
    def timed(self) -> bool:
        """Whether it holds moments or days."""
        return self.declared.base in _TIMES

    @property
    def whole(self) -> bool:
        """Whether it holds whole numbers."""
        return self.declared.base in _INTEGERS

    def selected(self, place: int) -> str:
        """How it is asked for; by place, since names can be anything."""
        return f"{self.held.form.format(quoted(self.name))} AS c{place}"


def of_table(server: Server, table: str, where: str) -> list[Column]:
    """All columns of a table or view, invisible and generated ones too.

    Raises:
        ConfigError: there is no such table, or no right to read it.
    """
    name = quoted(table)
    server.rows(f"SELECT 1 AS one FROM {name} LIMIT 0", where=where)  # noqa: S608 - fails with the reason
    return _columns(server, server.rows(f"SHOW FULL COLUMNS FROM {name}", where=where))


def of_query(server: Server, sql: str, where: str) -> list[Column]:
    """The columns of a query, which a temporary table without rows takes on.

    Raises:
        ConfigError: it is no query, or there is no right to make temporary tables.
    """
    # a function of it that writes is refused here, before the session that may make a table
    server.rows(f"SELECT 1 AS one FROM ({sql}\n) AS q LIMIT 0", where=where)  # noqa: S608
    write = "SET SESSION TRANSACTION READ WRITE"
    shape = f"CREATE TEMPORARY TABLE {_QUERY} AS SELECT * FROM ({sql}\n) AS q LIMIT 0"  # noqa: S608
    try:
        found = server.rows(f"SHOW FULL COLUMNS FROM {_QUERY}", setup=[write, shape], where=where)
    except LevadaError:
        server.rows("SELECT 1 AS one", setup=[write, shape], where=where)  # fails with the reason
        raise
    return [replace(column, key=False) for column in _columns(server, found)]


def _columns(server: Server, found: Sequence[dict[str, str]]) -> list[Column]:
    as_bool = server.settings.tinyint1 == "bool"
    columns = []
    for row in found:
        declared = Declared.parse(row["Type"])
        how = held(row["Field"], declared, tinyint1_is_bool=as_bool)
        columns.append(Column(row["Field"], declared, how, row["Key"] == "PRI"))
    return columns


class Rows:
    """Makes batches of what the driver gives; columns of texts appear with the first value they are for.

    Args:
        columns: those that are read, in the order of the statement.
        wanted: how many of them have a column for texts.
        names: of all columns of the table, so that a new one has a name of its own.
        settings: how odd values are treated.
        where: what an error is about.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        wanted: int,
        names: Sequence[str],
        settings: MysqlSettings,
        where: str,
    ) -> None:
        self._columns = columns
        self._wanted = wanted
        self._settings = settings
        self._where = where
        self._beside = _names_beside(columns, names)
        self._seen: dict[str, None] = {}
        self.schema = pa.schema([column.held.field for column in columns])

    def batch(self, raw: pa.RecordBatch) -> tuple[pa.RecordBatch, tuple[Rejected, ...]]:
        """Rows in their types, and those that were rejected.

        Raises:
            Fatal: a value is not of its column's type; the server would have to have lied.
        """
        arrays, beside = [], {}
        for place, column in enumerate(self._columns):
            array, odd = self._values(raw.column(place), column)
            arrays.append(array)
            if odd is not None and place < self._wanted:
                beside[column.name] = odd
        batch = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        if not beside or self._settings.zero_dates == "null":
            return self._widened(batch, {}), ()
        if self._settings.zero_dates == "reject":
            return _parted(batch, beside)
        return self._widened(batch, beside), ()

    def _values(self, raw: pa.Array, column: Column) -> tuple[pa.Array, pa.Array | None]:
        zone = self._settings.timezone if column.naive else None
        try:
            return values(raw, column.held.field, zone)
        except pa.ArrowException as error:
            raise Fatal(
                f"column {column.name!r} holds a value that is no {column.declared.base}: {error}",
                where=self._where,
                hint="leave the column out with `columns`, or cast it in a query of your own",
            ) from error

    def _widened(self, batch: pa.RecordBatch, beside: dict[str, pa.Array]) -> pa.RecordBatch:
        self._seen.update(dict.fromkeys(beside))
        for name in self._seen:
            texts = beside.get(name, pa.nulls(len(batch), pa.string()))
            batch = batch.append_column(self._beside[name], texts)
        return batch


def _names_beside(columns: Sequence[Column], names: Sequence[str]) -> dict[str, str]:
    """Column -> the name of the column of its texts; no other column has it."""
    taken = {name.lower() for name in names}
    found = {}
    for column in columns:
        name = column.name + BESIDE
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        found[column.name] = name
    return found


def _parted(
    batch: pa.RecordBatch, beside: dict[str, pa.Array]
) -> tuple[pa.RecordBatch, tuple[Rejected, ...]]:
    odd: dict[int, str] = {}
    for name, texts in beside.items():
        for row, text in enumerate(texts.to_pylist()):
            if text is not None:
                odd.setdefault(row, f"{name}: {text} has no place in its type")
    rejected = tuple(Rejected(row_text(batch, row), reason) for row, reason in odd.items())
    kept = pa.array([row not in odd for row in range(len(batch))])
    return batch.filter(kept), rejected


def chosen(columns: Sequence[Column], wanted: Sequence[str], where: str) -> list[Column]:
    """The wanted columns in the wanted order, by names without case; all of them where none are named.

    Raises:
        ConfigError: there is no such column.
    """
    if not wanted:
        return list(columns)
    known = {column.name.lower(): column for column in columns}
    absent = [name for name in wanted if name.lower() not in known]
    if absent:
        names = ", ".join(column.name for column in columns)
        raise ConfigError(f"there is no column {absent[0]!r}", where=where, hint=f"the columns are {names}")
    return [known[name.lower()] for name in wanted]
