"""One server: small questions, answered as rows. Tables are read by a process of their own (`stream`)."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from levada.connectors.mysql.faults import translate
from levada.connectors.mysql.settings import MysqlSettings
from levada.errors import ConfigError, Retriable

#: What every session begins with: instants in UTC, literals as `conditions` writes them, and an hour for a
#: reader that is slower than the server.
SESSION = (
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

    @property
    def url(self) -> str:
        """The driver's URL, with the password in it: never to be shown.

        The first use logs in, so that a wrong password is known now: the driver's other calls try for half
        a minute, whatever the reason they fail for.

        Raises:
            Retriable: nobody answers.
            ConfigError: the server does not let us in.
        """
        if self._url is None:
            url = self.settings.url(self._root, encrypted=_can_encrypt(self._greeting()))
            self._guarded(lambda: _driver().partition_sql(url, "SELECT 1 AS one", "one", 1))
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
        url, before = self.url, [*SESSION, *setup]
        ask = lambda: _driver().read_sql(  # noqa: E731
            url, sql, return_type="arrow", pre_execution_query=before
        )
        found = self._guarded(ask, where).to_pylist()
        return [{name: _as_text(value) for name, value in row.items()} for row in found]

    def error(self, text: str, where: str | None = None) -> Exception:
        """What the driver says, as an error of Levada's."""
        return translate(text, where or self.settings.place, self._secret)

    def _guarded(self, ask: Any, where: str | None = None) -> Any:
        try:
            return ask()
        except RuntimeError as error:
            raise self.error(str(error), where) from None  # its text may hold the URL

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


def _as_text(value: Any) -> Any:
    """MySQL 8 shows types as long texts, which a driver may take for bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _can_encrypt(greeting: bytes) -> bool:
    """Whether the server's capabilities have TLS: they stand 13 bytes behind its version."""
    _, _, rest = greeting[_HEADER + 1 :].partition(b"\0")
    return bool(int.from_bytes(rest[13:15], "little") & _TLS)


def _driver() -> Any:
    """The driver's module, told to keep its log to itself.

    Raises:
        ConfigError: it isn't installed.
    """
    before = os.environ.get("RUST_LOG")
    os.environ["RUST_LOG"] = "off"
    try:
        import connectorx
    except ImportError as error:
        raise ConfigError("mysql needs connectorx", hint="pip install 'levada[mysql]'") from error
    finally:
        if before is None:
            del os.environ["RUST_LOG"]
        else:
            os.environ["RUST_LOG"] = before
    return connectorx
