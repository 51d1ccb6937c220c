"""Which SNS topics are ours: the ones of SNS_TOPIC_ARN, or else those that the configuration set
publishes to, read from SES at most once a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError

from aws.clients import AwsClients
from aws.topology import read_configuration_set
from config import Settings

_READ_EVERY_SECONDS = 60.0


class AllowedTopics:
    """The allow-list of the webhook; safe for many threads."""

    def __init__(
        self,
        settings: Settings,
        clients: AwsClients,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._read: frozenset[str] = frozenset()

    @property
    def is_configured(self) -> bool:
        """Whether a person named the topics."""
        return bool(self._settings.sns_topic_arn)

    def current(self) -> frozenset[str]:
        """The topics to believe; empty if none is named and SES cannot be read."""
        if self.is_configured:
            return frozenset(self._settings.sns_topic_arn)
        # While one thread reads, the others go by what was read before; only the first read
        # of all has to be waited for.
        if self._lock.acquire(blocking=self._read_at is None):
            try:
                now = self._clock()
                if self._read_at is None or now - self._read_at >= _READ_EVERY_SECONDS:
                    found = self._read_from_ses()
                    self._read = self._read if found is None else found
                    self._read_at = now
            finally:
                self._lock.release()
        return self._read

    def _read_from_ses(self) -> frozenset[str] | None:
        name = self._settings.ses_configuration_set
        if not name:
            return frozenset()
        try:
            return read_configuration_set(self._clients.ses, name).topics()
        except BotoCoreError:
            return None
