"""The sending quota of an account: a rate with debt for many recipients, and rolling 24 hours."""

from __future__ import annotations

from collections import deque
from typing import Final

_DAY: Final = 86_400
_BUCKET_SECONDS: Final = 60


class RateBucket:
    """Tokens at a rate per second. A call passes while any are left, and may leave a debt.

    Short bursts up to one second's worth are tolerated, as SES does.
    """

    def __init__(self) -> None:
        self._tokens = 1.0
        self._at = 0.0

    def passes(self, cost: float, rate: float, now: float) -> bool:
        """Whether a call with `cost` recipients passes at `now` (seconds)."""
        burst = max(1.0, rate)
        self._tokens = min(burst, self._tokens + max(0.0, now - self._at) * rate)
        self._at = now
        if self._tokens < 1.0:
            return False
        self._tokens -= cost
        return True


class RollingDay:
    """Recipients of the last 24 hours, by the minute."""

    def __init__(self) -> None:
        self._buckets: deque[list[int]] = deque()
        self._sum = 0

    def add(self, count: int, now: float) -> None:
        """Count accepted recipients at `now` (epoch seconds)."""
        minute = int(now // _BUCKET_SECONDS)
        if self._buckets and self._buckets[-1][0] == minute:
            self._buckets[-1][1] += count
        else:
            self._buckets.append([minute, count])
        self._sum += count

    def total(self, now: float) -> int:
        """Recipients since 24 hours before `now`."""
        oldest = int((now - _DAY) // _BUCKET_SECONDS)
        while self._buckets and self._buckets[0][0] <= oldest:
            self._sum -= self._buckets.popleft()[1]
        return self._sum
