from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from levada.errors import Fenced, LeaseHeld
from levada.state import Holder, Lease, Store


@pytest.fixture
def store(mongo: MongoClient[dict[str, Any]], database: str) -> Store:
    return Store(mongo, database)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def lease(store: Store, run: str, seconds: float = 30.0, *, elsewhere: bool = False) -> Lease:
    holder = Holder("elsewhere", 1, "1", run) if elsewhere else Holder.here(run)
    return Lease(store, "pipeline:daily", holder, seconds)


def test_a_held_lease_refuses_another_run_and_names_the_holder(store: Store) -> None:
    held = lease(store, "first").acquire()
    with pytest.raises(LeaseHeld, match="first"):
        lease(store, "second").acquire()
    held.release()
    lease(store, "second").acquire().release()


def test_every_owner_has_a_higher_epoch(store: Store) -> None:
    epochs = []
    for run in ("a", "b", "c"):
        held = lease(store, run).acquire()
        epochs.append(held.epoch)
        held.release()
    assert epochs == sorted(set(epochs))


def test_of_many_that_start_together_exactly_one_gets_it(store: Store) -> None:
    barrier = threading.Barrier(8)

    def race(number: int) -> Lease | None:
        barrier.wait()
        try:
            return lease(store, f"run {number}").acquire()
        except LeaseHeld:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [found for found in pool.map(race, range(8)) if found]
    assert len(won) == 1
    won[0].release()


def test_it_is_renewed_longer_than_it_lasts(store: Store) -> None:
    held = lease(store, "long", 0.6).acquire()
    first = held.valid_until
    until(lambda: held.valid_until > first + timedelta(seconds=0.6))  # the first grant has run out
    with pytest.raises(LeaseHeld):
        lease(store, "other").acquire()
    assert not held.lost.is_set()
    held.release()


def test_an_ended_lease_is_taken_over_and_its_owner_learns_of_it(store: Store) -> None:
    old = lease(store, "paused", 0.3, elsewhere=True)
    old._keep = lambda: None  # type: ignore[method-assign]
    old._renewer = threading.Thread(target=old._keep)  # a paused process renews nothing
    old.acquire()
    new: list[Lease] = []

    def taken() -> bool:
        try:
            new.append(lease(store, "next").acquire())
        except LeaseHeld:
            return False
        return True

    until(taken)
    assert new[0].epoch > old.epoch
    with pytest.raises(Fenced):
        old.bump()
    assert old.lost.is_set()
    new[0].release()


def test_a_bump_raises_the_epoch_and_keeps_the_lease(store: Store) -> None:
    held = lease(store, "a").acquire()
    before = held.epoch
    held.bump()
    assert held.epoch == before + 1
    with pytest.raises(LeaseHeld):
        lease(store, "b").acquire()
    held.release()


def test_a_bump_while_the_lease_is_renewed_does_not_lose_it(store: Store) -> None:
    held = lease(store, "a", 0.003).acquire()  # renewed every millisecond
    for _ in range(200):
        held.bump()
    assert not held.lost.is_set()
    held.release()


def test_the_lease_of_a_killed_process_on_this_machine_is_free_at_once(
    store: Store, mongod: str, database: str
) -> None:
    program = (
        "import os, signal; from pymongo import MongoClient; from levada.state import *;"
        f"s = Store(MongoClient({mongod!r}, tz_aware=True), {database!r});"
        "Lease(s, 'pipeline:daily', Holder.here('killed'), 600).acquire();"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    held = lease(store, "next").acquire()
    assert held.epoch == 2
    held.release()


def test_a_holder_in_another_container_of_the_same_name_is_not_taken_for_gone() -> None:
    here = Holder.here("run")
    name = here.host.partition("/")[0]
    assert not here.gone
    assert not Holder(f"{name}/elsewhere/[1]", 2**22 + 1, "1", "run").gone
    assert Holder(here.host, 2**22 + 1, "1", "run").gone
