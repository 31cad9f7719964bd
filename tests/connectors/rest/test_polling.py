"""Hourly polls of an API through a pipeline: what is stored is what the server has."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from levada.project import Project, load

from ...rest_server import Api, Fault, Row  # noqa: TID252

START = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
PROJECT = """
format: 1
name: test
connections:
  db: {{type: mongodb, uri: '{uri}', database: {database}}}
  lake: {{type: lake, path: lake}}
  payments:
    type: rest
    base_url: {url}/v1
    auth: {{type: bearer, token: hidden}}
    retries: 0
    resources:
      payments:
        path: /cursor
        data: items
        paginator: {{type: cursor, next: next}}
        key: id
        since: {{param: updated_after, field: updated_at}}
        until: {{param: updated_before}}
        columns: {{amount: decimal(2)}}
      recent:
        path: /numbered
        data: items
        paginator: {{type: page_number, more: more}}
        key: id
        since: {{param: updated_after, field: updated_at}}
state: {{connection: db, database: {database}}}
tables:
  lake.windows: {{time: updated_at, key: [id], partition_by: [day(updated_at)]}}
  db.windows: {{time: updated_at, key: [id]}}
  payments.payments: {{time: updated_at}}
pipelines:
  poll:
    steps:
      pull:
        copy:
          from: payments.{resource}
          to: {to}.payments
          mode: upsert
          key: id
          since: updated_at
          start: 2026-11-24
          overlap: 2h
          {more}
  windows:
    window: hour
    steps:
      pull: {{copy: {{from: payments.payments, to: {to}.windows, mode: replace_window}}}}
"""


class Clock:
    def __init__(self) -> None:
        self.now = START + timedelta(minutes=35)

    def __call__(self) -> datetime:
        return self.now


def payment(number: int, minutes: float, amount: str = "1.10") -> Row:
    when = START + timedelta(minutes=minutes)
    return {
        "id": f"pay_{number}",
        "updated_at": f"{when:%Y-%m-%dT%H:%M:%S}Z",
        "amount": amount,
        "card": {"brand": "Čárka", "last4": "4242"},
        "refunds": [{"n": 1}, {"n": 2}] if number % 3 == 0 else [],
        "note": None if number % 2 else "🧾",
    }


Make = Callable[..., Project]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, mongod: str, database: str, api: Api, clock: Clock) -> Iterator[Make]:
    opened: list[Project] = []

    def make_project(to: str, resource: str = "payments", more: str = "") -> Project:
        places = {"uri": mongod, "database": database, "url": api.url, "to": to}
        text = PROJECT.format(**places, resource=resource, more=more)
        (tmp_path / "levada.yml").write_text(text)
        opened.append(load(tmp_path, env={}, clock=clock))
        return opened[-1]

    yield make_project
    for project in opened:
        project.close()


def stored(project: Project, address: str) -> dict[str, tuple[str, str]]:
    """Id -> time and amount; every row must be there once."""
    found = project.read(address).read_all().to_pylist()
    times = {row["id"]: f"{row['updated_at']:%Y-%m-%dT%H:%M:%S}Z" for row in found}
    assert len(times) == len(found)
    return {row["id"]: (times[row["id"]], str(row["amount"])) for row in found}


def truth(api: Api) -> dict[str, tuple[str, str]]:
    return {row["id"]: (row["updated_at"], row["amount"]) for row in api.rows}


def poll(project: Project) -> dict[str, Any]:
    run = project.run("poll")
    assert run.status == "done", run.error
    return dict(run.steps["pull"].values)


@pytest.mark.parametrize("to", ["lake", "db"])
def test_hourly_polls_with_late_rows_end_with_what_the_server_has(
    make: Make, api: Api, clock: Clock, to: str
) -> None:
    project = make(to)
    api.add(*(payment(n, n) for n in range(25)))
    poll(project)
    assert stored(project, f"{to}.payments") == truth(api)

    clock.now += timedelta(hours=1)
    api.add(*(payment(n, 40 + n - 25) for n in range(25, 40)))
    api.add(payment(98, 20), payment(99, -30))  # of the hour before, and seen only now
    api.rows[3] = payment(3, 50, "0.00")
    poll(project)
    assert stored(project, f"{to}.payments") == truth(api)

    clock.now += timedelta(hours=1)
    api.faults = [Fault(status=500)]
    assert project.run("poll").status == "failed"
    poll(project)
    assert stored(project, f"{to}.payments") == truth(api)
    row = project.read(f"{to}.payments", where="id = 'pay_6'").read_all().to_pylist()[0]
    assert row["card"] == {"brand": "Čárka", "last4": "4242"}
    assert row["refunds"] == [{"n": 1}, {"n": 2}]
    assert row["note"] == "🧾"


def test_a_row_that_does_not_fit_goes_to_quarantine_and_the_others_are_stored(make: Make, api: Api) -> None:
    project = make("lake")
    without_time = {key: value for key, value in payment(3, 3).items() if key != "updated_at"}
    api.add(payment(1, 1), payment(2, 2, "1.005"), payment(4, 4))
    api.faults = [Fault(text=lambda text: text.replace("}], ", f"}}, {json.dumps(without_time)}], ", 1))]
    values = poll(project)
    assert (values["rows"], values["quarantined"]) == (2, 2)
    assert set(stored(project, "lake.payments")) == {"pay_1", "pay_4"}


def test_a_catch_up_in_steps_keeps_the_steps_that_were_done(make: Make, api: Api, clock: Clock) -> None:
    project = make("lake", more="step: 1h")
    api.page_rows = 50
    api.add(*(payment(n, 3 * n - 31) for n in range(22)))
    api.faults = [*[None] * 10, Fault(status=500)]
    assert project.run("poll").status == "failed"
    assert len(api.asked) == 11
    before = {name: row for name, row in truth(api).items() if row[0] < "2026-11-24T10"}
    assert 0 < len(before) < 22
    assert stored(project, "lake.payments") == before
    api.asked.clear()
    poll(project)
    assert len(api.asked) == 1
    assert stored(project, "lake.payments") == truth(api)


def test_a_poll_asks_for_the_increment_alone(make: Make, api: Api, clock: Clock) -> None:
    project = make("lake")
    api.add(*(payment(n, n) for n in range(25)))
    poll(project)
    assert len(api.asked) == 3
    clock.now += timedelta(hours=5)
    poll(project)
    clock.now += timedelta(hours=5)
    api.asked.clear()
    poll(project)
    assert [dict(asked.query) for asked in api.asked] == [
        {"updated_after": "2026-11-24T13:03:59Z", "updated_before": "2026-11-24T20:04:00Z"}
    ]


@pytest.mark.parametrize("to", ["lake", "db"])
def test_rows_inserted_and_changed_while_pages_are_read_are_stored_as_the_server_has_them(
    make: Make, api: Api, clock: Clock, to: str
) -> None:
    project = make(to, "recent")
    api.newest_first = True
    api.add(*(payment(n, n / 2) for n in range(40)))
    changes = iter(range(100, 120))

    def move(_: int) -> None:
        number = next(changes)
        api.add(payment(number, number / 4, "2.20"))
        api.rows[0]["amount"] = str(number)

    api.before_page = move
    poll(project)
    api.before_page = lambda _: None
    clock.now += timedelta(hours=1)
    poll(project)
    assert stored(project, f"{to}.payments") == truth(api)


@pytest.mark.parametrize("to", ["lake", "db"])
def test_a_window_run_again_holds_the_servers_rows_of_that_window(
    make: Make, api: Api, clock: Clock, to: str
) -> None:
    project = make(to)
    api.after_inclusive, api.before_inclusive = False, True
    api.add(*(payment(n, 3 * n - 31) for n in range(40)))
    for _ in range(2):
        run = project.run("windows", window="2026-11-24T09")
        assert run.status == "done", run.error
        inside = {
            name: row for name, row in truth(api).items() if "2026-11-24T09" <= row[0] < "2026-11-24T10"
        }
        assert len(inside) > 15
        assert stored(project, f"{to}.windows") == inside
        del api.rows[15]
        api.add(payment(77, 12))


RUN = """
import sys
from datetime import datetime
from pathlib import Path
from levada.project import load
with load(Path(sys.argv[1]), env={}, clock=lambda: datetime.fromisoformat(sys.argv[2])) as project:
    run = project.run("poll")
    assert run.status == "done", run.error
"""


@pytest.mark.parametrize(
    ("to", "page", "delay"),
    [("lake", 1, 0), ("lake", 3, 0), ("lake", 3, 0.02), ("lake", 3, 0.1), ("db", 1, 0), ("db", 3, 0.02)],
)
def test_a_poll_that_is_killed_is_made_up_for_by_the_next(
    make: Make, api: Api, clock: Clock, to: str, page: int, delay: float
) -> None:
    """Killed before a page is answered, or so long after the last one: between fetching and committing."""
    project = make(to)
    api.add(*(payment(n, n) for n in range(15)))
    poll(project)
    clock.now += timedelta(hours=1)
    api.add(*(payment(n, 36 + (n - 15) * 2) for n in range(15, 30)))
    api.asked.clear()
    reached, gone = threading.Event(), threading.Event()

    def kill(number: int) -> None:
        if number == page:
            reached.set()
            assert delay or gone.wait(30)

    api.before_page = kill
    command = [sys.executable, "-c", RUN, str(project.root), clock.now.isoformat()]
    victim = subprocess.Popen(command)
    try:
        assert reached.wait(60)
        time.sleep(delay)
    finally:
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait(10)
        gone.set()
    api.before_page = lambda _: None
    api.add(payment(90, 70))
    clock.now += timedelta(hours=1)
    poll(project)
    assert stored(project, f"{to}.payments") == truth(api)
