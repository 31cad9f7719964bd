"""What commands print: tables for people, JSON for machines, errors in three lines, progress."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from levada.connectors.base import Estimate
from levada.observe import Event, counted

#: Columns of a table that no terminal shows: wide, so that nothing is folded.
_PIPED = 200
_SILENT = 2.0  # seconds


def show_error(what: str, where: str | None, hint: str | None) -> None:
    """What, where, what to do; on standard error, without secrets."""
    from levada.cli.masking import masked

    click.echo(click.style("error: ", fg="red", bold=True) + masked(what), err=True)
    if where:
        click.echo(f"  where: {masked(where)}", err=True)
    if hint:
        click.echo(f"   hint: {masked(hint)}", err=True)


def show_json(value: Any) -> None:
    """One JSON document on standard output; times in ISO 8601."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
    """A table; `right` names the columns (by number) that are aligned to the right."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    console = Console(highlight=False, markup=False, soft_wrap=False)
    if not console.is_terminal:
        console.width = _PIPED
    console.print(table)


def moment(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}" if at else "-"


def seconds(value: float) -> str:
    """`0.42 s`, `41 s`, `3 m 20 s`."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{int(value) // 60} m {int(value) % 60} s"


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, datetime):
        midnight = (cell.hour, cell.minute, cell.second) == (0, 0, 0)
        return f"{cell:%Y-%m-%d}" if midnight else moment(cell)
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


class Progress:
    """Prints what a run tells: plain lines, and a line that is rewritten where there is a terminal.

    Args:
        quiet: print nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty() and not quiet
        self._rows: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._shown = 0.0
        self._heartbeat = Heartbeat(self._beat, on=self._live)

    def __enter__(self) -> Progress:
        self._heartbeat.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._heartbeat.__exit__()
        if self._live:
            click.echo("\r\033[K", err=True, nl=False)

    def _beat(self) -> None:
        """On a terminal, say of the steps at work that time passes while no row moves."""
        now = time.monotonic()
        at_work = [f"{step} {now - began:.0f} s" for step, began in list(self._started.items())]
        if at_work and now - self._shown > _SILENT:
            click.echo(f"\r\033[K  {', '.join(at_work)}\r", err=True, nl=False)

    def __call__(self, event: Event) -> None:
        if not self._quiet:
            getattr(self, f"_{event.kind}")(event)

    def _line(self, text: str) -> None:
        click.echo(("\r\033[K" if self._live else "") + text, err=True)

    def _run_started(self, event: Event) -> None:
        window = event.details.get("window")
        over = f" over {window}" if window else ""
        again = f", resumes {event.details['resumes']}" if event.details.get("resumes") else ""
        self._line(f"{event.pipeline}{over} (run {event.details['run']}{again})")

    def _run_finished(self, event: Event) -> None:
        self._line(f"{event.details['status']} in {seconds(event.details['seconds'])}")

    def _step_started(self, event: Event) -> None:
        self._rows[str(event.step)] = 0
        self._started[str(event.step)] = time.monotonic()

    def _step_progress(self, event: Event) -> None:
        step = str(event.step)
        self._rows[step] = self._rows.get(step, 0) + event.details["rows"]
        now = time.monotonic()
        if self._live and now - self._shown > 0.2:
            self._shown = now
            rate = self._rows[step] / max(now - self._started.get(step, now), 1e-3)
            click.echo(
                f"\r\033[K  {step}: {counted(self._rows[step], 'row')}, {rate:,.0f}/s", err=True, nl=False
            )

    def _step_retried(self, event: Event) -> None:
        error = event.details["error"]
        self._line(f"  {event.step}: try {event.details['attempt']} after: {error['what']}")

    def _step_skipped(self, event: Event) -> None:
        self._line(f"  {event.step}: kept, done by run {event.details['run']}")

    def _step_finished(self, event: Event) -> None:
        details = event.details
        self._started.pop(str(event.step), None)
        if details["status"] == "failed":
            self._line(f"  {event.step}: failed after {seconds(details['seconds'])}")
            return
        note = f" ({details['note']})" if details.get("note") else ""
        self._line(
            f"  {event.step}: {counted(details['rows'], 'row')} in {seconds(details['seconds'])}{note}"
        )


class Heartbeat:
    """Calls a function every second, on a thread, from `with` to its end.

    Args:
        beat: what is called.
        on: whether it is called at all.
    """

    def __init__(self, beat: Callable[[], None], *, on: bool) -> None:
        self._beat, self._on = beat, on
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Heartbeat:
        if self._on:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._on:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(1):
            self._beat()


class Meter:
    """How a copy gets on: one line that is rewritten where there is a terminal, else a line now and then.

    Within `with` the line on a terminal also tells that time passes while no row moves: a server starts, rows
    are sorted or stored.

    Args:
        quiet: print nothing.
        every: seconds between lines where there is no terminal.
        clock: seconds, monotonic.
    """

    def __init__(
        self, *, quiet: bool = False, every: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._quiet = quiet
        self._clock = clock
        self._live = sys.stderr.isatty() and not quiet
        self._every = 0.2 if self._live else every
        self._total: int | None = None
        self._rows = self._bytes = self._before = 0
        self._started = self._shown = clock()
        self._heartbeat = Heartbeat(self.beat, on=self._live)

    def __enter__(self) -> Meter:
        self._heartbeat.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._heartbeat.__exit__()
        if self._live:
            click.echo("\r\033[K", err=True, nl=False)

    def beat(self) -> None:
        """Say that time passes, if nothing has been said for two seconds."""
        now = self._clock()
        if now - self._shown < _SILENT:
            return
        done = f"{counted(self._rows, 'row')} so far" if self._rows else "no rows yet"
        click.echo(f"\r\033[K{done}, {now - self._started:.0f} s\r", err=True, nl=False)

    def expect(self, estimate: Estimate) -> None:
        """Learn how much there is to do."""
        self._total = estimate.rows

    def __call__(self, rows: int, size: int) -> None:
        """Rows and bytes moved since the last call; rows without bytes were moved by an earlier process."""
        self._rows += rows
        self._bytes += size
        self._before += 0 if size else rows
        now = self._clock()
        if not self._quiet and now - self._shown > self._every:
            self._shown = now
            text = self._text(max(now - self._started, 1e-3))
            click.echo(f"\r\033[K{text}\r" if self._live else text, err=True, nl=not self._live)

    def _text(self, passed: float) -> str:
        rate = (self._rows - self._before) / passed
        text = f"{counted(self._rows, 'row')}, {rate:,.0f} rows/s, {self._bytes / passed / 1e6:,.1f} MB/s"
        if not self._total or not rate:
            return text
        left = max(self._total - self._rows, 0)
        return f"{text}, {min(self._rows / self._total, 1):.0%}, about {seconds(left / rate)} left"
