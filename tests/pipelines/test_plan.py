from __future__ import annotations

from .conftest import NOW, Make

JOBS = "def one(context): return 1"


def test_a_run_that_died_on_another_machine_is_interrupted_once_its_lease_has_ended(make: Make) -> None:
    project = make("window: day\nsteps: {one: {python: {call: 'jobs:one'}}}", JOBS)
    killed = project.run("p", window="2026-11-20")
    runs, leases = (project.store.collection(name) for name in ("runs", "leases"))
    runs.update_one(
        {"_id": killed.id}, {"$set": {"status": "running", "finished_at": None, "holder.host": "elsewhere"}}
    )
    span = project.span("p", "2026-11-20", "2026-11-20")
    leases.update_one(
        {"_id": "pipeline:p"},
        {
            "$set": {
                "holder": {**killed.holder.to_dict(), "host": "elsewhere"},
                "expires_at": NOW.replace(2999),
            }
        },
    )
    assert [item.status for item in project.plan("p", span)] == ["running"]
    leases.update_one({"_id": "pipeline:p"}, {"$set": {"expires_at": NOW.replace(2000)}})
    assert [item.status for item in project.plan("p", span)] == ["interrupted"]
    assert [run.resumes for run in project.backfill("p", span).runs] == [killed.id]
