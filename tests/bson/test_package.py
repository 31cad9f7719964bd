"""The distribution bsonarrow by itself."""

import re
import subprocess
import sys
from pathlib import Path

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
