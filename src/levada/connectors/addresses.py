"""Addresses: `connection.table` of a project, or the URL of a table.

| URL | is |
|---|---|
| `mongodb://host/database.collection` (also `mongodb+srv://`) | a collection |
| `mysql://user@host/database.table` (also `mariadb://`) | a table of MySQL or MariaDB |
| `postgres://user@host/database.table` (also `postgresql://`, `database.schema.table`) | a PostgreSQL table |
| `file:///folder/table.csv`, `s3://bucket/folder/table.csv` | a file: `.parquet`, or text such as `.csv.gz` |
| `file:///folder/table`, `s3://bucket/folder/table` | a Delta table |
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from levada.config import (
    Place,
    ProjectFile,
    connector_class,
    nearest,
    split_address,
    validate_settings,
)
from levada.connectors.base import Connection, Table
from levada.errors import ConfigError


class Addresses:
    """Finds tables and connections; opens each connection once, at first use.

    Args:
        file: the project; None where there is none, and only URLs are known.
        root: folder for what connections keep (an embedded server); default: the project's.
    """

    def __init__(self, file: ProjectFile | None, root: Path | None = None) -> None:
        self._file = file
        self._root = root or (file.root if file else Path.cwd())
        self._open: dict[str, Connection] = {}
        self._adhoc: dict[str, tuple[str, dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def table(self, address: str) -> Table:
        """The table at an address, with what the project file says of it.

        Raises:
            ConfigError: it is no address, or names an unknown connection.
        """
        if "://" in address:
            return self._by_url(address)
        connection = self.check(address)
        spec = self._file.tables.get(address) if self._file else None
        name = split_address(address)[1]
        if spec is None:
            return Table(connection, name)
        return Table(connection, name, spec.key, spec.time, spec.partition_by)

    def check(self, address: str, place: Place | None = None) -> str:
        """The connection of an address, if it is one of the project's; an error points at `place`."""
        if "://" in address:
            return self._by_url(address).connection
        if address.startswith(("/", "./", "../", "~")):
            raise _error(place, f"{address!r} is a path", "write it as a URL: file:///folder/table")
        known: Mapping[str, Any] = self._file.connections if self._file else {}
        try:
            connection, _ = split_address(address)
        except ValueError as error:
            raise _error(place, str(error), "an address is connection.table, or a URL") from None
        if connection not in known:
            hint = nearest(connection, known) if known else "there is no project here; write a URL"
            if "/" in address:
                hint = f"a path is written as a URL, from its root: file://{Path(address).absolute()}"
            raise _error(place, f"unknown connection {connection!r} in {address!r}", hint)
        return connection

    def connection(self, name: str) -> Connection:
        """The connection of that name.

        Raises:
            ConfigError: there is none, or its settings are wrong.
        """
        with self._lock:
            if name not in self._open:
                self._open[name] = self._connect(name)
            return self._open[name]

    def close(self) -> None:
        """Close what is open; an error of one does not keep the others open."""
        with self._lock:
            opened, self._open = list(self._open.values()), {}
        errors = [error for connection in opened if (error := _closing(connection))]
        if errors:
            raise errors[0]

    def _connect(self, name: str) -> Connection:
        if name in self._adhoc:
            type_name, settings = self._adhoc[name]
            place = Place(Path(name))
        elif self._file and name in self._file.connections:
            spec = self._file.connections[name]
            type_name, settings = spec.type, dict(spec.settings)
            place = self._file.place("connections", name)
        else:
            known = list(self._file.connections) if self._file else []
            raise ConfigError(f"unknown connection {name!r}", hint=nearest(name, known))
        kind = connector_class(type_name)
        connection: Connection = kind(
            name, validate_settings(kind.settings_model, settings, place), self._root
        )
        return connection

    def _by_url(self, address: str) -> Table:
        scheme = urlsplit(address).scheme
        reader = _SCHEMES.get(scheme)
        if reader is None:
            raise ConfigError(f"can't use {scheme}:// as a table", hint=f"URLs: {', '.join(_SCHEMES)}")
        name, type_name, settings, table = reader(address)
        while self._adhoc.setdefault(name, (type_name, settings)) != (type_name, settings):
            name += "'"  # another user, or other options
        return Table(name, table)


def _closing(connection: Connection) -> Exception | None:
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001 - raised by the caller when all are closed
        return error
    return None


def _error(place: Place | None, what: str, hint: str) -> ConfigError:
    return place.error(what, hint) if place else ConfigError(what, hint=hint)


Found = tuple[str, str, dict[str, Any], str]


def _mongodb(address: str) -> Found:
    parts = urlsplit(address)
    if "@" in parts.path:  # not shown: it may be a part of the password
        raise ConfigError(
            "user or password of this MongoDB URL hold a special character",
            hint="percent-encode it: / is %2F, @ is %40, : is %3A",
        )
    database, dot, collection = unquote(parts.path.lstrip("/")).partition(".")
    if not (database and dot and collection):
        raise ConfigError(
            "this MongoDB URL names no collection", hint="write mongodb://host/database.collection"
        )
    host = parts.netloc.rpartition("@")[2]
    uri = urlunsplit((parts.scheme, parts.netloc, "/", parts.query, ""))
    return f"{parts.scheme}://{host}/{database}", "mongodb", {"uri": uri, "database": database}, collection


def _mysql(address: str) -> Found:
    parts = urlsplit(address)
    if "@" in parts.path:  # not shown: it may be a part of the password
        raise ConfigError(
            "user or password of this MySQL URL hold a special character",
            hint="percent-encode it: / is %2F, @ is %40, : is %3A",
        )
    database, dot, table = unquote(parts.path.lstrip("/")).partition(".")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # its text may hold a part of the password
        host, port = None, None
    if not (database and dot and table and host):
        raise ConfigError(
            "this MySQL URL names no table", hint="write mysql://user:password@host:port/database.table"
        )
    settings: dict[str, Any] = {**dict(parse_qsl(parts.query)), "host": host, "database": database}
    given = {"port": port, "user": parts.username, "password": parts.password}
    settings.update({name: unquote(str(value)) for name, value in given.items() if value})
    place = parts.netloc.rpartition("@")[2]
    return f"mysql://{place}/{database}", "mysql", settings, table


def _postgres(address: str) -> Found:
    parts = urlsplit(address)
    try:
        plain = "@" not in parts.path and (parts.netloc.count(",") > 0 or parts.port != 0)
    except ValueError:
        plain = False
    if not plain:  # not shown: it may be a part of the password
        raise ConfigError(
            "user or password of this PostgreSQL URL hold a special character",
            hint="percent-encode it: / is %2F, @ is %40, : is %3A",
        )
    database, dot, table = parts.path.lstrip("/").partition(".")
    if not (database and dot and table):
        raise ConfigError(
            "this PostgreSQL URL names no table",
            hint="write postgres://user:password@host:port/database.table, or database.schema.table",
        )
    host = parts.netloc.rpartition("@")[2]
    uri = urlunsplit((parts.scheme, parts.netloc, f"/{database}", parts.query, ""))
    return f"postgres://{host}/{unquote(database)}", "postgres", {"uri": uri}, unquote(table)


#: A table of this name is a file (or a folder or pattern of files), any other one a Delta table.
FILE = re.compile(r"[^.]\.(parquet|(csv|jsonl|ndjson|ejson)(\.(gz|zst))?)$", re.IGNORECASE)


#: Endings of files that nobody means to be the name of a Delta table.
_ALIKE = re.compile(
    r"[^.]\.(json|tsv|txt|xml|xlsx?|orc|avro|arrow|feather|bson|zip|(json|tsv|txt)\.gz)$", re.IGNORECASE
)


def _stored(address: str) -> Found:
    parts = urlsplit(address)
    if parts.scheme == "s3" and "@" in parts.netloc:  # not shown either
        raise ConfigError(
            "an s3 URL holds no credentials",
            hint="put them into the environment, or into `storage_options` of a connection in levada.yml",
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            f"{address!r} has a part behind `?` or `#`, which a path can't have",
            hint="percent-encode it: ? is %3F, # is %23; options go into a connection of levada.yml",
        )
    folder, _, table = parts.path.rstrip("/").rpartition("/")
    if not table or (parts.scheme == "file" and parts.netloc not in ("", "localhost")):
        raise ConfigError(
            f"{address!r} names no table", hint="write file:///folder/table or s3://bucket/table"
        )
    if _ALIKE.search(table):
        raise ConfigError(
            f"{address!r} looks like a file of a kind that is not written here",
            hint="files end in .parquet, .csv, .jsonl or .ejson, and those of text in .gz or .zst behind it",
        )
    kind = "files" if FILE.search(table) else "lake"
    if parts.scheme == "file":
        return f"file://{folder}", kind, {"path": unquote(folder) or "/"}, unquote(table)
    path = f"s3://{parts.netloc}{folder}"
    return path, kind, {"path": path}, table


_SCHEMES: Mapping[str, Callable[[str], Found]] = {
    "mongodb": _mongodb,
    "mongodb+srv": _mongodb,
    "mysql": _mysql,
    "postgres": _postgres,
    "postgresql": _postgres,
    "mariadb": _mysql,
    "file": _stored,
    "s3": _stored,
}
