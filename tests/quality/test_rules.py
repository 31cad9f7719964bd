from __future__ import annotations

import pytest
from pydantic import ValidationError

from levada.errors import ConfigError
from levada.quality import parse

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "rule",
    [
        {"row_count": {}},
        {"null_rate": {"column": "a", "max": 1.5}},
        {"null_rate": {"max": 0.1}},
        {"duplicates": {"columns": []}},
        {"freshness": {"column": "a", "max_age": "soon"}},
        {"ratio": {"to": "x.rows"}},
        {"row_count": {"min": 1, "mim": 2}},
        {"row_count": {"min": 1, "severity": "loud"}},
    ],
)
def test_wrong_settings_are_refused(rule: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        parse([rule])


@pytest.mark.parametrize("rule", [{"row_cout": {"min": 1}}, {}, {"row_count": {"min": 1}, "ratio": {}}])
def test_a_rule_names_exactly_one_known_kind(rule: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        parse([rule])


def test_a_check_is_named_after_its_kind_and_columns() -> None:
    checks = parse([{"row_count": {"min": 1}}, {"duplicates": {"columns": ["a", "b"]}}])
    assert [check.name for check in checks] == ["row_count", "duplicates(a,b)"]
