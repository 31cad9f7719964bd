"""The keeper of one embedded mongod: starts it for its first user, stops it after the last one.

A program of its own (`python -I -S warden.py DIRECTORY MONGOD ARG...`), standard library only. Users are
connections to the Unix socket `warden.sock` in the directory; the kernel closes them however a user dies, so
a killed user neither keeps the server alive nor stops it for the others. The flock on `lock` makes the warden
the only one; `state.json` tells a later warden about a mongod whose warden was killed.

Protocol, JSON lines: the warden greets with `{"port": ..., "pid": ...}` once the server accepts connections,
or `{"error": ...}`; a user says `leave` and is answered `{"stopped": true|false}` once that is so.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ADDRESS_IN_USE = 48  # mongod's exit code
START_SECONDS = 60.0
STOP_SECONDS = 30.0
IDLE_SECONDS = 10.0  # how long the first user may take to come


class Server:
    """A mongod process: a child of this warden, or one adopted from a killed warden."""

    def __init__(self, directory: Path, command: list[str]) -> None:
        self._directory = directory
        self._command = command
        self._state = directory / "state.json"
        self.pid = 0
        self.port = 0

    def start(self) -> str | None:
        """Adopt a living server or start one; returns what went wrong, or None."""
        known = self._known()
        self.port = int(known.get("port", 0))
        if known and alive(int(known["pid"]), str(known.get("started"))):
            self.pid = int(known["pid"])
            return None if self._accepts(STOP_SECONDS) else "the running mongod accepts no connections"
        for _ in range(5):
            configured, self.port = self.port, free_port(self.port)
            code = self._move() if configured not in (0, self.port) else None
            code = self._spawn(self._command) if code is None else code
            if code is None:
                return None
            if code != ADDRESS_IN_USE:
                return f"mongod ended with exit code {code}"
            self.port = configured
        return "no free port on 127.0.0.1"

    def _move(self) -> int | None:
        """Write the new address into the replica set's configuration, as MongoDB documents it: standalone.

        A member that is not at its configured address asks whoever is there now, for up to 30 s.
        """
        at = self._command.index("--replSet")
        code = self._spawn(self._command[:at] + self._command[at + 2 :])
        if code is None:
            set_member_address(self.port)
            self.stop()
        return code

    def alive(self) -> bool:
        return self.pid > 0 and running(self.pid)

    def _known(self) -> dict[str, Any]:
        try:
            known = json.loads(self._state.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) and "pid" in known else {}

    def _spawn(self, command: list[str]) -> int | None:
        """Start mongod; returns its exit code, or None once it accepts connections."""
        child = subprocess.Popen(
            [*command, "--port", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.pid = child.pid
        state = {"format": 1, "port": self.port, "pid": self.pid, "started": started(self.pid)}
        scratch = self._state.with_suffix(".new")
        scratch.write_text(json.dumps(state))
        scratch.replace(self._state)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            code = child.poll()
            if code is not None:
                return code
            if self._accepts(0.0):
                return None
            time.sleep(0.01)
        self.stop()
        return -1

    def _accepts(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when it does not end."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                if not running(self.pid):
                    return
                time.sleep(0.005)


class Warden:
    """Accepts users until the last one has left."""

    def __init__(self, directory: Path, server: Server) -> None:
        self._server = server
        self._path = directory / "warden.sock"
        self._users: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def serve(self) -> None:
        self._path.unlink(missing_ok=True)
        self._listener.bind("warden.sock")
        self._path.chmod(0o600)
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)
        problem = self._server.start()
        if problem:
            self._refuse(problem)
            return
        if self._wait_for_users():
            self._loop()
        self._path.unlink(missing_ok=True)

    def _wait_for_users(self) -> bool:
        if self._selector.select(IDLE_SECONDS):
            return True
        self._server.stop()
        return False

    def _refuse(self, problem: str) -> None:
        self._path.unlink(missing_ok=True)
        self._listener.settimeout(0.5)
        with contextlib.suppress(OSError):
            while True:
                user, _ = self._listener.accept()
                say(user, {"error": problem})
                user.close()

    def _loop(self) -> None:
        while True:
            for key, _ in self._selector.select(1.0):
                if key.fileobj is self._listener:
                    self._welcome()
                elif isinstance(key.fileobj, socket.socket) and self._part(key.fileobj):
                    return
            if not self._server.alive():
                return

    def _welcome(self) -> None:
        user, _ = self._listener.accept()
        self._users.add(user)
        self._selector.register(user, selectors.EVENT_READ)
        say(user, {"port": self._server.port, "pid": self._server.pid})

    def _part(self, user: socket.socket) -> bool:
        """A user leaves; returns whether it was the last one."""
        try:
            polite = user.recv(64) != b""
        except OSError:
            polite = False
        self._selector.unregister(user)
        self._users.discard(user)
        last = not self._users and not self._waiting()
        if last:
            self._path.unlink(missing_ok=True)
            self._server.stop()
        if polite:
            say(user, {"stopped": last})
        user.close()
        return last

    def _waiting(self) -> bool:
        return any(key.fileobj is self._listener for key, _ in self._selector.select(0))


def say(user: socket.socket, message: dict[str, object]) -> None:
    """Send one line; a user that is gone does not matter."""
    with contextlib.suppress(OSError):
        user.sendall(json.dumps(message).encode() + b"\n")


def set_member_address(port: int) -> None:
    """Update `local.system.replset` of a standalone mongod, by one OP_MSG (MongoDB wire protocol)."""
    change = _document(_text("members.0.host", f"127.0.0.1:{port}"))
    statement = _document(_nested("q", _document()), _nested("u", _document(_nested("$set", change))))
    statements = _nested("updates", _document(_nested("0", statement)), kind=b"\x04")
    command = _document(_text("update", "system.replset"), statements, _text("$db", "local"))
    message = struct.pack("<iiiiiB", 21 + len(command), 1, 0, 2013, 0, 0) + command
    with socket.create_connection(("127.0.0.1", port), START_SECONDS) as connection:
        connection.sendall(message)
        connection.recv(4096)


def _document(*elements: bytes) -> bytes:
    body = b"".join(elements) + b"\0"
    return struct.pack("<i", len(body) + 4) + body


def _text(name: str, value: str) -> bytes:
    data = value.encode() + b"\0"
    return b"\x02" + name.encode() + b"\0" + struct.pack("<i", len(data)) + data


def _nested(name: str, document: bytes, kind: bytes = b"\x03") -> bytes:
    return kind + name.encode() + b"\0" + document


def free_port(wanted: int) -> int:
    """`wanted` if nobody listens there, else one below the ports that outgoing connections get."""
    others = random.sample(range(20_000, 32_768), 20)
    for port in (wanted or others[0], *others, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    return 0


def started(pid: int) -> str | None:
    """When a process started, in the system's own unit: with the pid it names one process for good."""
    stat = _stat(pid)
    return stat[19] if stat else None


def running(pid: int) -> bool:
    """Whether a process lives; reaps it if it was a child."""
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(pid, os.WNOHANG)[0] != pid
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    stat = _stat(pid)
    # Threads of a process whose first thread has ended may still hold its port and its files.
    return not (stat and stat[0] == "Z" and int(stat[17]) <= 1)


def _stat(pid: int) -> list[str]:
    """Fields of `/proc/PID/stat` from the state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def alive(pid: int, start: str) -> bool:
    """Whether the process that got `pid` at `start` still lives (pids are used again)."""
    return running(pid) and started(pid) == start


def main(directory: Path, command: list[str]) -> None:
    os.chdir(directory)  # keeps the socket's name within the 107 bytes it may have
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another warden is at it
        if os.fork():
            return  # whoever started the warden is not its parent, and the lock is taken
        server = Server(directory, command)
        try:
            Warden(directory, server).serve()
        finally:
            if server.alive():
                server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
