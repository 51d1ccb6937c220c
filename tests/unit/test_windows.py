"""Wall-clock times and send windows over the days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.windows import SendWindow, local_to_utc, parse_window

NEW_YORK = ZoneInfo("America/New_York")


def office(zone: str = "Europe/Madrid") -> SendWindow:
    window = parse_window("0,1,2,3,4", "08:00", "18:00", zone)
    assert window is not None
    return window


def test_a_time_that_the_clocks_skip_moves_forward() -> None:
    skipped = datetime(2026, 3, 8, 2, 30)  # noqa: DTZ001 - a wall-clock time
    assert local_to_utc(skipped, NEW_YORK) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)


def test_a_time_that_exists_twice_is_the_first() -> None:
    twice = datetime(2026, 11, 1, 1, 30)  # noqa: DTZ001 - a wall-clock time
    assert local_to_utc(twice, NEW_YORK) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)


def test_window_is_open_in_its_own_zone_and_closes_to_the_second() -> None:
    window = office()
    assert not window.is_open(datetime(2026, 3, 2, 6, 59, 59, tzinfo=UTC))
    assert window.is_open(datetime(2026, 3, 2, 7, 0, tzinfo=UTC))
    assert window.is_open(datetime(2026, 3, 2, 16, 59, 59, tzinfo=UTC))
    assert not window.is_open(datetime(2026, 3, 2, 17, 0, tzinfo=UTC))


def test_next_opening_skips_the_weekend() -> None:
    friday_evening = datetime(2026, 3, 6, 20, 0, tzinfo=UTC)
    assert office().next_opening(friday_evening) == datetime(2026, 3, 9, 7, 0, tzinfo=UTC)


def test_next_opening_follows_the_change_to_summer_time() -> None:
    friday = datetime(2026, 3, 27, 20, 0, tzinfo=UTC)  # clocks change on the 29th
    assert office().next_opening(friday) == datetime(2026, 3, 30, 6, 0, tzinfo=UTC)


def test_window_past_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    night = SendWindow(frozenset({4}), time(22), time(6), ZoneInfo("UTC"))  # Friday night
    assert night.is_open(datetime(2026, 3, 7, 5, 59, tzinfo=UTC))
    assert not night.is_open(datetime(2026, 3, 6, 5, 59, tzinfo=UTC))
    assert night.closes(datetime(2026, 3, 6, 23, 0, tzinfo=UTC)) == datetime(
        2026, 3, 7, 6, 0, tzinfo=UTC
    )


def test_the_same_time_twice_is_a_whole_day() -> None:
    window = parse_window("0", "00:00", "00:00", "UTC")
    assert window is not None
    assert window.is_open(datetime(2026, 3, 2, 23, 59, tzinfo=UTC))
    assert not window.is_open(datetime(2026, 3, 3, 0, 0, tzinfo=UTC))


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - made aware below
    st.frozensets(st.integers(0, 6), min_size=1),
    st.times(),
    st.times(),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_window_is_open_at_its_next_opening_and_shut_when_it_closes(
    naive: datetime, days: frozenset[int], start: time, end: time, zone: str
) -> None:
    window = SendWindow(
        days, start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0),
        ZoneInfo(zone),
    )  # fmt: skip
    now = naive.replace(tzinfo=UTC)
    opens = window.next_opening(now)
    assert opens >= now
    assert window.is_open(opens)
    assert window.closes(opens) > opens


@pytest.mark.parametrize(
    ("days", "start", "zone"),
    [("7", "08:00", "UTC"), ("x", "08:00", "UTC"), ("0", "8 o'clock", "UTC"),
     ("0", "08:00", "Nowhere/City")],
)  # fmt: skip
def test_a_window_that_cannot_be_read_is_refused(days: str, start: str, zone: str) -> None:
    with pytest.raises(ValueError, match=r"window|zone|weekdays"):
        parse_window(days, start, "18:00", zone)


def test_a_campaign_without_window_has_none() -> None:
    assert parse_window(None, None, None, None) is None
