"""A schema of the tests' PostgreSQL server, and short ways to use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from levada.batches import Batch
from levada.connectors.base import Changes, Fence, Mode, Query, Table, Write, Written
from levada.connectors.postgres import PostgresConnection, PostgresSettings
from levada.positions import Position
from levada.windows import Window

from ...postgres import Postgres  # noqa: TID252

TABLE = Table("pg", "items", key=("k",), time="t")


class Warehouse:
    """A schema on the server, and short ways to write, read and look at it."""

    def __init__(self, server: Postgres, schema: str, root: Path, **settings: Any) -> None:
        self.server, self.schema, self.root = server, schema, root
        given = {"uri": server.uri, "schema": schema, **settings}
        self.connection = PostgresConnection("pg", PostgresSettings.model_validate(given), root)

    def write(
        self,
        *batches: pa.RecordBatch,
        mode: Mode = Mode.APPEND,
        position: Position | None = None,
        table: Table = TABLE,
        owner: str = "p/s",
        window: Window | None = None,
        fence: Fence | None = None,
        changes: Changes = Changes(),  # noqa: B008 - frozen
    ) -> Written:
        write = Write(table, mode, owner, (), window, fence, changes)
        writer = self.connection.sink(table).open(write)
        for batch in batches:
            writer.write(Batch(batch))
        return writer.commit(position)

    def batches(
        self,
        query: Query | None = None,
        table: Table = TABLE,
        window: Window | None = None,
        after: Position | None = None,
    ) -> list[Batch]:
        return list(self.connection.source(table, query or Query()).read(window, after))

    def read(self, query: Query | None = None, table: Table = TABLE, **how: Any) -> pa.Table:
        return pa.concat_tables(
            [pa.Table.from_batches([batch.data]) for batch in self.batches(query, table, **how)],
            promote_options="default",
        )

    def plain(self, sql: str) -> list[tuple[Any, ...]]:
        """What another program sees; `{s}` is the schema."""
        return self.server.rows(sql.replace("{s}", self.schema))

    def run(self, *statements: str) -> None:
        """What another program does."""
        self.server.run(*(each.replace("{s}", self.schema) for each in statements))
