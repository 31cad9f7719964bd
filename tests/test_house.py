"""The rules of the house that no linter checks."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import levada

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PACKAGES = sorted(
    file
    for suffix in ("py", "pyi", "rs")
    for file in (ROOT / "packages").rglob(f"*.{suffix}")
    if "target" not in file.parts
)
MAX_FILE, MAX_FUNCTION = 500, 60

#: Driver -> the only places that may import it when they are imported.
DRIVERS = {
    "deltalake": "connectors/lake",
    "duckdb": (
        *("connectors/duckdb", "connectors/lake", "connectors/reading.py", "connectors/staging.py"),
        *("connectors/totals.py", "connectors/keys.py", "connectors/telling.py", "engines/duckdb.py"),
    ),
    "pymongo": ("connectors/mongodb", "state", "bson", "sql"),
    "pandas": (),
    "dlt": (),
    "requests": (),
    "connectorx": ("connectors/mysql",),
    "sqlglot": ("engines", "connectors/mongodb", "connectors/mysql", "connectors/reading.py", "sql"),
}

PUBLIC = {
    *("CheckFailed", "ConfigError", "Fatal", "Fenced", "LeaseHeld", "LevadaError", "PositionLost"),
    *("Retriable", "Skippable", "CircuitBreaker", "CircuitOpen", "RetryPolicy", "log_execution"),
    *("Project", "StepContext", "StepResult", "Window", "copy", "load", "read", "sql"),
}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def module_level_imports(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT / "src")))
def test_files_and_functions_stay_small(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= MAX_FILE
    long = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in functions(ast.parse(text))
        if (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION
    }
    assert not long


@pytest.mark.parametrize("file", PACKAGES, ids=lambda file: str(file.relative_to(ROOT / "packages")))
def test_files_of_other_packages_stay_small(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MAX_FILE


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_heavy_driver_is_imported_only_in_its_own_place(driver: str) -> None:
    allowed = DRIVERS[driver]
    places = (allowed,) if isinstance(allowed, str) else allowed
    found = [
        str(file.relative_to(ROOT / "src/levada"))
        for file in SOURCES
        if driver in module_level_imports(ast.parse(file.read_text()))
    ]
    assert [name for name in found if not name.startswith(places or "-")] == []


def test_the_public_door_has_these_names_and_no_others() -> None:
    assert set(levada.__all__) == PUBLIC
    assert all(getattr(levada, name) is not None for name in PUBLIC)


def imported_by(program: str) -> set[str]:
    code = f"import sys\n{program}\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


HEAVY = {
    "pyarrow",
    "numpy",
    "duckdb",
    "deltalake",
    "pymongo",
    "sqlglot",
    "pandas",
    "pydantic",
    "rich",
    "yaml",
}


def test_importing_levada_imports_no_driver() -> None:
    assert not imported_by("import levada") & HEAVY


def test_help_imports_no_driver() -> None:
    program = (
        "sys.argv = ['levada', '--help']\n"
        "from levada.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    found = imported_by(program)
    assert "click" in found
    assert not found & HEAVY
