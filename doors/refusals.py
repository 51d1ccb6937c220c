"""What was refused at the door, counted in memory: at most one log line a minute per reason.

Anyone on the internet can post to the webhook, so a refusal must cost nothing that grows.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

logger = logging.getLogger(__name__)
_EVERY_SECONDS = 60.0


class Refusals:
    """Counts by reason since the process began."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}

    def count(self, reason: str, detail: str = "") -> bool:
        """Count one refusal; True when this one was logged, which a caller may join."""
        with self._lock:
            self._totals[reason] += 1
            self._unlogged[reason] += 1
            now = self._clock()
            if now - self._logged_at.get(reason, -_EVERY_SECONDS) < _EVERY_SECONDS:
                return False
            self._logged_at[reason] = now
            number = self._unlogged.pop(reason)
        logger.warning("%d posts not taken: %s (last: %.200r)", number, reason, detail)
        return True

    def totals(self) -> dict[str, int]:
        """How many posts were refused, by reason."""
        with self._lock:
            return dict(self._totals)
