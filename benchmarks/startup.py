"""How long the command line takes to say something, beside an empty Python.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import levada": ["-c", "import levada"],
    "levada --help": ["-m", "levada", "--help"],
    "levada config schema": ["-m", "levada", "config", "schema"],
}
RUNS = 11


def seconds(arguments: list[str]) -> float:
    """Median wall time of a command as a process of its own."""
    found = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def main() -> None:
    base = seconds(COMMANDS["python -c pass"])
    print("| command | ms | beside an empty Python |\n|---|---:|---:|")
    for name, arguments in COMMANDS.items():
        taken = seconds(arguments)
        print(f"| `{name}` | {taken * 1000:.0f} | {taken / base:.1f}x |")


if __name__ == "__main__":
    main()
