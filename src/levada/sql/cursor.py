"""PEP 249's cursor."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pyarrow as pa
from pymongo.errors import PyMongoError

from levada.errors import LevadaError
from levada.sql.complaints import complaint, outside
from levada.sql.decode import arrow_schema, rows_of
from levada.sql.faults import Error, InterfaceError, ProgrammingError
from levada.sql.plan import Plan
from levada.sql.running import batches
from levada.sql.types import SqlType

if TYPE_CHECKING:
    from levada.sql.compiler import Parameters
    from levada.sql.driver import Connection

_T = TypeVar("_T")

Description = tuple[str, SqlType, None, None, int | None, int | None, bool]


class TypeGroup(frozenset[str]):
    """PEP 249's type object: equal to every SQL type of its group."""

    def __eq__(self, other: object) -> bool:
        return other.name in self if isinstance(other, SqlType) else super().__eq__(other)

    def __hash__(self) -> int:
        return super().__hash__()


STRING: Final = TypeGroup({"VARCHAR", "UUID", "VARIANT"})
BINARY: Final = TypeGroup({"BLOB"})
NUMBER: Final = TypeGroup({"INTEGER", "BIGINT", "DOUBLE", "DECIMAL"})
DATETIME: Final = TypeGroup({"TIMESTAMP", "DATE"})
ROWID: Final = TypeGroup({"OBJECTID"})


class Cursor:
    """Runs one query at a time.

    Args:
        connection: whose database it is.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.rowcount = -1
        self._plan: Plan | None = None
        self._batches: Generator[pa.RecordBatch] | None = None
        self._first: list[pa.RecordBatch] = []
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._rest: tuple[pa.RecordBatch, int] | None = None
        self._failed: Error | None = None
        self._closed = False

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    @property
    def plan(self) -> Plan | None:
        """What the last query became."""
        return self._plan

    @property
    def description(self) -> list[Description] | None:
        """Of each column: name, SQL type, display size and internal size (unknown), precision, scale, whether
        it can be NULL; None before a query."""
        if self._plan is None:
            return None
        return [
            (
                one.name,
                one.type,
                None,
                None,
                one.type.precision if one.type.name == "DECIMAL" else None,
                one.type.scale if one.type.name == "DECIMAL" else None,
                one.nullable,
            )
            for one in self._plan.columns
        ]

    def execute(self, operation: str, parameters: Parameters | None = None) -> Cursor:
        """Run a query; its first rows are there when this returns.

        Args:
            operation: one SELECT.
            parameters: a sequence for `?` and `$1`, a mapping for `$name` and `:name`.

        Raises:
            ProgrammingError: the SQL is wrong, or says something that does not run on MongoDB.
            DataError: a value is of another type than declared, or can't be cast.
            OperationalError: the server can't be reached, or gave up.
        """
        self._must_be_open()
        self._end()
        with_values = () if parameters is None else parameters
        return self.run(self._guarded(lambda: self.connection.compile(operation, with_values)))

    def run(self, plan: Plan) -> Cursor:
        """Run a compiled query."""
        self._must_be_open()
        self._end()
        database = self._guarded(lambda: self.connection.database)
        found = batches(database, plan, self.connection.options)
        first = self._guarded(lambda: next(found), plan)
        self._plan, self._batches, self._first = plan, found, [first]
        self._rows = self._python_rows()
        return self

    def executemany(self, operation: str, parameters: Iterable[Parameters]) -> Cursor:
        """Run a query for each of several parameters; the rows are those of the last one."""
        for one in parameters:
            self.execute(operation, one)
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; None: there are no more."""
        self._must_have_run()
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next rows, `arraysize` of them where no size is given."""
        self._must_have_run()
        most = self.arraysize if size is None else size
        if most < 0:
            raise ProgrammingError(f"{most} rows can't be fetched")
        return list(islice(self._rows, most))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        self._must_have_run()
        return list(self._rows)

    def fetch_record_batches(self) -> Iterator[pa.RecordBatch]:
        """The rows that are left, as they come, in batches.

        Types are those of the plan; ObjectIds, UUIDs and the like are text, labelled so that writing them to
        MongoDB restores them.
        """
        self._must_have_run()
        return self._raw_batches()

    def fetch_arrow(self) -> pa.Table:
        """All rows that are left as one Arrow table (see `fetch_record_batches`)."""
        plan = self._must_have_run()
        return pa.Table.from_batches(list(self._raw_batches()), arrow_schema(plan))

    fetch_arrow_table = fetch_arrow

    def setinputsizes(self, sizes: Any) -> None:
        """Nothing; PEP 249 wants it."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Nothing; PEP 249 wants it."""

    def close(self) -> None:
        """End the query, and drop its temporary tables; again does nothing."""
        self._end()
        self._closed = True

    def _python_rows(self) -> Iterator[tuple[Any, ...]]:
        for batch in self._raw_batches():
            for taken, row in enumerate(rows_of(batch), 1):
                self._rest = batch, taken
                yield row
            self._rest = None

    def _raw_batches(self) -> Iterator[pa.RecordBatch]:
        if self._rest is not None:
            (batch, taken), self._rest = self._rest, None
            self._rows = self._python_rows()
            yield batch.slice(taken)
        while self._first:
            yield self._first.pop()
        source = self._batches
        while source is not None:
            try:
                batch = self._guarded(lambda: next(source, None), self._plan)
            except Error as error:
                self._failed = error
                raise
            if batch is None:
                return
            yield batch

    def _guarded(self, call: Callable[[], _T], plan: Plan | None = None) -> _T:
        """Let errors out as PEP 249's."""
        try:
            return call()
        except PyMongoError as error:
            scans = () if plan is None else plan.scans
            raise complaint(error, self.connection.database, scans) from error
        except Error:
            raise
        except LevadaError as error:
            raise outside(error) from error

    def _end(self) -> None:
        if self._batches is not None:
            self._guarded(self._batches.close)
        self._plan = self._batches = self._failed = None
        self._first, self._rows, self._rest = [], iter(()), None

    def _must_be_open(self) -> None:
        if self._closed or self.connection.closed:
            raise InterfaceError(f"the {'connection' if self.connection.closed else 'cursor'} is closed")

    def _must_have_run(self) -> Plan:
        self._must_be_open()
        if self._plan is None:
            raise InterfaceError("no query has been run", hint="call execute first")
        if self._failed is not None:
            raise InterfaceError(f"the query has failed: {self._failed.what}", hint="call execute again")
        return self._plan
