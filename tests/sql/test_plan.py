"""Temporary tables get other names only where a stage reads a collection."""

from __future__ import annotations

from typing import Any

import pytest

from levada.sql.plan import Plan, Stage, StoredPlan, renamed

pytestmark = pytest.mark.unit

NAMES = {"$m1": "tmp.1", "$m2": "tmp.2"}


def plan(*stages: Stage, collection: str | None = "t") -> Plan:
    return Plan(collection, list(stages), (), (StoredPlan("$m1", "t", []), StoredPlan("$m2", "$m1", [])))


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ({"$unionWith": "$m1"}, {"$unionWith": "tmp.1"}),
        ({"$unionWith": {"coll": "$m1"}}, {"$unionWith": {"coll": "tmp.1"}}),
        (
            {"$unionWith": {"coll": "t", "pipeline": [{"$lookup": {"from": "$m2", "as": "x"}}]}},
            {"$unionWith": {"coll": "t", "pipeline": [{"$lookup": {"from": "tmp.2", "as": "x"}}]}},
        ),
        (
            {"$lookup": {"pipeline": [{"$unionWith": {"coll": "$m1"}}], "as": "x"}},
            {"$lookup": {"pipeline": [{"$unionWith": {"coll": "tmp.1"}}], "as": "x"}},
        ),
        ({"$graphLookup": {"from": "$m1", "as": "x"}}, {"$graphLookup": {"from": "tmp.1", "as": "x"}}),
        ({"$facet": {"a": [{"$unionWith": "$m1"}]}}, {"$facet": {"a": [{"$unionWith": "tmp.1"}]}}),
    ],
)
def test_what_a_stage_reads_is_renamed(stage: Stage, expected: Stage) -> None:
    assert renamed(plan(stage), NAMES).pipeline == [expected]


@pytest.mark.parametrize(
    "stage",
    [
        {"$match": {"a": "$m1", "from": "$m1", "coll": "$m1"}},
        {"$project": {"from": {"$literal": "$m1"}, "x": "$m1"}},
        {"$lookup": {"from": "t", "as": "$m1", "let": {"coll": "$m1"}}},
        {"$documents": [{"coll": "$m1", "from": "$m1"}]},
    ],
)
def test_data_and_fields_of_that_name_stay(stage: Stage) -> None:
    assert renamed(plan(stage), NAMES).pipeline == [stage]


def test_sources_are_renamed_and_the_plan_itself_stays_as_it_was() -> None:
    before: Any = plan({"$unionWith": {"coll": "$m1", "pipeline": []}}, collection="$m2")
    after = renamed(before, NAMES)
    assert (after.collection, before.collection) == ("tmp.2", "$m2")
    assert [(one.name, one.collection) for one in after.stored] == [("tmp.1", "t"), ("tmp.2", "tmp.1")]
    assert before.pipeline == [{"$unionWith": {"coll": "$m1", "pipeline": []}}]


def test_a_plan_on_the_database_has_no_collection() -> None:
    assert renamed(plan({"$documents": []}, collection=None), NAMES).collection is None
