"""Short ways to read the tables of a MariaDB server."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from levada.batches import Batch
from levada.connectors.base import Query, Table
from levada.connectors.mysql import MysqlConnection, MysqlSettings
from levada.connectors.mysql.source import MysqlSource
from levada.positions import Position
from levada.types import cast, widen
from levada.windows import Window

ALL = Query()


class Legacy:
    """A database that is read through Levada, and prepared by the server's own client program.

    Args:
        server: of `tests.mysql`.
        folder: the project's.
    """

    def __init__(self, server: Any, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def run(self, sql: str) -> str:
        return str(self.server.run(sql))

    def printed(self, sql: str) -> list[list[str]]:
        """As the server prints it."""
        rows: list[list[str]] = self.server.rows(sql)
        return rows

    def connection(self, **settings: Any) -> MysqlConnection:
        given = MysqlSettings.model_validate(self.server.settings(**settings))
        return MysqlConnection("legacy", given, self.folder)

    def source(self, table: str, query: Query = ALL, time: str | None = None, **settings: Any) -> MysqlSource:
        return self.connection(**settings).source(Table("legacy", table, time=time), query)

    def batches(
        self,
        table: str,
        query: Query = ALL,
        window: Window | None = None,
        after: Position | None = None,
        time: str | None = None,
        **settings: Any,
    ) -> list[Batch]:
        return list(self.source(table, query, time, **settings).read(window, after))

    def read(self, table: str, query: Query = ALL, **others: Any) -> pa.Table:
        """All rows in one table."""
        batches = [batch.data for batch in self.batches(table, query, **others)]
        schema = batches[0].schema
        for batch in batches[1:]:
            schema = widen(schema, batch.schema)
        return pa.Table.from_batches([cast(batch, schema) for batch in batches])


@pytest.fixture
def shop(legacy: Any, tmp_path: Path) -> Legacy:
    """A fresh database."""
    return Legacy(legacy, tmp_path)


@pytest.fixture
def table(shop: Legacy) -> Callable[..., dict[str, list[Any]]]:
    """What comes out for columns of these types, each given as SQL literals; the shorter end in NULL."""

    def values(columns: dict[str, list[str]], **settings: Any) -> dict[str, list[Any]]:
        listed = ", ".join(f"c{place} {declared} NULL" for place, declared in enumerate(columns))
        rows = zip_longest(*columns.values(), fillvalue="NULL")
        literals = ", ".join(f"({n}, {', '.join(row)})" for n, row in enumerate(rows))
        shop.run(
            "SET sql_mode = 'ALLOW_INVALID_DATES'; DROP TABLE IF EXISTS t;"
            f"CREATE TABLE t (n INT PRIMARY KEY, {listed}); INSERT INTO t VALUES {literals}"
        )
        read = shop.read("t", **settings).sort_by("n")
        found = [read[f"c{place}"].to_pylist() for place in range(len(columns))]
        return {
            declared: column[: len(columns[declared])]
            for declared, column in zip(columns, found, strict=True)
        }

    return values
