"""Whoever looks at a page goes first: notifications wait a moment while one is made."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: A page is made in less; one that takes longer, such as an upload, holds nobody up any further.
MOST_SECONDS = 0.05


class PagesFirst:
    """Pages under way in this process, which share one interpreter with the notifications."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._under_way = 0
        self._until = 0.0

    @contextmanager
    def page(self) -> Iterator[None]:
        """A page is made inside."""
        with self._changed:
            self._under_way += 1
            self._until = time.monotonic() + MOST_SECONDS
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                if not self._under_way:
                    self._changed.notify_all()

    def let_pass(self) -> None:
        """Return when no page is under way, but at most MOST_SECONDS after the newest began."""
        if not self._under_way:
            return
        with self._changed:
            left = self._until - time.monotonic()
            self._changed.wait_for(lambda: not self._under_way, max(0.0, left))
