"""The arithmetic of rates: time slots (GCRA), the answer to throttling, ceilings, finish times.

Pure functions over epoch seconds. The shared bucket in rate_limiter.py does `draw` in SQL; a test
holds the two together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.windows import SendWindow

#: Slots are this much further apart than the rate says: scheduling jitter and the fence post of
#: a closed interval then stay below "rate + 2 in any sliding second", and 98 % is still reached.
HEADROOM = 0.992
#: A slot is never nearer than this: the claim and the mark have to be committed first (seconds).
LEAD_SECONDS = 0.05
#: Slots are drawn only while the next free one is nearer than this (seconds).
HORIZON_SECONDS = 0.1
#: A process with empty hands draws only from here to the horizon on (seconds before the slot):
#: those that are sending come first, and the others step in before a slot is lost.
STEP_IN_SECONDS = 0.065
#: One draw takes at most this much of the rate, so that the last slot is 0.2 s ahead (seconds).
DRAW_SECONDS = 0.1
#: A slot missed by less than this is still used (seconds), see `lateness_allowed`.
LATE_SECONDS = 0.008
LATE_WHEN_FAST_SECONDS = 0.12
EXACT_UP_TO = 200.0
#: A mail that misses again and again takes at most the slots of this much time (seconds).
WIDEST_SECONDS = 0.5
#: Halve when more than this share of a second's calls was throttled, at most every so often.
THROTTLED_SHARE = 0.01
HALVE_EVERY_SECONDS = 5.0
#: What comes back each second after a halving, as a share of the ceiling.
CLIMB_PER_SECOND = 0.02


def interval(rate: float) -> float:
    """Seconds between two slots at `rate` mails a second."""
    return 1.0 / (rate * HEADROOM)


def most_slots(rate: float) -> int:
    """The most slots one draw may take: a tenth of a second's worth, at least one."""
    return max(1, int(rate * DRAW_SECONDS))


def sane_lead(rate: float) -> float:
    """How far ahead the next free slot can honestly be; further means that a clock was moved."""
    return 1.0 + 2.0 * max(DRAW_SECONDS, interval(rate))


def lateness_allowed(rate: float) -> float:
    """How late (seconds) a mail may leave after its last slot before it needs a new one.

    A closed window of one second sees the mails of 1 + L seconds of slots: at most one more than
    `rate * HEADROOM * (1 + L)`, whatever stalls and however many processes. That is less than
    the rate + 2 while L < (1 + 1/rate) / HEADROOM - 1, and less than 1.2 times the rate while
    L < 0.2 (for those that are fast); the rest of it is left to the way to SES.
    """
    if rate > EXACT_UP_TO:
        return LATE_WHEN_FAST_SECONDS
    return max(LATE_SECONDS, min(0.7 / rate + 0.003, 1.0))


def slots_of_a_mail(rate: float, misses: int) -> int:
    """How many slots in a row a mail takes that has missed its time so often already.

    It may leave at any of them: a starved machine sends slowly rather than never, and the rate
    holds, since each moment belongs to one mail. They are at most half a second, or two.
    """
    return min(1 << min(misses, 10), max(2, int(rate * WIDEST_SECONDS)))


def most_in_hand(rate: float, call_seconds: float) -> int:
    """How many mails a process holds at most, waiting for slots or for answers.

    Slots are at most 0.2 s ahead and calls take `call_seconds`; more than that means that the
    machine cannot keep the rate, and what it holds would leave in a burst.
    """
    return 16 + int(rate * (LEAD_SECONDS + HORIZON_SECONDS + DRAW_SECONDS + 1.5 * call_seconds))


@dataclass(frozen=True)
class Draw:
    """Slots handed out: `first`, then one every `spacing` seconds; `next_slot` is free."""

    first: float
    spacing: float
    count: int
    next_slot: float

    def slots(self) -> list[float]:
        """The times of all slots."""
        return [self.first + number * self.spacing for number in range(self.count)]


def is_in_reach(
    next_slot: float, now: float, rate: float, horizon: float = HORIZON_SECONDS
) -> bool:
    """Whether the next free slot is nearer than `horizon`, or so far that a clock was moved."""
    return next_slot < now + horizon or next_slot > now + sane_lead(rate)


def draw(next_slot: float, now: float, rate: float, wanted: int) -> Draw | None:
    """Take `wanted` slots, or none while the next free one is beyond the horizon.

    Missed slots are dropped, never saved up. A next slot that lies further ahead than any draw
    can reach comes from a clock that was set back, and is forgotten.
    """
    if not is_in_reach(next_slot, now, rate):
        return None
    moved = next_slot > now + sane_lead(rate)
    first = now + LEAD_SECONDS if moved else max(next_slot, now + LEAD_SECONDS)
    spacing = interval(rate)
    return Draw(first, spacing, wanted, first + wanted * spacing)


@dataclass(frozen=True)
class Pace:
    """The rate in force and what throttling did to it."""

    rate: float
    ceiling: float
    halved_at: float | None = None
    second: float | None = None  # the second that the two figures are of
    calls: int = 0
    throttles: int = 0


def after_calls(pace: Pace, calls: int, throttles: int, now: float) -> Pace:
    """The pace after `calls` answers of which `throttles` said "too fast" (Design: section 4).

    Over 1 % of a second's calls throttled halves the rate, at most every five seconds and never
    below one a second (or the ceiling, if that is lower); then it climbs back.
    """
    second = math.floor(now)
    known = pace.second is not None and second - 1 <= pace.second <= second
    total = (pace.calls if known else 0) + calls
    slowed = (pace.throttles if known else 0) + throttles
    rate = _climbed(pace, now)
    halved_at = pace.halved_at
    resting = halved_at is not None and 0 <= now - halved_at < HALVE_EVERY_SECONDS
    if throttles and slowed > THROTTLED_SHARE * total and not resting:
        rate = max(rate / 2, min(pace.ceiling, 1.0))
        halved_at = now
    same = known and pace.second == second
    return replace(
        pace,
        rate=rate,
        halved_at=halved_at,
        second=second,
        calls=total if same else calls,
        throttles=slowed if same else throttles,
    )


def _climbed(pace: Pace, now: float) -> float:
    if pace.rate >= pace.ceiling or pace.halved_at is None or pace.second is None:
        return pace.ceiling if pace.halved_at is None else min(pace.rate, pace.ceiling)
    rested_since = max(pace.second, pace.halved_at + HALVE_EVERY_SECONDS)
    rested = min(max(0.0, now - rested_since), 60.0)
    return min(pace.ceiling, pace.rate + pace.ceiling * CLIMB_PER_SECOND * rested)


def with_ceiling(pace: Pace, ceiling: float) -> Pace:
    """The pace under a new ceiling; a rate that was not slowed follows it."""
    slowed = pace.halved_at is not None and pace.rate < pace.ceiling
    return replace(pace, ceiling=ceiling, rate=min(pace.rate, ceiling) if slowed else ceiling)


@dataclass(frozen=True)
class AccountLimits:
    """What SES last said of the account; None = unknown, -1 = unlimited."""

    max_send_rate: float | None = None
    max_24_hour_send: float | None = None
    sent_last_24_hours: float | None = None


def ceiling(limits: AccountLimits, wanted: float, reserve_percent: float) -> float:
    """Mails a second: the wanted rate, or the account's less the reserve for other senders."""
    allowed = limits.max_send_rate
    if allowed is None or allowed <= 0:
        return wanted
    return min(wanted, allowed * (1 - reserve_percent / 100))


def quota_left(limits: AccountLimits, sent_here: int, reserve_percent: float) -> int | None:
    """Mails left of the 24-hour quota less the reserve; None = unlimited or unknown."""
    daily = limits.max_24_hour_send
    if daily is None or daily < 0:
        return None
    used = (limits.sent_last_24_hours or 0.0) + sent_here
    return max(0, math.floor(daily * (1 - reserve_percent / 100) - used))


@dataclass(frozen=True)
class Outlook:
    """What decides when a campaign ends. Rates in mails a second, quota in mails a day."""

    rate: float
    quota_left: int | None = None
    quota_per_day: int | None = None
    batch_size: int | None = None
    batch_pause_seconds: int | None = None
    window: SendWindow | None = None


def finish_time(now: datetime, remaining: int, outlook: Outlook) -> datetime | None:
    """When the last of `remaining` mails leaves; None if that is never or over five years ahead.

    Quota comes back a day after it was used up; a batch's pause counts as time; a window only
    lets mails out while it is open.
    """
    rate = _with_pauses(outlook)
    if remaining <= 0:
        return now
    if rate <= 0 or outlook.quota_per_day == 0:
        return None
    at, left, quota = now, float(remaining), outlook.quota_left
    quota_renews = now + timedelta(days=1)
    for _ in range(2000):
        if outlook.window is not None and not outlook.window.is_open(at):
            at = outlook.window.next_opening(at)
            continue
        if at >= quota_renews:
            quota, quota_renews = outlook.quota_per_day, at + timedelta(days=1)
        if quota == 0:
            at = quota_renews
            continue
        possible = left if quota is None else min(left, float(quota))
        ends = at + timedelta(seconds=min(possible / rate, 2e8))
        if outlook.window is not None:
            ends = min(ends, outlook.window.closes(at))
        if quota is not None:
            ends = min(ends, quota_renews)
        sent = (ends - at).total_seconds() * rate
        left -= sent
        quota = None if quota is None else max(0, quota - math.ceil(sent - 1e-6))
        if left < 0.5:  # times are whole microseconds: a trace of a mail may be left over
            return ends
        at = max(ends, at + timedelta(seconds=1))
    return None


def _with_pauses(outlook: Outlook) -> float:
    if not outlook.batch_size or not outlook.batch_pause_seconds or outlook.rate <= 0:
        return outlook.rate
    seconds = outlook.batch_size / outlook.rate + outlook.batch_pause_seconds
    return outlook.batch_size / seconds
