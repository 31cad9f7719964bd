"""What `levada doctor` says of a MongoDB connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from levada.bson import SLOWER, codec
from levada.connectors.base import Finding
from levada.connectors.mongodb.faults import translate
from levada.errors import ConfigError, LevadaError
from levada.observe import counted

if TYPE_CHECKING:
    from pymongo import MongoClient

    from levada.connectors.mongodb.client import MongoConnection

READ = ("find", "listCollections", "listIndexes", "collStats")
WRITE = (*READ, "insert", "update", "remove", "createCollection", "createIndex", "dropCollection")
_OLDEST = (4, 4)
_SKEW_SECONDS = 5.0
_OPLOG_HOURS = 24.0


def diagnose(connection: MongoConnection) -> list[Finding]:
    """Reachability, version, replica set, clock, oplog, rights and the least role; never raises."""
    try:
        client = connection.client
        hello = client.admin.command("hello")
    except (LevadaError, PyMongoError) as error:
        known = error if isinstance(error, LevadaError) else translate(error, connection.describe())
        return [Finding(False, f"{connection.describe()}: {known.what}", known.hint)]
    findings = [Finding(True, f"{connection.describe()} answers")]
    findings.append(Finding(True, f"BSON by the {codec()} codec{'' if codec() == 'native' else SLOWER}"))
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: _version(client),
        lambda: _deployment(hello),
        lambda: _clock(hello),
        lambda: _oplog(client, hello),
        lambda: _rights(connection, client),
    )
    for part in parts:
        try:
            findings += part()
        except PyMongoError as error:
            findings.append(Finding(True, f"not to be seen with this user's rights: {translate(error).what}"))
    return findings


def _version(client: MongoClient[Any]) -> Iterator[Finding]:
    version = client.server_info()["version"]
    old = tuple(map(int, version.split(".")[:2])) < _OLDEST
    yield Finding(not old, f"MongoDB {version}", "upgrade it to 4.4 or newer" if old else None)


def _deployment(hello: dict[str, Any]) -> Iterator[Finding]:
    if hello.get("msg") == "isdbgrid":
        yield Finding(True, "sharded cluster: transactions and change streams")
    elif "setName" in hello:
        members = counted(len(hello.get("hosts", [])), "member")
        text = f"replica set {hello['setName']}, {members}"
        yield Finding(True, f"{text}: transactions and change streams")
        if not hello.get("primary"):
            yield Finding(False, "the replica set has no primary", "wait for the election, or mend the set")
    else:
        yield Finding(
            False,
            "standalone server: no transactions, no change streams; the fence is only looked at before each "
            "write, so a write already on its way can't be refused",
            "start it with --replSet and run rs.initiate() once; one member is enough",
        )


def _clock(hello: dict[str, Any]) -> Iterator[Finding]:
    local = hello["localTime"]
    skew = abs((datetime.now(UTC) - local.replace(tzinfo=local.tzinfo or UTC)).total_seconds())
    hint = "nothing depends on it, but logs of both are hard to compare: use NTP"
    yield Finding(True, f"clocks differ by {skew:.1f} s", hint if skew > _SKEW_SECONDS else None)


def _oplog(client: MongoClient[Any], hello: dict[str, Any]) -> Iterator[Finding]:
    if "setName" not in hello:
        return
    oplog = client["local"]["oplog.rs"]
    ends = [oplog.find_one({}, {"ts": 1}, sort=[("$natural", order)]) for order in (1, -1)]
    if not all(ends):
        return
    first, last = (end["ts"].time for end in ends if end)
    hours = (last - first) / 3600
    size = client["local"].command("collStats", "oplog.rs")
    full = size["size"] > 0.9 * size["maxSize"]
    short = full and hours < _OPLOG_HOURS
    hint = "a stream that is down for longer loses its place: replSetResizeOplog" if short else None
    yield Finding(not short, f"the oplog goes back {hours:.1f} h", hint)


def _rights(connection: MongoConnection, client: MongoClient[Any]) -> Iterator[Finding]:
    status = client.admin.command("connectionStatus", showPrivileges=True)["authInfo"]
    try:
        database = connection.default_database()
    except ConfigError:
        database = "DATABASE"
    users = [f"{user['user']}@{user['db']}" for user in status["authenticatedUsers"]]
    if not users:
        yield Finding(True, "no authentication: every client may do everything")
    else:
        may = _actions(status["authenticatedUserPrivileges"], database)
        for what, wanted in (("read", READ), ("write", WRITE)):
            lacks = [action for action in wanted if action not in may and "anyAction" not in may]
            text = f"{users[0]} may {what} {database}" if not lacks else f"{users[0]} can't {what} {database}"
            yield Finding(not lacks or what == "write", text, f"lacks {', '.join(lacks)}" if lacks else None)
    yield Finding(True, f"least role to read: {role(database, 'levadaRead', READ)}")
    yield Finding(True, f"least role to write: {role(database, 'levadaWrite', WRITE)}")


def _actions(privileges: list[dict[str, Any]], database: str) -> set[str]:
    """What a user may do with every collection of a database."""
    found: set[str] = set()
    for privilege in privileges:
        resource = privilege["resource"]
        everywhere = resource.get("anyResource") or resource.get("db") in ("", database)
        if everywhere and not resource.get("collection"):
            found.update(privilege["actions"])
    return found


def role(database: str, name: str, actions: tuple[str, ...]) -> str:
    """The shell command that creates a role with these actions on a database."""
    privilege = {"resource": {"db": database, "collection": ""}, "actions": list(actions)}
    command = {"role": name, "privileges": [privilege], "roles": []}
    return f"db.getSiblingDB({json.dumps(database)}).createRole({json.dumps(command)})"
