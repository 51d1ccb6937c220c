"""Works off what waits in `events`: those stored beyond the webhook's limit, and those that came
before the send they belong to. Also forgets raw events when their time is over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.orm import Session, sessionmaker

from config import SendEvents, Settings
from database import writing
from doors.intake import TROUBLE, utc_now
from services.delivery_events import apply_stored
from services.event_backlog import (
    bury,
    expire_parked,
    matchable_parked,
    purge_raw,
    waiting_keys,
)
from services.event_health import count_full_minutes, keep_full_minutes, watch_silence

logger = logging.getLogger(__name__)
#: One step holds SQLite's writer lock for about 20 ms.
BATCH = 100
_IDLE_SECONDS = 0.5
_REMATCH_EVERY_SECONDS = 2.0
_TIDY_EVERY_SECONDS = 60.0
_AFTER_TROUBLE_SECONDS = 5.0


class EventApplier:
    """The background applier of one process; several may run."""

    def __init__(
        self,
        settings: Settings,
        sessions: sessionmaker[Session],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Apply, match again and tidy up until `stop` is set."""
        rematch_at = tidy_at = 0.0
        while not stop.is_set():
            try:
                applied = self.apply_waiting()
                now = time.monotonic()
                if now >= rematch_at:
                    self.match_parked()
                    rematch_at = now + _REMATCH_EVERY_SECONDS
                if now >= tidy_at:
                    self.tidy(stop)
                    tidy_at = now + _TIDY_EVERY_SECONDS
                stop.wait(0.0 if applied else _IDLE_SECONDS)
            except TROUBLE as error:
                logger.warning("applying events waits for the database: %s", type(error).__name__)
                stop.wait(_AFTER_TROUBLE_SECONDS)
            except Exception:
                logger.exception("applying events failed; it is tried again")
                stop.wait(_AFTER_TROUBLE_SECONDS)

    def apply_waiting(self) -> int:
        """Apply one batch of what waits, oldest first; how many events were looked at."""
        with self._sessions() as session:
            keys = waiting_keys(session, BATCH)
        self._apply(keys)
        return len(keys)

    def match_parked(self) -> int:
        """Look again for the rows of events that came early; how many may have one now."""
        with self._sessions() as session:
            keys = matchable_parked(session, self._clock(), BATCH)
        self._apply(keys)
        return len(keys)

    def tidy(self, stop: threading.Event | None = None) -> None:
        """Let parked events expire, purge raw forms in short steps, and watch for silence."""
        for step in (self._expire, self._purge, self._purge_critical):
            while step() and not (stop and stop.is_set()):
                time.sleep(0.005)  # let other writers in
        now = self._clock()
        with self._sessions() as session:
            counts = count_full_minutes(session, now)
        sends = {SendEvents.YES: True, SendEvents.NO: False}.get(self._settings.send_events)
        with self._sessions() as session, writing(session):
            keep_full_minutes(session, counts)
            watch_silence(session, now, sends_published=sends)

    def _expire(self) -> int:
        with self._sessions() as session, writing(session):
            return expire_parked(session, self._clock(), BATCH)

    def _purge(self) -> int:
        days = self._settings.raw_event_days
        with self._sessions() as session, writing(session):
            return purge_raw(session, self._clock(), days, BATCH, critical=False)

    def _purge_critical(self) -> int:
        days = self._settings.raw_critical_event_days
        with self._sessions() as session, writing(session):
            return purge_raw(session, self._clock(), days, BATCH, critical=True)

    def _apply(self, keys: list[bytes]) -> None:
        if not keys:
            return
        try:
            with self._sessions() as session, writing(session):
                apply_stored(session, keys, self._clock())
        except TROUBLE:
            raise
        except Exception:
            logger.exception("a batch of stored events failed, trying them one by one")
            for key in keys:
                self._apply_one(key)

    def _apply_one(self, key: bytes) -> None:
        try:
            with self._sessions() as session, writing(session):
                apply_stored(session, [key], self._clock())
        except TROUBLE:
            raise
        except Exception as error:
            logger.exception("event %s cannot be applied", key.hex())
            with self._sessions() as session, writing(session):
                bury(session, key, f"{type(error).__name__}: {error}"[:500])
