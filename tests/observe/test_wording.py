from __future__ import annotations

import pytest

from levada.observe import counted

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("count", "noun", "plural", "read"),
    [
        (0, "row", None, "0 rows"),
        (1, "row", None, "1 row"),
        (1_200, "row", None, "1,200 rows"),
        (1, "entry", "entries", "1 entry"),
        (2, "entry", "entries", "2 entries"),
    ],
)
def test_a_count_stands_with_its_noun(count: int, noun: str, plural: str | None, read: str) -> None:
    assert counted(count, noun, plural) == read
