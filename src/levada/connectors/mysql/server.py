"""One server: small questions, answered as rows. Tables are read by a process of their own (`stream`)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from levada.connectors.mysql.faults import translate
from levada.connectors.mysql.questions import Late, Questions, Refused, questions
from levada.connectors.mysql.settings import MysqlSettings
from levada.errors import Retriable

#: What every session begins with: no right to write, instants in UTC, literals as `conditions` writes them,
#: and an hour for a reader that is slower than the server.
SESSION = (
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION sql_mode = ''",
    "SET SESSION net_write_timeout = 3600",
)
#: Capability that the server names in its greeting: it can encrypt.
#: Source: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html
_TLS = 0x0800
_HEADER = 4


class Server:
    """A MySQL or MariaDB server, as one user sees it.

    Args:
        settings: checked.
        root: the project's folder.
    """

    def __init__(self, settings: MysqlSettings, root: Path) -> None:
        self.settings = settings
        self._root = root
        self._secret = settings.password.get_secret_value()
        self._url: str | None = None
        self._lock = threading.RLock()
        self._questions: Questions | None = None

    @property
    def url(self) -> str:
        """The driver's URL, with the password in it: never to be shown.

        The first use logs in, so that a wrong password is known now: the driver's other calls try for half
        a minute, whatever the reason they fail for.

        Raises:
            Retriable: nobody answers.
            ConfigError: the server does not let us in.
        """
        with self.asking():
            if self._url is None:
                url = self.settings.url(self._root, encrypted=_can_encrypt(self._greeting()))
                self._asked(url, None, (), self.settings.connect_timeout, self.settings.place)
                self._url = url
            return self._url

    def rows(self, sql: str, setup: Sequence[str] = (), where: str | None = None) -> list[dict[str, Any]]:
        """The rows of a small result.

        Args:
            sql: the question.
            setup: statements that the same session runs before.
            where: what an error is about; default: the server.

        Raises:
            ConfigError, Retriable, Fatal: by what the server says.
        """
        with self.asking():
            place, limit = where or self.settings.place, self.settings.read_timeout
            return self._asked(self.url, sql, [*SESSION, *setup], limit, place)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """One process for all questions of a block; others of this connection wait meanwhile."""
        with self._lock:
            if self._questions is not None:
                yield
                return
            with questions() as asked:
                self._questions = asked
                try:
                    yield
                finally:
                    self._questions = None

    def error(self, text: str, where: str | None = None) -> Exception:
        """What the driver says, as an error of Levada's."""
        return translate(text, where or self.settings.place, self._secret)

    def _asked(
        self, url: str, sql: str | None, setup: Sequence[str], limit: float | None, where: str
    ) -> list[dict[str, Any]]:
        assert self._questions
        try:
            return self._questions.ask(url, sql, setup, limit)
        except Refused as error:
            raise self.error(str(error), where) from None  # its text may hold the URL
        except Late:
            what = "does not answer" if sql is None else "has not answered"
            raise Retriable(
                f"the server {what} in {limit:g} seconds",
                where=where,
                hint="check that it runs and is not held up; raise "
                + ("`connect_timeout`" if sql is None else "`read_timeout`"),
            ) from None
        except Retriable as error:
            raise error.located(where) from None

    def _greeting(self) -> bytes:
        """The server's first bytes: the driver would wait for them without a limit."""
        address, limit = (self.settings.host, self.settings.port), self.settings.connect_timeout
        try:
            with socket.create_connection(address, limit) as connection:
                connection.settimeout(limit)
                greeting = connection.recv(4096)
        except OSError as error:
            greeting, reason = b"", error.strerror or str(error)
        else:
            reason = "it hung up"
        if greeting:
            return greeting
        raise Retriable(
            f"the server does not answer: {reason}",
            where=self.settings.place,
            hint="check that it runs, `host` and `port`",
        )


def _can_encrypt(greeting: bytes) -> bool:
    """Whether the server's capabilities have TLS: they stand 13 bytes behind its version."""
    _, _, rest = greeting[_HEADER + 1 :].partition(b"\0")
    return bool(int.from_bytes(rest[13:15], "little") & _TLS)
