"""A REST API, as a source."""

from __future__ import annotations

from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from levada.config import nearest
from levada.connectors.base import Finding, Query, Table
from levada.connectors.rest.client import Client, need_dlt
from levada.connectors.rest.settings import Resource, RestSettings
from levada.connectors.rest.source import RestSource
from levada.connectors.rest.transport import Clock
from levada.errors import ConfigError, LevadaError
from levada.observe import counted


class RestConnection:
    """A connection of `type: rest`.

    Args:
        name: in the project file.
        settings: checked.
        root: the project's folder; nothing is kept there.
        clock: time, and waiting for it.
    """

    kind = "rest"
    settings_model = RestSettings
    #: Reads are requests that someone counts: nothing is read only to be counted.
    metered = True

    def __init__(self, name: str, settings: RestSettings, root: Path, clock: Clock | None = None) -> None:  # noqa: ARG002
        self.name = name
        self.settings = settings
        self._client = Client(settings, clock or Clock())

    def describe(self) -> str:
        """The API's URL."""
        return self.settings.base_url

    def source(self, table: Table, query: Query) -> RestSource:
        """What reads a resource.

        Raises:
            ConfigError: there is no such resource.
        """
        return RestSource(self._client, table, self._resource(table.name), query)

    def sink(self, table: Table) -> NoReturn:
        """There is none.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "a connection of type rest can only be read from",
            where=str(table),
            hint="write into a table of another connection; a `python` step can call an API",
        )

    def key(self, table: Table) -> tuple[str, ...]:
        """The `key` of a resource.

        Raises:
            ConfigError: there is no such resource.
        """
        return self._resource(table.name).key

    def tables(self) -> list[str]:
        """Names of the resources."""
        return sorted(self.settings.resources)

    def diagnose(self) -> list[Finding]:
        """Version, and whether the first page of each resource can be read; never raises."""
        try:
            need_dlt()
        except LevadaError as error:
            return [Finding(False, f"{self.name}: {error.what}", error.hint)]
        findings = [Finding(True, f"{self.name}: dlt {version('dlt')}, {self.describe()}")]
        findings += [self._tried(name) for name in self.tables()]
        return [*findings, Finding(True, "rights needed: read each resource")]

    def close(self) -> None:
        """Forget the secrets; no connection stays open between reads."""
        self._client.close()

    def _resource(self, name: str) -> Resource:
        resources = self.settings.resources
        if name not in resources:
            raise ConfigError(
                f"there is no resource {name!r}",
                where=f"{self.name}.{name}",
                hint=nearest(name, list(resources)) or "add it under `resources:` of the connection",
            )
        return resources[name]

    def _tried(self, name: str) -> Finding:
        where = f"{self.name}.{name}"
        pages = self._client.pages(self.settings.resources[name], {}, {}, where, retries=0)
        try:
            with closing(pages):
                page = next(pages, None)
        except LevadaError as error:
            return Finding(False, f"{name}: {error.what}", error.hint)
        return Finding(True, f"{name}: {counted(len(page.rows) if page else 0, 'row')} on the first page")
