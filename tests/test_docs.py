"""Every code block of the docs runs: `sh` in a shell, `python` as a program, `yaml` as a project file.

Blocks of one page run in order, in one folder, which has the examples beside it. `text` is not run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .mysql import MariaDB

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = ("sh", "python", "yaml")


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(kind, text) for kind, text in BLOCK.findall(page.read_text()) if kind in RUNNABLE]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    ignored = shutil.ignore_patterns(".levada", "__pycache__")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=ignored)
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


#: Page -> the fixture that starts what its commands need.
NEEDS = {"docs/reference/connectors/mysql.md": "mysql_orders"}


@pytest.fixture
def mysql_orders(legacy: MariaDB, monkeypatch: pytest.MonkeyPatch) -> None:
    legacy.run(
        "CREATE TABLE orders (order_id INT PRIMARY KEY, status TEXT, amount DECIMAL(12,2), placed DATETIME);"
        "INSERT INTO orders VALUES (1, 'done', 10.5, '2026-11-23 08:00'), (2, 'open', 3, '2026-11-24')"
    )
    monkeypatch.setenv("LEGACY", legacy.url("").removesuffix("."))
    monkeypatch.setenv("LEGACY_PASSWORD", "secret")


def make_targets(text: str) -> list[str]:
    return re.findall(r"^\s*make ([a-z-]+)", text, re.MULTILINE)


def run_shell(text: str, folder: Path) -> None:
    if targets := make_targets(text):  # they set up environments; that they exist is checked here
        makefile = (ROOT / "Makefile").read_text()
        assert all(f"\n{target}:" in makefile for target in targets)
        return
    lines = [line for line in text.splitlines() if not line.startswith("git clone")]
    program = "\n".join([*lines, 'pwd > "$WORKING_FOLDER"'])
    remembered = folder / ".working-folder"
    start = remembered.read_text().strip() if remembered.exists() else str(folder)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", program],
        check=False,
        cwd=start,
        env={**os.environ, "PATH": path, "WORKING_FOLDER": str(remembered)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


def run_python(text: str, folder: Path) -> None:
    remembered = folder / ".working-folder"
    start = remembered.read_text().strip() if remembered.exists() else str(folder)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        check=False,
        cwd=start,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def check_yaml(text: str, folder: Path) -> None:
    (folder / "page").mkdir(exist_ok=True)
    (folder / "page" / "levada.yml").write_text(text)
    run_shell("levada -p page config check", folder)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_the_code_of_a_page_runs(page: Path, folder: Path, request: pytest.FixtureRequest) -> None:
    if need := NEEDS.get(str(page.relative_to(ROOT))):
        request.getfixturevalue(need)
    run = {"sh": run_shell, "python": run_python, "yaml": check_yaml}
    for kind, text in blocks(page):
        run[kind](text, folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page}: {target}"


def test_the_readme_shows_the_steps_that_the_demo_runs() -> None:
    shown = (ROOT / "README.md").read_text().partition("<!-- demo -->")[2]
    rows = BLOCK.findall(shown)[0][1].splitlines()[1:]
    file = yaml.safe_load((ROOT / "examples" / "shop" / "levada.yml").read_text())
    assert [row.split()[0] for row in rows] == list(file["pipelines"]["daily"]["steps"])
