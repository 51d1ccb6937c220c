"""A small token bucket for one process: `rate` a second, with a burst saved up."""

from __future__ import annotations


class TokenBucket:
    """Not thread-safe: the caller holds its own lock, or lives with one token more or less."""

    def __init__(self, rate: float, burst: float | None = None) -> None:
        """`burst` is a second's worth if it is not given; a rate of 0 gives nothing ever."""
        self._rate = rate
        self._most = (burst or max(1.0, rate)) if rate > 0 else 0.0
        self._tokens = self._most
        self._seen: float | None = None

    def take(self, now: float) -> bool:
        """Take one token if there is one; `now` are seconds of a monotonic clock."""
        if self._seen is not None:
            gained = max(0.0, now - self._seen) * self._rate
            self._tokens = min(self._most, self._tokens + gained)
        self._seen = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
