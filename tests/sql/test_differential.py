"""Random queries: MongoDB's answers are DuckDB's, or both refuse.

To replay a failure: `LEVADA_SEED=<the number it tells> pytest tests/sql/test_differential.py`, or run the SQL
over the tables that it prints.
"""

from __future__ import annotations

import os
import random
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from levada.sql.compiler import compile as compile_sql
from levada.sql.errors import SqlError

from . import random_rows
from .answers import Answer, differences, of_duckdb, of_plan
from .random_queries import Queries, Query

#: Share of the queries that DuckDB answers and Levada may refuse at compile time.
REFUSED = 0.03


#: Choices of hypothesis, which it shrinks but keeps short; and plain ones, which go deep.
CHANCES = st.randoms(use_true_random=False) | st.integers(0, 2**32).map(random.Random)


@dataclass
class Tally:
    """How many queries ended how.

    Args:
        refused: what was said when Levada refused a query that DuckDB answers.
    """

    ends: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        lines = [", ".join(f"{count} {end}" for end, count in self.ends.most_common())]
        return "\n".join([*lines, *(f"  {count} x {text}" for text, count in self.refused.most_common())])


class Engines:
    """Both engines, holding the same tables."""

    def __init__(self, database: Database[dict[str, Any]], duck: duckdb.DuckDBPyConnection) -> None:
        self._database, self._duck = database, duck
        self._in_duckdb, self._in_mongodb = -1, set[int]()
        self.tally = Tally()

    def compare(self, number: int, query: Query) -> str:
        """What differs between the answers; empty: nothing."""
        tables = random_rows.table_set(number)
        self._fill(tables)
        expected = self._expected(query.sql)
        answer = self._answer(query.sql, random_rows.catalog(tables), expected)
        if answer is None or expected is None:
            return ""
        self.tally.ends["answered alike"] += 1
        return differences(_integers(answer), _integers(expected), ordered=query.ordered)

    def _fill(self, tables: random_rows.TableSet) -> None:
        if self._in_duckdb != tables.number:
            random_rows.fill_duckdb(self._duck, tables)
            self._in_duckdb = tables.number
        if tables.number not in self._in_mongodb:
            random_rows.fill_mongodb(self._database, tables)
            self._in_mongodb.add(tables.number)

    def _expected(self, sql: str) -> Answer | None:
        try:
            return of_duckdb(self._duck, sql)
        except duckdb.Error:
            return None

    def _answer(self, sql: str, catalog: random_rows.FixedCatalog, expected: Answer | None) -> Answer | None:
        try:
            plan = compile_sql(sql, catalog)
        except SqlError as error:
            self.tally.ends["refused by both" if expected is None else "refused"] += 1
            if expected is not None:
                self.tally.refused[str(error).partition("\n")[0]] += 1
            return None
        try:
            answer = of_plan(self._database, plan)
        except OperationFailure:
            if expected is None:
                self.tally.ends["failed in both"] += 1
                return None
            raise
        if expected is None:
            self.tally.ends["refused by DuckDB alone"] += 1
        return answer


def _integers(answer: Answer) -> Answer:
    """INTEGER's arithmetic is BIGINT in Levada: a documented difference."""
    return Answer(tuple(_NARROW.sub("BIGINT", kind) for kind in answer.types), answer.rows)


_NARROW = re.compile(r"\b(TINYINT|SMALLINT|INTEGER)\b")


@pytest.fixture(scope="module")
def engines(mongo: MongoClient[dict[str, Any]]) -> Iterator[Engines]:
    name = f"test_differential_{secrets.token_hex(4)}"
    with duckdb.connect() as duck:
        yield Engines(mongo[name], duck)
    mongo.drop_database(name)


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(300, marks=pytest.mark.timeout(600)),
        pytest.param(5_000, marks=[pytest.mark.nightly, pytest.mark.timeout(3_000)]),
    ],
)
def test_random_queries_are_answered_like_duckdb(
    engines: Engines, capsys: pytest.CaptureFixture[str], examples: int
) -> None:
    number = int(os.environ.get("LEVADA_SEED") or secrets.randbelow(2**32))
    engines.tally = Tally()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, random_rows.SETS - 1), CHANCES)
    def run(tables: int, chance: random.Random) -> None:
        query = Queries(chance).query()
        told = f"LEVADA_SEED={number}\n{query.sql}\n{random_rows.table_set(tables)}"
        try:
            found = engines.compare(tables, query)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{told}") from error
        assert not found, f"{found}\n{told}"

    run()
    with capsys.disabled():
        print(f"\nseed {number}: {engines.tally}")  # noqa: T201 - the run's own report
    assert engines.tally.refused.total() <= REFUSED * engines.tally.ends.total()
