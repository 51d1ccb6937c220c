"""How numbers and times are written on screen.

Pure functions; the zone and the present moment are arguments. `web.context` gives them to the
templates with the zone of the person who looks.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo


def number(value: float | None) -> str:
    """1234567 as 1,234,567; fractions are rounded away; nothing as a dash."""
    return "–" if value is None else f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """A share as 97.8%, with two digits below 2 %, and never 100 % or 0 % by rounding alone."""
    if not whole:
        return "–"
    share = 100 * part / whole
    text = f"{share:.2f}" if share < 2 else f"{share:.1f}"
    if part and float(text) == 0:
        return "<0.01%"
    if part < whole and float(text) >= 100:
        return "99.9%"
    return f"{float(text):g}%" if float(text) in (0, 100) else f"{text}%"


def rate(per_second: float) -> str:
    """Mails a second as 39.6 /s, and 0.05 /s when it is that slow."""
    if per_second >= 100:
        return f"{per_second:,.0f} /s"
    return f"{per_second:.1f} /s" if per_second >= 1 or not per_second else f"{per_second:.2g} /s"


def per_second(limit: float) -> str:
    """A limit that somebody set, as it was written: 40 /s, 0.5 /s."""
    return f"{limit:,g} /s" if limit < 1_000_000 else f"{limit:,.0f} /s"


def count(value: int, singular: str, plural: str | None = None) -> str:
    """The number with its noun: 1 recipient, 3 recipients."""
    return f"{number(value)} {singular if value == 1 else plural or singular + 's'}"


def duration(seconds: float) -> str:
    """A span in at most two units: 45 s, 7 min, 2 h 5 min, 3 days."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 36:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours + (minutes >= 30), 24)
    return f"{count(days, 'day')} {hours} h" if hours and days < 4 else count(days, "day")


def ago(moment: datetime, now: datetime) -> str:
    """How long something is over: "2 s ago"."""
    return f"{duration((now - moment).total_seconds())} ago"


def clock(moment: datetime, zone: ZoneInfo, *, seconds: bool = False) -> str:
    """The time of day in a zone: 10:53, or 10:53:07."""
    return moment.astimezone(zone).strftime("%H:%M:%S" if seconds else "%H:%M")


def day(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    """today, yesterday, tomorrow, or Wed 15 Oct, with the year if it is another one."""
    local, today = moment.astimezone(zone), now.astimezone(zone)
    distance = (local.date() - today.date()).days
    if distance in (-1, 0, 1):
        return ("yesterday", "today", "tomorrow")[distance + 1]
    text = f"{local:%a} {local.day} {local:%b}"
    return text if local.year == today.year else f"{text} {local.year}"


def moment(value: datetime, zone: ZoneInfo, now: datetime) -> str:
    """Day and time: "10:53" when it is today, else "Wed 15 Oct, 10:53"."""
    named = day(value, zone, now)
    return clock(value, zone) if named == "today" else f"{named}, {clock(value, zone)}"


def log_time(value: datetime, zone: ZoneInfo, now: datetime) -> str:
    """A time in a log: with seconds when it is today, else with its date, both short."""
    local = value.astimezone(zone)
    if local.date() == now.astimezone(zone).date():
        return clock(value, zone, seconds=True)
    year = "" if local.year == now.astimezone(zone).year else f" {local.year}"
    return f"{local.day} {local:%b}{year} {local:%H:%M}"


def long_day(value: datetime, zone: ZoneInfo) -> str:
    """A whole date: Tuesday, 14 October 2025, 10:46."""
    local = value.astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B} {local.year}, {local:%H:%M}"


def exact(value: datetime, zone: ZoneInfo) -> str:
    """A time for proofs, with milliseconds: 10:45:27.104."""
    local = value.astimezone(zone)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03d}"


def zone_or_utc(name: str | None) -> ZoneInfo:
    """The named zone, or UTC for a name that is missing or unknown."""
    try:
        return ZoneInfo(name) if name else ZoneInfo("UTC")
    except (KeyError, ValueError, OSError):  # unknown, malformed, or the name of a folder
        return ZoneInfo("UTC")
