"""How many SendBulkEmail calls a second AWS takes: learned, because AWS does not tell.

AWS documents one call a second for SendBulkEmail, and answers more on many accounts. The rate
starts where the settings say, grows while AWS does not object, and is halved when it does. Mails
draw their own slots besides (domain/pacing.py). Pure functions over epoch seconds.
"""

from __future__ import annotations

import math
from dataclasses import replace

from domain import pacing
from domain.bulk_template import MAX_ENTRIES
from domain.pacing import HALVE_EVERY_SECONDS, Pace

#: A call waits at most this long to be filled (seconds): checks of rows are good for two.
FILL_SECONDS = 0.5
#: Calls are drawn this far ahead of their time (seconds).
_REACH_SECONDS = 0.25
#: A process holds at most so many mails for bulk calls: more would outlive the check of their rows
#: on a machine that cannot keep the rate, and be claimed for nothing.
MOST_IN_HAND = 1000
LATE_WHEN_FAST_SECONDS = 0.5
LEAST_CALLS, MOST_CALLS = 0.5, 1000.0
#: Growth after each second that was used and went well; the small one near what AWS refused.
_QUICK, _CAREFUL = 1.5, 1.02
_USED_SHARE = 0.5


def mails_of_a_round(rate: float) -> int:
    """How many mails one claim takes at `rate` mails a second, so that calls get full."""
    return max(pacing.most_slots(rate), min(MAX_ENTRIES, int(rate * FILL_SECONDS)))


def calls_in_reach(next_slot: float, now: float, rate: float) -> int:
    """How many calls can be drawn now; none while the next one is beyond the horizon."""
    drawn = pacing.draw(next_slot, now, rate, 1)
    if drawn is None:
        return 0
    return 1 + max(0, int((now + _REACH_SECONDS - drawn.first) / drawn.spacing))


def lateness_allowed(rate: float, mails: int) -> float:
    """How late (seconds) a call of so many mails may leave: a quarter of the time it is worth.

    Half a second above 200 mails a second: a machine that cannot keep the rate has all its calls
    late, and would send their mails one by one, at three times the cost.
    """
    return max(mails / rate / 4, LATE_WHEN_FAST_SECONDS if rate > pacing.EXACT_UP_TO else 0.0)


def learned(pace: Pace, calls: int, throttles: int, now: float) -> Pace:
    """The pace of calls after `calls` answers of which `throttles` said "too many calls".

    `ceiling` is the rate that AWS objected to last, once `halved_at` is set.
    """
    second = math.floor(now)
    same = pace.second == second
    told = replace(
        pace,
        second=second,
        calls=calls + (pace.calls if same else 0),
        throttles=throttles + (pace.throttles if same else 0),
    )
    resting = pace.halved_at is not None and 0 <= now - pace.halved_at < HALVE_EVERY_SECONDS
    if resting:
        return told
    if throttles:
        halved = max(pace.rate / 2, LEAST_CALLS)
        return replace(told, rate=halved, ceiling=pace.rate, halved_at=now)
    if same or pace.throttles or pace.calls < _USED_SHARE * pace.rate:
        return told
    near = pace.halved_at is not None and pace.rate * _QUICK > pace.ceiling
    grown = max(pace.rate * (_CAREFUL if near else _QUICK), LEAST_CALLS)
    return replace(told, rate=min(grown, MOST_CALLS))
