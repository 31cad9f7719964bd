"""The shop's daily run while its MongoDB goes away, in several ways."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from shop import DAY, Document, Shop, generator, truth

from levada.errors import Retriable
from levada.observe import Event
from levada.project import load

from .conftest import Server, until


@pytest.fixture
def shop(server: Server, tmp_path: Path) -> Iterator[Shop]:
    with MongoClient[Document](server.uri, tz_aware=True) as client:
        made = Shop(server.uri, "shop", tmp_path / "shop", client)
        made.prepare()
        generator().fill(
            made.database, transactions_per_day=30_000, days=[DAY], customers=300, products=50, seed=5
        )
        yield made


def staged(shop: Shop) -> set[Any]:
    return {document["_id"] for document in shop.database.staging_transactions.find({}, {"_id": 1})}


def be_impatient(shop: Shop) -> None:
    """Wait a second for the server, and don't try again."""
    text = (shop.folder / "levada.yml").read_text()
    text = text.replace("type: mongodb,", "type: mongodb, server_selection_timeout: 1,")
    (shop.folder / "levada.yml").write_text(text.replace("attempts: 3", "attempts: 0"))


def test_a_step_down_in_the_middle_is_survived_by_retrying(shop: Shop) -> None:
    process = shop.start("run", "daily", "--window", str(DAY))
    until(lambda: shop.database.staging_transactions.estimated_document_count() > 0)
    for _ in range(2):
        with suppress(AutoReconnect):
            shop.client.admin.command("replSetStepDown", 1, force=True)
        until(lambda: bool(shop.client.admin.command("hello")["isWritablePrimary"]))
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, out + err
    assert staged(shop) == set(truth(shop.database).staged)


def test_a_server_killed_in_the_middle_fails_the_run_and_the_next_one_ends_right(
    shop: Shop, server: Server
) -> None:
    be_impatient(shop)
    process = shop.start("run", "daily", "--window", str(DAY))
    until(lambda: shop.database.staging_transactions.estimated_document_count() > 0)
    server.kill()
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert f"127.0.0.1:{server.port}" in err
    server.start()
    code, out, err = shop.daily()
    assert code == 0, out + err
    assert staged(shop) == set(truth(shop.database).staged)
    with shop.project() as project:
        assert project.runs("daily")[0].status == "done"


def test_a_run_against_a_server_that_is_down_says_so_and_writes_nothing(shop: Shop, server: Server) -> None:
    server.kill()
    be_impatient(shop)
    code, _, err = shop.daily()
    assert code == 1
    assert "levada doctor" in err
    assert len(err.strip().splitlines()) == 3
    code, out, _ = shop.levada("doctor")
    assert code == 1
    assert "FAIL" in out
    server.start()
    assert staged(shop) == set()


def test_no_further_step_is_started_while_the_ledger_is_out_of_reach(server: Server, tmp_path: Path) -> None:
    assert server.process is not None
    call = f'{{call: "leaving:go", args: {{pid: {server.process.pid}}}}}'
    steps = "".join(f"      s{number}: {{needs: [], python: {call}}}\n" for number in range(6))
    (tmp_path / "levada.yml").write_text(
        "name: leaving\nconnections:\n"
        f"  db: {{type: mongodb, uri: '{server.uri}', database: shop, server_selection_timeout: 1}}\n"
        f"pipelines:\n  p:\n    steps:\n{steps}"
    )
    (tmp_path / "leaving.py").write_text(
        "import os, signal\n\ndef go(context, pid):\n    os.kill(pid, signal.SIGKILL)\n"
    )
    told: list[Event] = []
    with (
        load(tmp_path, env={}, listener=told.append) as project,
        pytest.raises(Retriable, match="out of reach"),
    ):
        project.run("p")
    assert [event.step for event in told if event.kind == "step_started"] == ["s0"]
