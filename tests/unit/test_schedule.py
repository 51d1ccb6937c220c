"""Local wall times that the clocks skip or repeat."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.schedule import UnknownZone, is_too_late, moment_of, zone_names


def test_a_time_that_the_clocks_skip_moves_forward():
    moment = moment_of(datetime(2026, 3, 29, 2, 30), "Europe/Madrid")  # noqa: DTZ001 - wall time
    assert moment == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 03:30 in Madrid


def test_a_time_that_exists_twice_is_the_first():
    moment = moment_of(datetime(2026, 10, 25, 2, 30), "Europe/Madrid")  # noqa: DTZ001 - wall time
    assert moment == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # still summer time


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "../etc/passwd", "Europe"])
def test_a_zone_that_does_not_exist_is_refused(zone):
    with pytest.raises(UnknownZone):
        moment_of(datetime(2026, 1, 1, 9, 0), zone)  # noqa: DTZ001 - wall time


def test_a_campaign_found_over_six_hours_late_is_too_late():
    due = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
    assert not is_too_late(due, due + timedelta(hours=6))
    assert is_too_late(due, due + timedelta(hours=6, seconds=1))


def test_zone_names_are_cities_and_utc():
    names = zone_names()
    assert {"Europe/Madrid", "America/New_York", "UTC"} <= set(names)
    assert not any(name.startswith(("Etc/", "posix/")) for name in names)
