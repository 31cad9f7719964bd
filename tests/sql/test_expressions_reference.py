"""docs/reference/sql.md says what the function tables say, and its examples are true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from levada.sql.catalog import FixedCatalog
from levada.sql.compiler import compile as compile_sql
from levada.sql.expressions.registry import FAMILIES
from levada.sql.reference import page

from .answers import of_plan

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "sql.md"

FUNCTIONS = [function for functions in FAMILIES.values() for function in functions]


@pytest.mark.unit
def test_the_page_is_made_from_the_tables() -> None:
    assert PAGE.read_text("utf-8") == page(), "make it anew: see levada.sql.reference"


@pytest.mark.unit
def test_every_function_has_an_example_unless_no_literal_has_its_type() -> None:
    assert {function.name for function in FUNCTIONS if not function.example} <= {"variant_extract"}


@pytest.mark.unit
def test_no_two_functions_share_a_name() -> None:
    names = [name for function in FUNCTIONS for name in (function.name, *function.nodes)]
    assert not {str(name) for name in names if names.count(name) > 1 and not _own(name)}


def _own(name: object) -> bool:
    return any(function.name == name and name in function.nodes for function in FUNCTIONS)


@pytest.mark.parametrize("example", [function.example for function in FUNCTIONS if function.example])
def test_an_example_is_true(mongo: MongoClient[dict[str, Any]], example: str) -> None:
    plan = compile_sql(f"select {example} as told", FixedCatalog.of())
    assert of_plan(mongo["admin"], plan).rows == [(True,)]
