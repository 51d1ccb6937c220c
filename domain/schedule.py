"""From a local wall time in a named zone to a moment, and when a schedule is overdue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

#: A campaign found later than this is paused instead of sent: nobody expects it any more.
LATE_AFTER = timedelta(hours=6)


class UnknownZone(ValueError):
    """There is no time zone of that name."""


def zone_names() -> list[str]:
    """Names such as Europe/Madrid, for a list to choose from."""
    hidden = ("Etc/", "posix/", "right/", "SystemV/")
    named = {n for n in available_timezones() if "/" in n and not n.startswith(hidden)}
    return sorted(named | {"UTC"})


def moment_of(local: datetime, zone: str) -> datetime:
    """The UTC moment of a naive local time.

    A time that the clocks skip moves forward by the gap; one that exists twice is the first
    (PEP 495, fold 0 does both). Raises UnknownZone.
    """
    try:
        info = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError) as error:
        raise UnknownZone(zone) from error
    return local.replace(tzinfo=info, fold=0).astimezone(UTC)


def is_too_late(due: datetime, now: datetime) -> bool:
    """Whether a due campaign was found so late that a person must decide."""
    return now - due > LATE_AFTER
