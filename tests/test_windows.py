from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.errors import ConfigError
from levada.windows import Grain, Window, last_whole, period, periods

pytestmark = pytest.mark.unit

ZONES = [
    "UTC",
    "Europe/Lisbon",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/St_Johns",
]
moments = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
zones = st.sampled_from(ZONES)
grains = st.sampled_from(list(Grain))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def test_triggered_at_two_a_daily_pipeline_owns_the_day_before() -> None:
    assert last_whole(utc(2026, 11, 24, 2), Grain.DAY) == Window(utc(2026, 11, 23), utc(2026, 11, 24))


def test_triggered_at_midnight_it_owns_the_day_that_has_just_ended() -> None:
    assert last_whole(utc(2026, 11, 24), Grain.DAY).end == utc(2026, 11, 24)


def test_triggered_just_before_midnight_it_owns_the_day_before() -> None:
    trigger = utc(2026, 11, 24) - timedelta(microseconds=1)
    assert last_whole(trigger, Grain.DAY).end == utc(2026, 11, 23)


def test_the_day_belongs_to_the_time_zone() -> None:
    window = last_whole(utc(2026, 11, 24, 7), Grain.DAY, "America/New_York")  # 02:00 there
    assert window == Window(utc(2026, 11, 23, 5), utc(2026, 11, 24, 5))


@pytest.mark.parametrize(("day", "hours"), [(29, 23), (28, 24)])
def test_a_day_is_shorter_when_the_clocks_go_forward(day: int, hours: int) -> None:
    window = Window.parse(f"2026-03-{day}", Grain.DAY, "Europe/Lisbon")
    assert window.end - window.start == timedelta(hours=hours)


def test_a_day_is_longer_when_the_clocks_go_back() -> None:
    window = Window.parse("2026-10-25", Grain.DAY, "Europe/Lisbon")
    assert window.end - window.start == timedelta(hours=25)


def test_hours_are_whole_hours_of_utc_even_where_a_local_hour_happens_twice() -> None:
    day = Window.parse("2026-10-25", Grain.DAY, "Europe/Lisbon")
    assert len(list(periods(day, Grain.HOUR, "Europe/Lisbon"))) == 25


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    assert Window.parse("2026-W47") == Window(utc(2026, 11, 16), utc(2026, 11, 23))
    assert Window.parse("2026-02") == Window(utc(2026, 2, 1), utc(2026, 3, 1))


def test_an_hour_is_read_by_its_first_moment() -> None:
    assert Window.parse("2026-11-23T05", Grain.HOUR) == Window(utc(2026, 11, 23, 5), utc(2026, 11, 23, 6))


def test_start_and_end_are_read_as_they_are() -> None:
    window = Window.parse("2026-11-23T05:30/2026-11-23T06:00")
    assert window == Window(utc(2026, 11, 23, 5, 30), utc(2026, 11, 23, 6))


def test_for_people_a_whole_day_is_its_date() -> None:
    assert Window.parse("2026-11-23").short == "2026-11-23"
    for other in ("2026-11-23T00:00/2026-11-23T12:00", "2026-11-23T01:00/2026-11-24T01:00", "2026-W47"):
        assert "/" in Window.parse(other).short


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-W60", "2026-11-24/2026-11-23", "1/2/3"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Window.parse(text)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ConfigError, match="Mars"):
        last_whole(utc(2026, 1, 1), Grain.DAY, "Mars/Olympus")


def test_a_window_needs_a_time_zone() -> None:
    with pytest.raises(ConfigError):
        Window(datetime(2026, 1, 1), datetime(2026, 1, 2))


def test_start_belongs_to_a_window_and_end_does_not() -> None:
    window = Window.parse("2026-11-23")
    assert window.start in window
    assert window.end not in window


@given(moments, grains, zones)
def test_every_moment_lies_in_its_period_and_in_no_other(moment: datetime, grain: Grain, zone: str) -> None:
    window = period(moment, grain, zone)
    assert moment in window
    assert period(window.start, grain, zone) == window
    assert period(window.end, grain, zone).start == window.end


@given(moments, zones)
def test_a_day_is_the_local_calendar_day(moment: datetime, zone: str) -> None:
    window = period(moment, Grain.DAY, zone)
    local: date = moment.astimezone(ZoneInfo(zone)).date()
    assert window.start.astimezone(ZoneInfo(zone)).date() == local
    before = window.end - timedelta(microseconds=1)
    assert before.astimezone(ZoneInfo(zone)).date() == local


@given(moments, grains, zones)
def test_the_last_whole_period_ends_before_the_trigger_and_touches_the_current_one(
    moment: datetime, grain: Grain, zone: str
) -> None:
    window = last_whole(moment, grain, zone)
    assert window.end <= moment
    assert window.end == period(moment, grain, zone).start


@given(moments, st.integers(1, 40), st.sampled_from([Grain.DAY, Grain.WEEK, Grain.MONTH]), zones)
def test_periods_tile_a_span_without_gap_or_overlap(
    moment: datetime, days: int, grain: Grain, zone: str
) -> None:
    span = Window(moment, moment + timedelta(days=days))
    found = list(periods(span, grain, zone))
    assert found[0].start <= span.start
    assert found[-1].end >= span.end
    assert all(one.end == two.start for one, two in pairwise(found))


@pytest.mark.parametrize("text", ["2026-11", "2026-W47", "2026-11-23"])
def test_space_around_a_window_changes_nothing(text: str) -> None:
    assert Window.parse(f" {text} ") == Window.parse(text)


@pytest.mark.parametrize(
    ("text", "zone"), [("9999-12-31", "UTC"), ("9999-12", "UTC"), ("0001-01-01", "Asia/Tokyo")]
)
def test_the_ends_of_the_calendar_are_refused(text: str, zone: str) -> None:
    with pytest.raises(ConfigError, match="calendar"):
        Window.parse(text, zone=zone)
