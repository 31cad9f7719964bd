"""A read of a window or behind a watermark gives exactly its rows, whatever the server does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levada.connectors.rest.span import read_time
from levada.errors import ConfigError
from levada.positions import Position
from levada.windows import Window

from ...rest_server import Api, Fault  # noqa: TID252
from .conftest import Open, ids, read, rows

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = Window(NOON, NOON + timedelta(hours=1))
RESOURCE: dict[str, Any] = {
    "path": "/cursor",
    "data": "items",
    "paginator": {"type": "cursor", "next": "next"},
    "key": "id",
    "since": {"param": "updated_after", "field": "updated_at"},
    "until": {"param": "updated_before"},
}


def stamp(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%S}Z"


def fill(api: Api, *minutes: float) -> None:
    api.add(*({"id": at, "updated_at": stamp(NOON + timedelta(minutes=m))} for at, m in enumerate(minutes)))


@pytest.mark.parametrize("after_inclusive", [True, False])
@pytest.mark.parametrize("before_inclusive", [True, False])
def test_a_window_is_half_open_whatever_the_server_means(
    api: Api, opened: Open, after_inclusive: bool, before_inclusive: bool
) -> None:
    api.after_inclusive, api.before_inclusive = after_inclusive, before_inclusive
    fill(api, -1, 0, 30, 59.98, 60, 61)
    assert ids(read(opened(RESOURCE), HOUR)) == [1, 2, 3]
    assert api.asked[0].query["updated_after"] == "2026-11-24T11:59:59Z"
    assert api.asked[0].query["updated_before"] == "2026-11-24T13:00:00Z"


@given(
    start=st.integers(0, 7_200_000),
    length=st.integers(1, 3_600_000),
    times=st.lists(st.integers(-1_000_000, 12_000_000), max_size=15),
    style=st.sampled_from(["iso", "epoch", "epoch_ms", "date"]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_lies_in_one_window_and_no_other(
    api: Api, opened: Open, start: int, length: int, times: list[int], style: str
) -> None:
    """The expected rows come from comparing whole milliseconds."""
    first = NOON + timedelta(milliseconds=start)
    window = Window(first, first + timedelta(milliseconds=length))
    body = [
        {"id": at, "updated_at": f"{NOON + timedelta(milliseconds=ms):%Y-%m-%dT%H:%M:%S.%f}Z"}
        for at, ms in enumerate(times)
    ]
    api.faults = [Fault(body=json.dumps({"items": body, "next": None}))]
    resource = {**RESOURCE, "since": {**RESOURCE["since"], "format": style}}
    expected = [at for at, ms in enumerate(times) if start <= ms < start + length]
    assert ids(read(opened(resource), window)) == expected


@pytest.mark.parametrize(
    ("style", "since", "until"),
    [
        ("iso", "2026-11-24T11:59:59Z", "2026-11-24T13:00:01Z"),
        ("epoch", "1795521599", "1795525201"),
        ("epoch_ms", "1795521599000", "1795525200500"),
        ("date", "2026-11-23", "2026-11-25"),
    ],
)
def test_ends_are_rounded_outward(api: Api, opened: Open, style: str, since: str, until: str) -> None:
    """The counts of seconds are those of `date -d '2026-11-24 12:00 UTC' +%s`, less one, and so on."""
    resource = {
        **RESOURCE,
        "since": {**RESOURCE["since"], "param": "a", "format": style},
        "until": {"param": "b", "format": style},
    }
    read(opened(resource), Window(NOON, NOON + timedelta(hours=1, milliseconds=500)))
    assert (api.asked[0].query["a"], api.asked[0].query["b"]) == (since, until)


def test_ends_can_go_into_the_body(api: Api, opened: Open) -> None:
    resource = {
        **RESOURCE,
        "method": "POST",
        "json": {"filter": {"status": "paid"}},
        "since": {"body": "filter.since", "field": "updated_at"},
        "until": {"body": "filter.until"},
    }
    connection = opened(resource)
    for _ in range(2):
        read(connection, HOUR)
        assert api.asked[-1].body == {
            "filter": {"status": "paid", "since": "2026-11-24T11:59:59Z", "until": "2026-11-24T13:00:00Z"}
        }


@pytest.mark.parametrize("value", ["missing", None, "soon", 5, True, {}])
def test_a_row_without_a_readable_time_is_set_aside(api: Api, opened: Open, value: Any) -> None:
    fill(api, 30)
    row = {"id": 9} if value == "missing" else {"id": 9, "updated_at": value}
    page = {"items": [*api.rows, row], "next": None}
    api.faults = [Fault(body=json.dumps(page))]
    batches = read(opened(RESOURCE), HOUR)
    assert ids(batches) == [0]
    assert [json.loads(bad.raw)["id"] for batch in batches for bad in batch.rejected] == [9]


@pytest.mark.parametrize(
    ("columns", "style", "value"),
    [
        ({}, "iso", "2026-11-24T13:30:00+01:00"),
        ({}, "epoch", 1795523400),
        ({}, "epoch", "1795523400"),
        ({}, "epoch_ms", 1795523400000),
        ({"updated_at": "epoch"}, "iso", 1795523400),
        ({"updated_at": "timestamp"}, "epoch", "2026-11-24T12:30:00Z"),
        ({"updated_at": "epoch_ms"}, "date", 1795523400000),
    ],
)
def test_the_time_of_a_row_is_read_in_every_form(
    api: Api, opened: Open, columns: dict[str, str], style: str, value: Any
) -> None:
    api.faults = [Fault(body=json.dumps({"items": [{"id": 1, "updated_at": value}], "next": None}))]
    resource = {**RESOURCE, "columns": columns, "since": {**RESOURCE["since"], "format": style}}
    assert rows(read(opened(resource), HOUR)) == [{"id": 1, "updated_at": NOON + timedelta(minutes=30)}]


def test_the_last_batch_carries_the_highest_time(api: Api, opened: Open) -> None:
    fill(api, 5, 50, *[20] * 30)
    batches = read(opened(RESOURCE), HOUR)
    assert [batch.position for batch in batches[:-1]] == [None] * 3
    assert batches[-1].position == Position({"": {"$date": "2026-11-24T12:50:00.000000Z"}})


def test_a_position_goes_on_behind_it(api: Api, opened: Open) -> None:
    fill(api, 5, 10, 15)
    (batch,) = read(opened(RESOURCE))
    api.add({"id": 3, "updated_at": stamp(NOON + timedelta(minutes=20))})
    assert ids(read(opened(RESOURCE), after=batch.position)) == [3]
    assert ids(read(opened(RESOURCE), after=Position({"": "2026-11-24T12:10:00Z"}))) == [2, 3]
    assert ids(read(opened(RESOURCE), after=Position({}))) == [0, 1, 2, 3]


def test_an_api_that_knows_no_times_is_read_whole(api: Api, opened: Open) -> None:
    fill(api, -5, 5, 65)
    resource = {key: value for key, value in RESOURCE.items() if key not in ("since", "until")}
    assert ids(read(opened(resource), HOUR, time="updated_at")) == [1]
    assert api.asked[0].query == {}
    with pytest.raises(ConfigError, match="needs to know a row's time"):
        read(opened(resource), HOUR)


def test_two_times_that_differ_are_refused(opened: Open) -> None:
    with pytest.raises(ConfigError, match=r"the time column is 'created'.*'updated_at'"):
        read(opened(RESOURCE), HOUR, time="created")


@pytest.mark.parametrize(
    ("written", "style"),
    [
        ("2026-11-24T12:30:00.123456789Z", "iso"),
        (Decimal("1795523400.1234567"), "epoch"),
        (Decimal("1795523400123.4567"), "epoch_ms"),
    ],
)
def test_a_time_that_its_column_would_cut_is_rejected_or_kept_as_text(
    api: Api, opened: Open, written: Any, style: str
) -> None:
    said = f'"{written}"' if isinstance(written, str) else str(written)
    api.faults = [Fault(body=f'{{"items": [{{"id": 1, "updated_at": {said}}}]}}')] * 2
    since = {**RESOURCE["since"], "format": style}
    (batch,) = read(opened({**RESOURCE, "since": since}), HOUR)
    assert (len(batch.data), [one.reason.count("is finer than a microsecond") for one in batch.rejected]) == (
        0,
        [1],
    )
    if style == "iso":
        kept = {**RESOURCE, "since": since, "columns": {"updated_at": "string"}}
        assert [row["updated_at"] for row in rows(read(opened(kept), HOUR))] == [written]


@pytest.mark.unit
@pytest.mark.parametrize("count", ["1E+400000", "9" * 30, "-1E+30"])
def test_a_number_behind_the_calendar_is_no_time(count: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        read_time(Decimal(count), "epoch")
