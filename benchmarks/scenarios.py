"""Scenarios that are processes of their own: each starts its clock when everything is imported.

A scenario's script prints what it measured as JSON: `rows`, `seconds`, and `peak` memory in MB.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Figures = dict[str, float]


def measure(
    python: str, script: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Figures:
    """Run a scenario once, in a process of its own."""
    done = subprocess.run(
        [python, "-W", "ignore", str(script), *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    measured: Figures = json.loads(done.stdout)
    return measured


def timed(scenario: Callable[[], int]) -> None:
    """Run a scenario in this process, and print its figures."""
    started = time.perf_counter()
    rows = scenario()
    seconds = time.perf_counter() - started
    peak = max(_own_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    print(json.dumps({"rows": rows, "seconds": seconds, "peak": peak / 1024}))


def _own_peak() -> int:
    """Kilobytes; what `getrusage` says of a process begins with the size of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def environment_of(folder: str, *packages: str) -> str:
    """Python of a new environment with these packages."""
    uv = shutil.which("uv") or str(Path(__file__).parents[1] / ".tools" / "bin" / "uv")
    subprocess.run([uv, "venv", "-q", folder], check=True)
    python = f"{folder}/bin/python"
    subprocess.run([uv, "pip", "install", "-q", "-p", python, *packages], check=True)
    return python


def report(found: Mapping[str, Sequence[Figures]], ratios: Sequence[tuple[str, str, float]]) -> None:
    """Print medians of the rates, peaks, and what is compared: ours, theirs, the ratio owed."""
    rates = {
        name: statistics.median(one["rows"] / one["seconds"] for one in many)
        for name, many in found.items()
        if many
    }
    for name, rate in rates.items():
        peak = max(one["peak"] for one in found[name])
        print(f"{name:<42}{rate / 1000:>10,.1f} thousand/s{peak:>8,.0f} MB")
    print()
    for ours, theirs, owed in ratios:
        if ours in rates and theirs in rates:
            print(f"{ours} / {theirs}: {rates[ours] / rates[theirs]:.2f} (owed {owed})")
