"""Local times: when a wall-clock time happens in a zone, and when a send window is open.

Windows are written in the campaign's own zone; everything that comes out is aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def local_to_utc(local: datetime, zone: ZoneInfo) -> datetime:
    """The moment when a naive wall-clock time happens in a zone.

    A time that the clocks skip moves forward by the gap (02:30 becomes 03:30); one that exists
    twice is the first.
    """
    # fold=0 reads a repeated time as the first and a skipped one by the offset before the gap,
    # which lies after the gap once it is written with the offset that is then in force.
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


@dataclass(frozen=True)
class SendWindow:
    """Hours of some days in which a campaign may send; past midnight if the end comes first.

    The same time twice is a whole day.
    """

    days: frozenset[int]  # Monday is 0; the day on which the window opens
    start: time
    end: time
    zone: ZoneInfo

    def is_open(self, now: datetime) -> bool:
        """Whether mails may leave now."""
        return self._around(now) is not None

    def closes(self, now: datetime) -> datetime:
        """When the window that is open now closes; `now` if none is open."""
        span = self._around(now)
        return now if span is None else span[1]

    def next_opening(self, now: datetime) -> datetime:
        """`now` if the window is open, else the next moment when it opens."""
        if self.is_open(now):
            return now
        today = now.astimezone(self.zone).date()
        spans = (self._span(today + timedelta(days=ahead)) for ahead in range(9))
        return min(span[0] for span in spans if span and span[0] > now)

    def sentence(self) -> str:
        """The window in words."""
        days = ", ".join(DAY_NAMES[day] for day in sorted(self.days))
        return f"{days} {self.start:%H:%M} to {self.end:%H:%M} ({self.zone.key})"

    def _around(self, now: datetime) -> tuple[datetime, datetime] | None:
        today = now.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today):
            span = self._span(day)
            if span and span[0] <= now < span[1]:
                return span
        return None

    def _span(self, day: date) -> tuple[datetime, datetime] | None:
        if day.weekday() not in self.days:
            return None
        last = day if self.end > self.start else day + timedelta(days=1)
        opens = local_to_utc(datetime.combine(day, self.start), self.zone)
        closes = local_to_utc(datetime.combine(last, self.end), self.zone)
        return (opens, closes) if closes > opens else None


def parse_window(
    days: str | None, start: str | None, end: str | None, zone: str | None
) -> SendWindow | None:
    """The window of a campaign's columns; None if it has none.

    `days` is "0,1,2" (Monday is 0), times are "HH:MM". Raises ValueError with a sentence.
    """
    if not days or not start or not end:
        return None
    try:
        numbers = frozenset(int(day) for day in days.split(","))
        opens, closes = time.fromisoformat(start), time.fromisoformat(end)
    except ValueError:
        raise ValueError("The send window needs weekdays and times like 08:00.") from None
    if not numbers <= set(range(7)):
        raise ValueError("The weekdays of a send window are 0 (Monday) to 6 (Sunday).")
    try:
        return SendWindow(numbers, opens, closes, ZoneInfo(zone or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"There is no time zone named {zone}.") from None
