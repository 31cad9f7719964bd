from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database

from levada.connectors.base import Fence, Mode, Query, Table, Write
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.connectors.mongodb.faults import translated
from levada.errors import ConfigError, Fatal, Fenced, LevadaError, Retriable
from levada.positions import Position

from .conftest import DAY, Start, batch

ROWS = Table("source", "rows", ("_id",), "at")
OUT = Table("source", "out", ("_id",), "at")
OWNER = "daily/load"
Document = dict[str, Any]


def connect(uri: str, tmp_path: Path, **settings: Any) -> MongoConnection:
    given = {"uri": uri, "database": "shop", "server_selection_timeout": 1, **settings}
    return MongoConnection("shop", MongoSettings.model_validate(given), tmp_path)


def rows(n: int) -> list[Document]:
    return [
        {"_id": number, "at": DAY.start + timedelta(milliseconds=number), "x": "x" * 200}
        for number in range(n)
    ]


def read(connection: MongoConnection) -> int:
    return sum(each.data.num_rows for each in connection.source(ROWS, Query(canonical=True)).read(None, None))


def test_a_server_that_is_down_is_retriable_and_names_it(tmp_path: Path) -> None:
    connection = connect("mongodb://127.0.0.1:1", tmp_path, server_selection_timeout=0.2)
    with pytest.raises(Retriable, match=r"127\.0\.0\.1:1") as caught:
        read(connection)
    assert "levada doctor" in str(caught.value)
    with pytest.raises(Retriable):
        connection.sink(OUT).open(Write(OUT, Mode.APPEND, OWNER))
    with pytest.raises(Retriable):
        connection.sink(OUT).position(OWNER)
    (finding,) = connection.diagnose()
    assert not finding.ok
    assert "127.0.0.1:1" in finding.what
    connection.close()


@pytest.fixture
def guarded(start: Start) -> str:
    """A mongod with authentication: `root` may do all, `ana` may read shop."""
    host = start("--auth")
    with MongoClient(f"mongodb://{host}") as client:
        client.admin.command("createUser", "root", pwd="wurzel", roles=["root"])
    with MongoClient(f"mongodb://root:wurzel@{host}") as client:
        client.admin.command("createUser", "ana", pwd="geheim", roles=[{"role": "read", "db": "shop"}])
        client["shop"]["rows"].insert_one({"_id": 1})
    return host


def test_a_wrong_password_is_a_configuration_error_without_the_password(guarded: str, tmp_path: Path) -> None:
    connection = connect(f"mongodb://{guarded}", tmp_path, username="ana", password="falsch")
    with pytest.raises(ConfigError, match="authentication failed") as caught:
        read(connection)
    assert "check username, password" in str(caught.value)
    shown = repr(connection) + str(caught.value) + str(connection.diagnose())
    assert "falsch" not in shown
    connection.close()


def test_missing_rights_name_the_role_that_is_needed(guarded: str, tmp_path: Path) -> None:
    connection = connect(f"mongodb://ana:geheim@{guarded}/?authSource=admin", tmp_path)
    assert read(connection) == 1
    with pytest.raises(Fatal, match="not authorized") as caught:
        connection.sink(OUT).open(Write(OUT, Mode.APPEND, OWNER))
    assert "least role" in str(caught.value)
    text = "\n".join(finding.what for finding in connection.diagnose())
    assert "ana@admin may read shop" in text
    assert "ana@admin can't write shop" in text
    assert "geheim" not in text
    connection.close()


def test_the_least_roles_of_the_doctor_are_enough_and_no_more(guarded: str, tmp_path: Path) -> None:
    from levada.connectors.mongodb.doctor import READ, WRITE

    with MongoClient(f"mongodb://root:wurzel@{guarded}") as client:
        resource = {"db": "shop", "collection": ""}
        for role, actions in (("reads", READ), ("writes", WRITE)):
            privilege = {"resource": resource, "actions": list(actions)}
            client["shop"].command("createRole", role, privileges=[privilege], roles=[])
            client["shop"].command("createUser", role, pwd="geheim", roles=[role])
    reader = connect(f"mongodb://reads:geheim@{guarded}/?authSource=shop", tmp_path)
    assert read(reader) == 1
    with pytest.raises(Fatal, match="not authorized"):
        reader.sink(OUT).open(Write(OUT, Mode.APPEND, OWNER))
    writer = connect(f"mongodb://writes:geheim@{guarded}/?authSource=shop", tmp_path)
    for mode in Mode:
        write = writer.sink(OUT).open(Write(OUT, mode, OWNER, ("_id",), DAY))
        write.write(batch(*rows(3000)))
        assert write.commit(None).rejected == ()
    reader.close()
    writer.close()


@pytest.mark.parametrize("mode", list(Mode))
def test_a_standalone_server_takes_every_mode_and_the_doctor_says_what_it_lacks(
    start: Start, tmp_path: Path, mode: Mode
) -> None:
    connection = connect(f"mongodb://{start()}", tmp_path)
    sink = connection.sink(OUT)
    for sequence in (1, 2):
        writer = sink.open(Write(OUT, mode, OWNER, ("_id",), DAY, Fence(sequence)))
        writer.write(batch(*rows(3000)))
        assert writer.commit(Position({}, sequence)).rows == 3000
    with pytest.raises(Fenced):
        sink.open(Write(OUT, mode, OWNER, ("_id",), DAY, Fence(1)))
    assert connection.database()["out"].count_documents({}) == 3000
    lacks = [finding for finding in connection.diagnose() if not finding.ok]
    assert any("no transactions" in finding.what for finding in lacks)
    connection.close()


def step_down(client: MongoClient[Document]) -> None:
    client.admin.command("replSetStepDown", 1, force=True)


@pytest.fixture
def own(mongod: str, tmp_path: Path) -> Iterator[MongoConnection]:
    """A replica set that nobody else depends on."""
    settings = MongoSettings.model_validate({"uri": "embedded", "database": "shop"})
    connection = MongoConnection("shop", settings, tmp_path)
    yield connection
    connection.close()


def wait_for_primary(client: MongoClient[Document]) -> None:
    deadline = time.monotonic() + 30
    while not client.admin.command("hello").get("isWritablePrimary"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_step_down_in_the_middle_of_a_write_loses_and_doubles_nothing(
    own: MongoConnection,
) -> None:
    writer = own.sink(OUT).open(Write(OUT, Mode.REPLACE_WINDOW, OWNER, window=DAY, fence=Fence(1)))
    data = rows(40_000)
    thread = threading.Thread(target=step_down, args=(own.client,))
    for at in range(0, len(data), 4000):
        writer.write(batch(*data[at : at + 4000]))
        if at == 12_000:
            thread.start()
    written = writer.commit(Position({}, 1))
    thread.join()
    assert (written.rows, written.rejected) == (40_000, ())
    assert own.database()["out"].count_documents({}) == 40_000


def test_a_step_down_in_the_middle_of_a_read_gives_all_or_says_so(
    own: MongoConnection,
) -> None:
    own.database()["rows"].insert_many(rows(20_000))
    seen = 0
    try:
        for each in own.source(ROWS, Query(canonical=True, batch_rows=100)).read(None, None):
            seen += each.data.num_rows
            if seen == 1000:
                step_down(own.client)
    except Retriable:
        wait_for_primary(own.client)
        seen = read(own)
    assert seen == 20_000


VICTIM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from tests.connectors.mongodb.test_faults import *
connection = connect(sys.argv[1], Path(sys.argv[2]), database=sys.argv[5])
mode = Mode(sys.argv[3])
writer = connection.sink(OUT).open(Write(OUT, mode, OWNER, ("_id",), DAY, Fence(int(sys.argv[6]))))
print("open", flush=True)
data = rows(30_000)
for at in range(0, len(data), 1000):
    writer.write(batch(*data[at:at + 1000]))
writer.commit(Position({}, int(sys.argv[6])))
"""


@pytest.mark.parametrize("mode", list(Mode))
def test_killed_in_the_middle_of_a_long_write_and_run_again_is_the_same(
    mongod: str, connection: MongoConnection, db: Database[Document], tmp_path: Path, mode: Mode
) -> None:
    chance = random.Random(f"kill {mode}")
    root = Path(__file__).parents[3]
    data = rows(30_000)
    for epoch in (1, 2):
        command = [sys.executable, "-c", VICTIM, mongod, str(tmp_path), mode.value, str(root), db.name]
        with subprocess.Popen([*command, str(epoch)], stdout=subprocess.PIPE) as victim:
            assert victim.stdout is not None
            assert victim.stdout.readline() == b"open\n"
            time.sleep(chance.uniform(0.02, 0.3))
            victim.kill()
        done = connection.sink(OUT).position(OWNER)
        if done is None or done.sequence < epoch:  # else it was quicker than the kill, and the runner goes on
            writer = connection.sink(OUT).open(Write(OUT, mode, OWNER, ("_id",), DAY, Fence(epoch)))
            writer.write(batch(*data))
            writer.commit(Position({}, epoch))
        found = list(db["out"].find({}, {"_levada_window": 0}).sort("_id"))
        assert found == data
        assert [name for name in db.list_collection_names() if "stage" in name] == []


def test_the_doctor_finds_a_healthy_replica_set(connection: MongoConnection) -> None:
    findings = connection.diagnose()
    text = "\n".join(finding.what for finding in findings)
    busy = "the oplog goes back"  # a server that all tests share may have written it full
    assert all(finding.ok for finding in findings if busy not in finding.what)
    for part in ("MongoDB 6.", "replica set levada, 1 member:", "clocks differ", "the oplog goes back"):
        assert part in text
    assert 'createRole({"role": "levadaRead"' in text
    assert 'createRole({"role": "levadaWrite"' in text


def test_every_error_is_one_of_ours(start: Start, tmp_path: Path) -> None:
    connection = connect("mongodb://127.0.0.1:1/?replicaSet=x&tls=maybe", tmp_path)
    with pytest.raises(LevadaError):
        read(connection)
    connection.close()


def test_a_server_that_is_no_member_of_its_replica_set_yet_is_worth_another_try(start: Start) -> None:
    address = start("--replSet", "late")
    with (
        MongoClient[Document](f"mongodb://{address}/?directConnection=true") as client,
        client.start_session() as session,
        pytest.raises(Retriable, match="never initiated"),
        translated("shop"),
    ):
        client["shop"]["rows"].find_one({}, session=session)
