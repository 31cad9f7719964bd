from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from levada.errors import ConfigError, LeaseHeld
from levada.state import Run, Runs
from levada.windows import Window

from .conftest import NOW, Make, until

CHAIN = """
    window: day
    steps:
      one: {python: {call: "jobs:one"}}
      two: {python: {call: "jobs:two"}}
      three: {python: {call: "jobs:three"}}
"""
JOBS = """
    from pathlib import Path
    import levada

    def log(context, name):
        with (context.root / "log").open("a") as file:
            file.write(name + "\\n")

    def one(context):
        log(context, "one")
        return {"rows": 7, "share": 0.5}

    def two(context):
        log(context, "two")
        if (context.root / "broken").exists():
            raise levada.Retriable("the well is dry", where="well", hint="dig deeper")
        return context.value("one.rows") * 2

    def three(context):
        log(context, "three")
        return {"rows": context.value("two.rows"), "share": context.value("one.share")}
"""


def lines(root: Path) -> list[str]:
    return (root / "log").read_text().split() if (root / "log").exists() else []


def statuses(run: Run) -> dict[str, str]:
    return {name: step.status for name, step in run.steps.items()}


def test_steps_run_in_order_and_hand_values_on(make: Make) -> None:
    project = make(CHAIN, JOBS)
    run = project.run("p")
    assert run.status == "done"
    assert lines(project.root) == ["one", "two", "three"]
    assert run.steps["three"].values == {"rows": 14, "share": 0.5}
    assert run.window == Window.parse("2026-11-23")
    assert project.find_run(run.id) == run


def test_a_failed_run_is_recorded_and_resumes_at_the_failed_step(make: Make) -> None:
    project = make(CHAIN, JOBS)
    (project.root / "broken").touch()
    failed = project.run("p")
    assert failed.status == "failed"
    assert statuses(failed) == {"one": "done", "two": "failed", "three": "skipped"}
    assert failed.error is not None
    assert (failed.error["what"], failed.error["where"]) == ("the well is dry", "well")
    (project.root / "broken").unlink()
    resumed = project.run("p")
    assert resumed.status == "done"
    assert resumed.resumes == failed.id
    assert lines(project.root) == ["one", "two", "two", "three"]
    assert resumed.steps["one"].run == failed.id
    assert resumed.steps["three"].values["share"] == 0.5


def test_a_run_that_is_done_is_run_again_whole(make: Make) -> None:
    project = make(CHAIN, JOBS)
    project.run("p")
    assert project.run("p").resumes is None
    assert lines(project.root) == ["one", "two", "three"] * 2


def test_fresh_runs_all_steps_of_a_failed_run_again(make: Make) -> None:
    project = make(CHAIN, JOBS)
    (project.root / "broken").touch()
    project.run("p")
    (project.root / "broken").unlink()
    project.run("p", fresh=True)
    assert lines(project.root) == ["one", "two", "one", "two", "three"]


def test_a_failed_run_is_not_resumed_when_the_steps_have_changed(make: Make) -> None:
    project = make(CHAIN, JOBS)
    (project.root / "broken").touch()
    project.run("p")
    (project.root / "broken").unlink()
    changed = make(
        CHAIN.replace('one: {python: {call: "jobs:one"', 'one: {python: {args: {}, call: "jobs:one"'), JOBS
    )
    assert changed.run("p").resumes is None


def test_another_window_does_not_resume(make: Make) -> None:
    project = make(CHAIN, JOBS)
    (project.root / "broken").touch()
    project.run("p", window="2026-11-22")
    (project.root / "broken").unlink()
    assert project.run("p", window="2026-11-21").resumes is None


def test_a_step_is_retried_as_often_as_the_file_says(make: Make) -> None:
    project = make(CHAIN.replace("window: day", "window: day\n    retries: {attempts: 2, delay: 0s}"), JOBS)
    (project.root / "broken").touch()
    run = project.run("p")
    assert run.steps["two"].tries == 3
    assert lines(project.root) == ["one", "two", "two", "two"]


def test_a_configuration_error_is_not_retried(make: Make) -> None:
    project = make(
        """
        retries: {attempts: 3, delay: 0s}
        steps:
          one: {python: {call: "jobs:nothing"}}
        """
    )
    run = project.run("p")
    assert run.steps["one"].tries == 1
    assert run.error is not None
    assert run.error["exit_code"] == 2


@pytest.mark.parametrize(
    "returned",
    [
        "{'a': {1, 2}}",
        "{'a': object()}",
        "{1: 2}",
        "{'a\\0b': 1}",
        "{'a': 2**70}",
        "{'rows': 'many'}",
        "{'rows': float('inf')}",
        "{'a': 'x' * 20_000_000}",
        "{'a': '\\udcff'}",
        "levada.StepResult(values={'a': {1, 2}})",
    ],
)
def test_values_that_the_ledger_cannot_keep_fail_their_step_only(make: Make, returned: str) -> None:
    project = make(
        "steps:\n  one: {python: {call: 'jobs:one'}}\n",
        f"""
        import levada

        def one(context):
            return {returned}
        """,
    )
    run = project.run("p")
    assert (run.status, run.error and run.error["where"]) == ("failed", "jobs:one")
    assert project.find_run(run.id) == run


@pytest.mark.parametrize(
    ("raised", "kept"),
    [
        ("ValueError('bad \\udcff')", "ValueError: bad \\udcff"),
        ("ValueError('x' * 20_000_000)", "ValueError: xxxx"),
        ("SystemExit(0)", "SystemExit: 0"),
        ("KeyboardInterrupt()", "KeyboardInterrupt: "),
    ],
)
def test_whatever_a_step_raises_is_recorded(make: Make, raised: str, kept: str) -> None:
    project = make(
        "steps:\n  one: {python: {call: 'jobs:one'}}\n",
        f"""
        def one(context):
            raise {raised}
        """,
    )
    stored = project.find_run(project.run("p").id)
    assert stored.status == "failed"
    assert stored.error is not None
    assert stored.error["what"].startswith(kept)
    assert len(stored.error["what"]) < 11_000


def test_a_step_that_takes_too_long_fails_and_its_next_try_has_a_higher_epoch(make: Make) -> None:
    project = make(
        """
        retries: {attempts: 1, delay: 0s}
        steps:
          slow: {python: {call: "jobs:slow"}, timeout: 1s}
        """,
        """
        tries = []
        def slow(context):
            tries.append(context.fence().epoch)
            if len(tries) == 1:
                context.stop.wait(60)
                context.check_stop()
            return {"epochs": list(tries)}
        """,
    )
    run = project.run("p")
    assert run.status == "done"
    first, second = run.steps["slow"].values["epochs"]
    assert second == first + 1


def test_a_try_that_was_left_behind_keeps_its_old_epoch(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("levada.pipelines.attempt.GRACE", 0.01)
    project = make(
        """
        retries: {attempts: 1, delay: 0s}
        steps:
          slow: {python: {call: "jobs:slow"}, timeout: 1s}
        """,
        """
        import threading
        second, woken, epochs = threading.Event(), threading.Event(), []
        def slow(context):
            if epochs:
                second.set()
                woken.wait(20)
                return {"epochs": [*epochs, context.fence().epoch]}
            epochs.append(context.fence().epoch)
            second.wait(20)
            epochs.append(context.fence().epoch)
            woken.set()
        """,
    )
    first, late, next_try = project.run("p").steps["slow"].values["epochs"]
    assert first == late == next_try - 1


def test_independent_steps_run_side_by_side(make: Make) -> None:
    project = make(
        """
        parallel: 2
        steps:
          left: {python: {call: "jobs:meet"}, needs: []}
          right: {python: {call: "jobs:meet"}, needs: []}
        """,
        """
        import threading
        barrier = threading.Barrier(2)
        def meet(context):
            barrier.wait(20)
        """,
    )
    assert project.run("p").status == "done"


def test_a_failure_does_not_stop_steps_that_do_not_need_it(make: Make) -> None:
    project = make(
        """
        steps:
          bad: {python: {call: "jobs:bad"}, needs: []}
          after_bad: {python: {call: "jobs:good"}, needs: [bad]}
          good: {python: {call: "jobs:good"}, needs: []}
        """,
        """
        def bad(context):
            raise ValueError("unexpected")
        def good(context):
            return 1
        """,
    )
    run = project.run("p")
    assert statuses(run) == {"bad": "failed", "after_bad": "skipped", "good": "done"}
    assert run.error is not None
    assert run.error["what"] == "ValueError: unexpected"


def test_two_runs_at_once_run_it_once(make: Make) -> None:
    project = make(
        """
        steps:
          one: {python: {call: "jobs:hold"}}
        """,
        """
        def hold(context):
            (context.root / "started").touch()
            while not (context.root / "go").exists():
                context.check_stop()
        """,
    )
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(project.run, "p")
        try:
            until((project.root / "started").exists)
            with pytest.raises(LeaseHeld):
                project.run("p")
        finally:
            (project.root / "go").touch()
        assert first.result().status == "done"
    assert len(project.runs("p")) == 1


def test_a_stop_ends_the_run_cleanly_and_the_next_resumes_it(make: Make) -> None:
    stop = threading.Event()
    project = make(
        """
        steps:
          one: {python: {call: "jobs:one"}}
          two: {python: {call: "jobs:two"}}
        """,
        """
        def one(context):
            return 1
        def two(context):
            (context.root / "started").touch()
            context.stop.wait(60)
            context.check_stop()
        """,
        stop=stop,
    )
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(project.run, "p")
        until((project.root / "started").exists)
        stop.set()
        run = running.result()
    assert run.status == "stopped"
    assert statuses(run) == {"one": "done", "two": "failed"}
    stop.clear()
    (project.root / "jobs.py").write_text("def one(context): 1/0\ndef two(context): return 2\n")
    sys.modules.pop("jobs")
    assert project.run("p").resumes == run.id


@pytest.mark.parametrize("window", ["2026-11-24", "2027-01-01", "2026-11-23T05/2026-11-23T06", "2026-W40"])
def test_windows_that_are_not_over_or_not_whole_are_refused(make: Make, window: str) -> None:
    project = make(CHAIN, JOBS)
    with pytest.raises(ConfigError):
        project.run("p", window=window)
    assert lines(project.root) == []
    assert project.runs() == []


def test_a_killed_run_reads_as_interrupted_and_is_resumed(make: Make) -> None:
    project = make(
        CHAIN,
        JOBS.replace('log(context, "two")', 'log(context, "two"); die(context)')
        + """
    def die(context):
        import os, signal
        if (context.root / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
""",
    )
    (project.root / "die").touch()
    command = [sys.executable, "-m", "levada", "-p", str(project.root), "run", "p", "--window", "2026-11-20"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    killed = project.runs("p")[0]
    assert killed.status == "interrupted"
    (project.root / "die").unlink()
    resumed = project.run("p", window="2026-11-20")
    assert resumed.resumes == killed.id
    assert lines(project.root) == ["one", "two", "two", "three"]
    assert project.find_run(killed.id).status == "interrupted"


def test_sigterm_stops_the_command_cleanly(make: Make) -> None:
    project = make(
        "steps:\n  wait: {python: {call: 'jobs:wait'}}\n",
        """
        def wait(context):
            (context.root / "started").touch()
            context.stop.wait(60)
            context.check_stop()
        """,
    )
    command = [sys.executable, "-m", "levada", "-p", str(project.root), "run", "p"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        until((project.root / "started").exists)
        os.kill(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert project.runs("p")[0].status == "stopped"


def test_plan_tells_missing_failed_and_done_apart(make: Make) -> None:
    project = make(CHAIN, JOBS)
    project.run("p", window="2026-11-20")
    (project.root / "broken").touch()
    project.run("p", window="2026-11-21")
    span = project.span("p", "2026-11-19", "2026-11-22")
    planned = project.plan("p", span)
    assert [(item.status, item.action) for item in planned] == [
        ("missing", "run"),
        ("done", "nothing"),
        ("failed", "resume"),
        ("missing", "run"),
    ]
    assert [step.action for step in planned[2].steps] == ["keep", "run", "run"]
    assert all(item.due for item in project.plan("p", span, again=True))


def test_backfill_runs_what_is_missing_or_failed_and_nothing_else(make: Make) -> None:
    project = make(CHAIN, JOBS)
    project.run("p", window="2026-11-20")
    span = project.span("p", "2026-11-19", "2026-11-22")
    done = project.backfill("p", span, parallel=3)
    assert [str(run.window)[:10] for run in done.runs] == ["2026-11-19", "2026-11-21", "2026-11-22"]
    assert all(run.status == "done" for run in done.runs)
    assert project.backfill("p", span).runs == ()
    assert len(Runs(project.store).recent("p")) == 4


def test_a_backfill_stops_at_a_failure_and_goes_on_later(make: Make) -> None:
    project = make(CHAIN, JOBS)
    (project.root / "broken").touch()
    span = project.span("p", "2026-11-19", "2026-11-22")
    first = project.backfill("p", span)
    assert [run.status for run in first.runs] == ["failed"]
    assert len(first.left) == 3
    (project.root / "broken").unlink()
    second = project.backfill("p", span)
    assert [run.status for run in second.runs] == ["done"] * 4
    assert second.runs[0].resumes == first.runs[0].id


def test_windows_of_a_backfill_pass_through_the_steps_one_behind_the_other(make: Make) -> None:
    project = make(
        """
        window: day
        steps:
          first: {python: {call: "jobs:first"}}
          second: {python: {call: "jobs:second"}}
        """,
        """
        import threading
        busy = {"first": threading.Lock(), "second": threading.Lock()}
        overlap = threading.Barrier(2)
        def first(context):
            with alone("first"):
                if context.window.start.day == 20:
                    overlap.wait(20)
        def second(context):
            with alone("second"):
                if context.window.start.day == 19:
                    overlap.wait(20)
        import contextlib
        @contextlib.contextmanager
        def alone(name):
            assert busy[name].acquire(blocking=False), "two windows in one step"
            try:
                yield
            finally:
                busy[name].release()
        """,
    )
    done = project.backfill("p", project.span("p", "2026-11-19", "2026-11-20"), parallel=2)
    assert [run.status for run in done.runs] == ["done", "done"]


def test_status_names_the_next_trigger_and_its_window(make: Make) -> None:
    project = make("schedule: '0 2 * * *'\ntimezone: Europe/Lisbon\n" + CHAIN.replace("\n    ", "\n"), JOBS)
    found = project.status()[0]
    assert found.last is None
    assert found.next_trigger == NOW.replace(day=25)
    assert found.next_window == Window.parse("2026-11-24")
