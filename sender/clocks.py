"""Two clocks: one that runs through suspend, for leases, and the database's, for slots."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

#: A difference beyond this is a clock that was moved, not a slow answer (seconds).
_MOVED_SECONDS = 0.5


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

    def observe(self, database_now: float) -> None:
        """Note that the database said `database_now` just before this call."""
        difference = self._clock() - database_now
        if self._seen and abs(difference - min(self._seen)) > _MOVED_SECONDS:
            self._seen.clear()
        self._seen.append(difference)

    def local(self, database_time: float) -> float:
        """The moment of `clock` at which the database's clock shows `database_time`."""
        return database_time + min(self._seen)

    def now(self) -> float:
        """The database's clock now, epoch seconds, without asking it."""
        return self._clock() - min(self._seen)
