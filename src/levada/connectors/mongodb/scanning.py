"""One scan: its lanes from the start or behind a position, and the position that each reply reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from levada.connectors.base import Query
from levada.connectors.mongodb import plan
from levada.connectors.mongodb.namespace import Facts, look
from levada.connectors.mongodb.orders import Command, Order, restored
from levada.connectors.mongodb.scanlane import Client, Manner, ScanLane
from levada.connectors.mongodb.shelf import Read
from levada.errors import ConfigError, Fatal, ScanLost
from levada.observe import Timings
from levada.positions import Position

if TYPE_CHECKING:
    from levada.connectors.mongodb.client import MongoConnection

SNAPSHOT_TOO_OLD = 239

Marks = dict[str, Mapping[str, Any]]


class Scan:
    """Plans one read of a collection.

    Args:
        connection: where from.
        query: what of it, and how.
        namespace: database and collection.
        timings: told where the time went.
    """

    def __init__(
        self, connection: MongoConnection, query: Query, namespace: tuple[str, str], timings: Timings
    ) -> None:
        self._connection = connection
        self._query = query
        self._database, self._collection = namespace
        self._timings = timings
        self._marks: Marks = {}
        self._of_query: dict[str, Any] = {}
        self.adds_id = False

    def begun(self, command: Command, *, tracked: bool) -> list[ScanLane]:
        """The lanes of a scan from its start.

        Args:
            command: find or aggregate, without batch size, options and order.
            tracked: whether the rows must come in the order of their time.
        """
        client = self._connection.reader()
        facts = look(client, self._database, self._collection)
        snapshot = plan.moment(client, facts) if self._query.consistent else None
        kind = plan.choose(
            self._query, facts, tracked=tracked, indexed=lambda: self._indexed(client, command)
        )
        edges: list[bytes] = []
        if kind == "id":
            edges = plan.edges(client, self._database, self._collection, self._query.lanes)
        command = self._command(command, client, snapshot, by_id=kind == "id")
        orders = plan.begin(kind, command, facts, edges)
        return self._lanes(orders, dict.fromkeys(orders, (client, facts)), marked=kind != "whole")

    def resumed(self, command: Command, marks: Marks) -> list[ScanLane]:
        """The lanes of a scan that goes on behind these marks.

        Raises:
            ScanLost: it can't.
        """
        first = next(iter(marks.values()))
        if first.get("query") != plan.fingerprint(command):
            raise ScanLost(
                "the position belongs to a scan with another window, filter or columns",
                hint="ask for the same as then, or read from the beginning",
            )
        snapshot = Timestamp(*first["at"]) if first.get("at") else None
        client = self._server_of(first)
        facts = look(client, self._database, self._collection)
        command = self._command(command, client, snapshot, by_id=first["kind"] == "id")
        orders: dict[str, Order] = {name: restored(mark, command, facts) for name, mark in marks.items()}
        return self._lanes(orders, dict.fromkeys(orders, (client, facts)), marked=True)

    def reached(self, read: Read) -> Position | None:
        """Where the whole scan is once this reply, and all before it, are stored."""
        if read.mark is None:
            return None
        self._marks[read.lane] = {**read.mark, **self._of_query}
        return Position(dict(self._marks))

    def _lanes(
        self, orders: Mapping[str, Order], servers: Mapping[str, tuple[Client, Facts]], *, marked: bool
    ) -> list[ScanLane]:
        if self._query.resumable and marked:
            for name, order in orders.items():
                self._marks[name] = {**(order.mark() or {}), **self._of_query}
        manner = Manner(
            self._database,
            self._collection,
            self._connection.reader,
            self._query.batch_rows,
            self._connection.pace,
            self._timings,
            self._query.resumable and marked,
        )
        return [ScanLane(name, order, manner, *servers[name]) for name, order in orders.items()]

    def _command(
        self, command: Command, client: Client, snapshot: Timestamp | None, *, by_id: bool
    ) -> Command:
        self._of_query = {"query": plan.fingerprint(command)}
        level: dict[str, Any] = dict(client.read_concern.document)
        if snapshot is not None:
            level = {"level": "snapshot", "atClusterTime": snapshot}
            self._of_query["at"] = [snapshot.time, snapshot.inc]
        wanted = command.get("projection", {})
        self.adds_id = by_id and wanted.get("_id") == 0
        if self.adds_id:
            command = command | {"projection": {name: 1 for name in wanted if name != "_id"}}
        options = self._connection.settings.scan_options()
        return command | options | ({"readConcern": level} if level else {})

    def _indexed(self, client: Client, command: Command) -> bool:
        return bool(command.get("filter")) and plan.indexed(client, self._database, command)

    def _server_of(self, mark: Mapping[str, Any]) -> Client:
        if mark["kind"] != "natural":
            return self._connection.reader()
        client = self._connection.member(mark["node"])
        if client is None:
            raise ScanLost(
                f"the position counts the records of {mark['node'] or 'a standalone server'}, "
                "which is not a server of this deployment any more",
                hint="read from the beginning; `order: id` can go on at any server",
            )
        return client


def marks_of(position: Position | None) -> Marks:
    """The marks of a scan in a position; empty where it has none.

    Raises:
        ConfigError: the position is a watermark.
    """
    parts = dict(position.parts) if position else {}
    marks = {name: mark for name, mark in parts.items() if name.partition(".")[0] == plan.SCAN}
    if parts.keys() != marks.keys():
        raise ConfigError(
            "a resumable scan can't go on behind a watermark", hint="read it without `resumable`"
        )
    return marks


def too_old(cause: OperationFailure, where: str) -> Fatal:
    """What to say when the server has dropped the history that a consistent scan reads."""
    message = str((cause.details or {}).get("errmsg") or cause)
    return Fatal(
        f"the consistent read took longer than the server keeps its history: {message}",
        where=where,
        hint="raise the server's parameter minSnapshotHistoryWindowInSeconds (300 by default), read less at "
        "a time (window, filter, columns), or read without `consistent`",
    )
