"""One server: small questions, answered as rows. Tables are read by a process of their own (`stream`)."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from levada.connectors.mysql.faults import translate
from levada.connectors.mysql.settings import MysqlSettings
from levada.errors import Retriable

#: What every session begins with: instants in UTC, literals as `conditions` writes them, and an hour for a
#: reader that is slower than the server.
SESSION = (
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION sql_mode = ''",
    "SET SESSION net_write_timeout = 3600",
)
_GREETING = 5


class Server:
    """A MySQL or MariaDB server, as one user sees it.

    Args:
        settings: checked.
        root: the project's folder.
    """

    def __init__(self, settings: MysqlSettings, root: Path) -> None:
        self.settings = settings
        self.url = settings.url(root)
        self._secret = settings.password.get_secret_value()
        self._reached = False

    def reach(self) -> None:
        """Log in once, so that a wrong password is known now.

        Raises:
            Retriable: nobody answers.
            ConfigError: the server does not let us in.
        """
        if self._reached:
            return
        self._greet()
        # Its other calls try to log in for half a minute, whatever the reason they fail for.
        self._guarded(lambda: _driver().partition_sql(self.url, "SELECT 1 AS one", "one", 1))
        self._reached = True

    def rows(self, sql: str, setup: Sequence[str] = (), where: str | None = None) -> list[dict[str, Any]]:
        """The rows of a small result.

        Args:
            sql: the question.
            setup: statements that the same session runs before.
            where: what an error is about; default: the server.

        Raises:
            ConfigError, Retriable, Fatal: by what the server says.
        """
        self.reach()
        before = [*SESSION, *setup]
        ask = lambda: _driver().read_sql(  # noqa: E731
            self.url, sql, return_type="arrow", pre_execution_query=before
        )
        rows: list[dict[str, Any]] = self._guarded(ask, where).to_pylist()
        return rows

    def error(self, text: str, where: str | None = None) -> Exception:
        """What the driver says, as an error of Levada's."""
        return translate(text, where or self.settings.place, self._secret)

    def _guarded(self, ask: Any, where: str | None = None) -> Any:
        try:
            return ask()
        except RuntimeError as error:
            raise self.error(str(error), where) from None  # its text may hold the URL

    def _greet(self) -> None:
        """Wait for the server's first bytes: the driver would wait for them without a limit."""
        address, limit = (self.settings.host, self.settings.port), self.settings.connect_timeout
        try:
            with socket.create_connection(address, limit) as connection:
                connection.settimeout(limit)
                if len(connection.recv(_GREETING)):
                    return
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            reason = "it hung up"
        raise Retriable(
            f"the server does not answer: {reason}",
            where=self.settings.place,
            hint="check that it runs, `host` and `port`",
        )


def _driver() -> Any:
    """The driver's module, told to keep its log to itself."""
    before = os.environ.get("RUST_LOG")
    os.environ["RUST_LOG"] = "off"
    try:
        import connectorx
    finally:
        if before is None:
            del os.environ["RUST_LOG"]
        else:
            os.environ["RUST_LOG"] = before
    return connectorx
