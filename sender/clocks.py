"""Two clocks: one that runs through suspend, for leases, and the database's, for slots."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

#: What a clock that runs a little faster or slower gains between two readings (seconds).
_DRIFT_SECONDS = 0.02


def boottime() -> float:
    """Seconds since the machine started, suspend included: no lease outlives it unseen."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class DatabaseClock:
    """Translates the database's clock into `boottime` by the quickest of the last answers.

    A reading is late by the way from the database to here, so the smallest difference lately
    seen is nearest to the truth.
    """

    def __init__(self, clock: Callable[[], float] = boottime) -> None:
        self._clock = clock
        self._seen: deque[float] = deque(maxlen=50)

    def observe(self, database_now: float, asked_at: float) -> None:
        """Note that the database, asked at `asked_at`, said `database_now` just before this call.

        An answer that took long says little: its clock was read at some moment in between. Only
        if no such moment agrees with what is known has a clock been moved.
        """
        if self._seen and min(self._seen) < asked_at - database_now - _DRIFT_SECONDS:
            self._seen.clear()
        self._seen.append(self._clock() - database_now)

    def local(self, database_time: float) -> float:
        """The moment of `clock` at which the database's clock shows `database_time`."""
        return database_time + min(self._seen)

    def now(self) -> float:
        """The database's clock now, epoch seconds, without asking it."""
        return self._clock() - min(self._seen)
