"""A MongoDB connection of a project: one PyMongo client, made at first use."""

from __future__ import annotations

import random
import threading
import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.uri_parser import parse_uri

from levada.connectors.base import Fence, Finding, Query, Sink, Source, Table
from levada.connectors.mongodb.embedded import EmbeddedServer
from levada.connectors.mongodb.faults import translated
from levada.connectors.mongodb.pace import Pace
from levada.connectors.mongodb.settings import EMBEDDED, MongoSettings, masked
from levada.errors import ConfigError
from levada.windows import Window

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

Document = dict[str, Any]


class MongoConnection:
    """A named MongoDB endpoint; implements `levada.connectors.base.Connection`.

    Args:
        name: of the connection in the project file.
        settings: its settings.
        root: the project's folder, where an embedded server keeps its data.
    """

    kind: ClassVar[str] = "mongodb"
    settings_model: ClassVar[type[MongoSettings]] = MongoSettings

    def __init__(self, name: str, settings: MongoSettings, root: Path) -> None:
        self.name = name
        self.settings = settings
        self._server = EmbeddedServer(root) if settings.embedded else None
        self._client: MongoClient[Document] | None = None
        self._nodes: dict[tuple[str, int], MongoClient[Document]] = {}
        self._lock = threading.Lock()
        self.pace = Pace(settings.max_documents_per_second, settings.max_bytes_per_second)

    def __repr__(self) -> str:
        return f"MongoConnection({self.name!r}, {self.describe()!r})"

    @property
    def client(self) -> MongoClient[Document]:
        """The client; the first use starts an embedded server, but waits for no other."""
        with self._lock:
            if self._client is None:
                uri = self._server.join() if self._server else self.settings.uri.get_secret_value()
                self._client = self._connect(uri, self.settings.options())
            return self._client

    def _connect(self, uri: str, options: dict[str, Any]) -> MongoClient[Document]:
        with translated(self.name), warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # PyMongo ignores what it does not know in a URI
            try:
                return MongoClient(uri, tz_aware=True, **options)
            except ValueError:  # its text may hold a part of the password
                raise ConfigError(
                    f"the URI of connection {self.name!r} can't be read",
                    where=self.name,
                    hint="write mongodb://user:password@host:port/; percent-encode / @ : in the first two",
                ) from None
            except UserWarning as warning:
                raise ConfigError(
                    f"the URI of connection {self.name!r} has an unknown option or value: {warning}",
                    where=self.name,
                ) from None

    def node(self, host: str, port: int) -> MongoClient[Document]:
        """A client of one server of the deployment: cursors live on the server that opened them."""
        with self._lock:
            if (host, port) not in self._nodes:
                options = self.settings.options() | {"directConnection": True}
                options.pop("replicaSet", None)
                uri = at_node(self.settings.uri.get_secret_value(), host, port)
                self._nodes[host, port] = self._connect(uri, options)
            return self._nodes[host, port]

    def member(self, address: str) -> MongoClient[Document] | None:
        """A client of the server that calls itself `host:port`; None if the deployment has no such server."""
        hello = self.client.admin.command("hello", read_preference=self.client.read_preference)
        if len(self.client.topology_description.server_descriptions()) == 1:
            return self.client if hello.get("me", "") == address else None
        if address not in (*hello.get("hosts", ()), *hello.get("passives", ())):
            return None
        host, _, port = address.rpartition(":")
        return self.node(host, int(port))

    def reader(self) -> MongoClient[Document]:
        """A client whose commands all go to one server, chosen by the read preference."""
        client = self.client
        hello = client.admin.command("hello", read_preference=client.read_preference)
        if len(client.topology_description.server_descriptions()) == 1:
            return client
        host, _, port = hello.get("me", "").rpartition(":")
        if not host:  # a mongos does not say its name
            host, port = random.choice(sorted(client.nodes))  # noqa: S311
        return self.node(host, int(port))

    def database(self, name: str | None = None) -> Database[Document]:
        """A database by name; None means the connection's own.

        Raises:
            ConfigError: neither the settings nor the URI name one.
        """
        return self.client[name or self.default_database()]

    def default_database(self) -> str:
        """The database of tables that name none."""
        if self.settings.database:
            return self.settings.database
        uri = self.settings.uri.get_secret_value()
        path = "" if uri == EMBEDDED else uri.partition("://")[2].partition("?")[0].partition("/")[2]
        if not path:
            raise ConfigError(
                f"connection {self.name!r} has no database",
                where=self.name,
                hint="add `database: NAME` to it, or write the table as database.collection",
            )
        return path

    def namespace(self, table: Table) -> tuple[str, str]:
        """Database and collection of a table: `collection`, or `database.collection`.

        What comes before the first dot is always the database; write it too where a collection has dots.
        """
        database, dot, collection = table.name.partition(".")
        if not dot:
            return self.default_database(), table.name
        return database, collection

    def describe(self) -> str:
        """The URI without its password."""
        return masked(self.settings.uri.get_secret_value())

    def source(self, table: Table, query: Query) -> Source:
        from levada.connectors.mongodb.scan import MongoSource

        return MongoSource(self, table, query)

    def sink(self, table: Table) -> Sink:
        from levada.connectors.mongodb.sink import MongoSink

        return MongoSink(self, table)

    def delete_before(self, table: Table, column: str, cutoff: datetime, fence: Fence | None) -> int:
        """Remove the rows whose time lies before `cutoff`, in bounded chunks; returns how many.

        Raises:
            Fenced: the lease has ended meanwhile.
        """
        from levada.connectors.mongodb.prune import delete_before
        from levada.connectors.mongodb.target import Target

        database, collection = self.namespace(table)
        return delete_before(Target(self.client, database, collection), column, cutoff, fence)

    def holds(self, table: Table, keys: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """Which of these keys a collection has at this moment, as its primary knows.

        Args:
            keys: one column for each field of the key, labelled as the collection's values are.
        """
        from levada.connectors.mongodb.presence import held

        with translated(str(table)):
            return held(self.client, *self.namespace(table), keys)

    def exists(self, table: Table) -> bool:
        """Whether there is a collection, or a view, of that name."""
        database, collection = self.namespace(table)
        with translated(str(table)):
            return bool(self.database(database).list_collection_names(filter={"name": collection}))

    def aggregate(
        self, table: Table, stages: list[dict[str, Any]], window: Window | None
    ) -> list[dict[str, Any]]:
        """Run aggregation stages over a table, or one window of it, inside the server; for small results."""
        from levada.connectors.mongodb.scan import MongoSource

        database, collection = self.namespace(table)
        condition = MongoSource(self, table, Query()).condition(window)
        pipeline = [{"$match": condition}, *stages] if condition else stages
        with (
            translated(str(table)),
            self.database(database)[collection].aggregate(pipeline, allowDiskUse=True) as cursor,
        ):
            return list(cursor)

    def reading_seconds(self) -> float | None:
        """What the server has spent on reads so far, of all clients; None where this user may not see it."""
        sections = dict.fromkeys(("metrics", "wiredTiger", "locks", "tcmalloc", "repl"), 0)
        try:
            status = self.reader().admin.command({"serverStatus": 1, **sections})
        except OperationFailure:
            return None
        return float(status["opLatencies"]["reads"]["latency"]) / 1e6 if "opLatencies" in status else None

    def diagnose(self) -> list[Finding]:
        from levada.connectors.mongodb.doctor import diagnose

        return diagnose(self)

    def close(self) -> None:
        """Close the client, and leave the embedded server: the last one out stops it."""
        with self._lock:
            for client in (self._client, *self._nodes.values()):
                if client is not None:
                    client.close()
            self._client = None
            self._nodes.clear()
            if self._server:
                self._server.leave()


#: Options of a URI that speak of the deployment, not of a server.
_OF_DEPLOYMENT = ("replicaset=", "directconnection=", "loadbalanced=", "srv")


def at_node(uri: str, host: str, port: int) -> str:
    """The same URI for one server: credentials and options stay, the list of hosts goes."""
    scheme, _, rest = uri.partition("://")
    authority, _, tail = rest.partition("/")
    path, _, query = tail.partition("?")
    options = [item for item in query.split("&") if item and not item.lower().startswith(_OF_DEPLOYMENT)]
    if scheme == "mongodb+srv":
        given = parse_uri(uri)["options"]
        options += [f"{key}={given[key]}" for key in ("authSource",) if key in given and key not in query]
        options += [] if "tls=" in query or "ssl=" in query else ["tls=true"]
    credentials = authority.rpartition("@")[0]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"mongodb://{credentials + '@' if credentials else ''}{address}/{path}?{'&'.join(options)}"
