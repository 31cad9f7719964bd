"""The distribution bsonarrow by itself."""

import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import files
from pathlib import Path
from shutil import which

import pytest

from .conftest import need_native

pytestmark = pytest.mark.unit

PACKAGE = Path(__file__).parents[2] / "packages/bsonarrow"


@pytest.fixture(scope="module", autouse=True)
def installed():
    need_native()


def run(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", (PACKAGE / "README.md").read_text(), re.DOTALL)
    run(example)


def test_the_first_use_of_a_wheel_works():
    assert "3 rows" in run((PACKAGE / "tests/smoke.py").read_text())


def test_it_needs_no_other_package():
    loaded = (
        "import bsonarrow, sys; print([name for name in ('pyarrow', 'numpy', 'bson') if name in sys.modules])"
    )
    assert run(loaded).strip() == "[]"


def linked():
    """Crate, version and licence by the list of third parties."""
    rows = re.findall(
        r"^\| (\S+) \| (\d\S*) \| (.+) \|$", (PACKAGE / "THIRD-PARTY.md").read_text(), re.MULTILINE
    )
    assert rows
    return set(rows)


def test_the_wheel_comes_with_the_list_of_third_parties():
    texts = {Path(file).name: file.read_text() for file in files("bsonarrow") if "licenses" in file.parts}
    assert texts == {name: (PACKAGE / name).read_text() for name in ("LICENSE", "THIRD-PARTY.md")}


def test_third_parties_are_listed_in_the_version_that_is_locked():
    locked = tomllib.loads((PACKAGE / "Cargo.lock").read_text())["package"]
    assert {row[:2] for row in linked()} <= {(crate["name"], crate["version"]) for crate in locked}


@pytest.mark.skipif(which("cargo") is None, reason="cargo says what is linked; https://rustup.rs installs it")
def test_all_linked_crates_are_listed_with_their_licence():
    (command,) = re.findall(r"^cargo tree .*", (PACKAGE / "THIRD-PARTY.md").read_text(), re.MULTILINE)
    done = subprocess.run(shlex.split(command), cwd=PACKAGE, capture_output=True, text=True, check=True)
    lines = {
        line.removesuffix(" (*)") for line in done.stdout.splitlines() if not line.startswith("bsonarrow ")
    }
    rows = [re.fullmatch(r"(\S+) v(\S+)(?: \(\S+\))? (.+)", line) for line in lines]
    assert {row.groups() for row in rows} == linked()


def test_what_the_stubs_declare_is_what_there_is():
    import ast

    import bsonarrow

    declared = ast.parse((PACKAGE / "python/bsonarrow/_native.pyi").read_text()).body
    names = {
        node.name
        for node in declared
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_"
    }
    assert names == set(bsonarrow.__all__)
    for node in declared:
        if isinstance(node, ast.ClassDef) and node.name[0] != "_":
            methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)} - {"__init__"}
            assert methods <= set(dir(getattr(bsonarrow, node.name)))
