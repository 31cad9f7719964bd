from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from bson import ObjectId, json_util
from bson.decimal128 import Decimal128

from levada.connectors.sqltext import mark_of, watermark

pytestmark = pytest.mark.unit

RANDOM = Random(5)
MOMENTS = [
    datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=RANDOM.randrange(-(10**15), 4 * 10**15))
    for _ in range(5_000)
]


def test_a_time_comes_back_from_a_position_to_the_microsecond() -> None:
    assert [mark_of(json.loads(json.dumps(watermark(moment)))) for moment in MOMENTS] == MOMENTS


@pytest.mark.parametrize("value", [7, 2.5, "x", ObjectId(), Decimal128(Decimal("1.50")), None])
def test_other_values_come_back_as_they_were(value: object) -> None:
    assert mark_of(json.loads(json_util.dumps(value))) == value
