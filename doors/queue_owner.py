"""Whose queue it is, and who else uses it.

A queue belongs to one installation (tag `bes_install`), or the events of one would be deleted by
the other. Other programs' messages in our queue stay, but many of them mean a wrong queue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import why_not

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)
OWNER_TAG = "bes_install"
MOST_STRANGERS = 20
STRANGERS_WITHIN = timedelta(minutes=10)


class QueueOwner:
    """Whether the queue is this installation's, by its tag."""

    def __init__(self, sqs: SQSClient, url: str, install: str) -> None:
        self._sqs = sqs
        self._url = url
        self.install = install
        self.is_ours = False
        self.stopped_because: str | None = None

    def check(self) -> None:
        """Read the tag, and set it where there is none and our rights allow it."""
        try:
            tags = self._sqs.list_queue_tags(QueueUrl=self._url).get("Tags", {})
            owner = tags.get(OWNER_TAG)
            if owner is None:
                self._sqs.tag_queue(QueueUrl=self._url, Tags={OWNER_TAG: self.install})
                owner = self.install
                logger.info("the queue is now marked as this installation's")
        except (ClientError, BotoCoreError) as error:
            # Without the rights nobody knows; the first foreign event stops us then.
            logger.info("the queue's owner cannot be read or set: %s", why_not(error))
            return
        self.is_ours = owner == self.install
        self.stopped_because = (
            None
            if self.is_ours
            else (
                f"The event queue belongs to another installation (its tag {OWNER_TAG} is "
                f"{owner}). Give this installation a queue of its own, or remove the tag if the "
                "other one is gone."
            )
        )

    def stop_for_other_installation(self) -> None:
        """An event of another installation came out of a queue that is not known to be ours."""
        self.stopped_because = (
            "The event queue holds events of another installation, and it is not marked as ours. "
            "They were left in it and polling stopped. Give each installation a queue of its own, "
            f"or set the queue's tag {OWNER_TAG} to {self.install}."
        )
        logger.error("events of another installation in the queue: polling stopped")


class StrangerWatch:
    """Counts different messages of other programs; too many of them pause the poller."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, datetime] = {}
        self._paused_until: datetime | None = None

    def saw(self, message_id: str) -> None:
        """Note one message that is not ours."""
        with self._lock:
            now = self._clock()
            self._seen = {m: at for m, at in self._seen.items() if now - at < STRANGERS_WITHIN}
            self._seen.setdefault(message_id, now)
            if len(self._seen) >= MOST_STRANGERS and self._paused_until is None:
                self._paused_until = now + STRANGERS_WITHIN
                logger.error("%d messages of other programs: polling pauses", len(self._seen))

    @property
    def paused_because(self) -> str | None:
        """Why polling pauses; it tries again after ten minutes."""
        with self._lock:
            if self._paused_until is None:
                return None
            if self._clock() >= self._paused_until:
                self._paused_until = None
                self._seen.clear()
                return None
        return (
            f"The event queue holds messages of other programs ({MOST_STRANGERS} different ones "
            "in ten minutes). They were left in it, and polling pauses. Check SQS_QUEUE_URL: the "
            "queue should get SES events only."
        )
