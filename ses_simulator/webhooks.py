"""SNS delivery to HTTP subscribers: signed, with its headers, retried, then discarded.

After the rules of the SNS developer guide: 15 s to answer, 2xx is success, 4xx (429 aside) is
final, otherwise three retries 20 s apart (here scaled by an option), then the message goes to
the subscription's dead-letter queue or is lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ses_simulator import http_client
from ses_simulator.faults import Faults
from ses_simulator.queues import Message, Text
from ses_simulator.signing import Signer
from ses_simulator.topics import Publication, Subscription, confirmation

logger = logging.getLogger(__name__)
TIMEOUT_SECONDS: Final = 15.0
RETRIES: Final = 3
AT_ONCE: Final = 32


@dataclass(slots=True)
class Delivery:
    """One message on its way: a publication, or the name of a confirmation."""

    content: Publication | str
    at: float
    attempt: int = 0


class Webhooks:
    """Deliveries of all HTTP subscriptions; at most AT_ONCE of each at the same time."""

    def __init__(
        self,
        signer: Signer,
        faults: Faults,
        stats: Counter[str],
        retry_seconds: float,
        dead_letter: Callable[[str, Message], None],
        limit: int,
    ) -> None:
        self._signer = signer
        self._faults = faults
        self._stats = stats
        self._retry_seconds = retry_seconds
        self._dead_letter = dead_letter
        self._limit = limit
        self._lines: dict[Subscription, deque[Delivery]] = {}
        self._active: Counter[Subscription] = Counter()
        self.tasks: set[asyncio.Task[None]] = set()

    def enqueue(self, subscription: Subscription, delivery: Delivery) -> None:
        """Deliver as soon as one of the subscription's places is free."""
        line = self._lines.setdefault(subscription, deque())
        line.append(delivery)
        if len(line) > self._limit:
            line.popleft()
            self._stats["webhook dropped"] += 1
        self._start(subscription)

    def backlog(self) -> int:
        """Deliveries that wait or run."""
        return sum(map(len, self._lines.values())) + self._active.total()

    def clear(self) -> None:
        """Forget what waits."""
        for line in self._lines.values():
            line.clear()

    def _start(self, subscription: Subscription) -> None:
        line = self._lines[subscription]
        while line and self._active[subscription] < AT_ONCE:
            self._active[subscription] += 1
            task = asyncio.ensure_future(self._deliver(subscription, line.popleft()))
            self.tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("a delivery broke", exc_info=task.exception())

    async def _deliver(self, subscription: Subscription, delivery: Delivery) -> None:
        try:
            await self._attempt(subscription, delivery)
        finally:
            self._active[subscription] -= 1
            self._start(subscription)

    async def _attempt(self, subscription: Subscription, delivery: Delivery) -> None:
        body, headers = self._written(subscription, delivery)
        delivery.attempt += 1
        status = 0
        if not self._faults.webhook_down:
            status = await http_client.post(
                subscription.endpoint, headers, body.encode(), TIMEOUT_SECONDS
            )
        if 200 <= status < 300:
            self._stats["webhook delivered"] += 1
            return
        self._stats["webhook failed attempts"] += 1
        final = 400 <= status < 500 and status != 429
        if final or delivery.attempt > RETRIES:
            self._discard(subscription, delivery, body)
            return
        loop = asyncio.get_running_loop()
        loop.call_later(self._retry_seconds, self.enqueue, subscription, delivery)

    def _discard(self, subscription: Subscription, delivery: Delivery, body: str) -> None:
        self._stats["webhook discarded"] += 1
        policy = subscription.attributes.get("RedrivePolicy")
        if policy and isinstance(delivery.content, Publication):
            target = json.loads(policy)["deadLetterTargetArn"]
            self._dead_letter(target, Message(Text(body), delivery.at))

    def _written(
        self, subscription: Subscription, delivery: Delivery
    ) -> tuple[str, dict[str, str]]:
        topic = subscription.topic
        headers = {
            "x-amz-sns-message-type": "Notification",
            "x-amz-sns-message-id": "",
            "x-amz-sns-topic-arn": topic.arn,
            "Content-Type": "text/plain; charset=UTF-8",
            "User-Agent": "Amazon Simple Notification Service Agent",
        }
        if isinstance(delivery.content, str):
            envelope: dict[str, Any] = dict(
                confirmation(subscription, delivery.content, delivery.at, self._signer)
            )
            headers["x-amz-sns-message-type"] = delivery.content
            headers["x-amz-sns-message-id"] = envelope["MessageId"]
            return _pretty(envelope), headers
        publication = delivery.content
        headers["x-amz-sns-message-id"] = publication.message_id
        headers["x-amz-sns-subscription-arn"] = subscription.arn
        if subscription.raw:
            headers["x-amz-sns-rawdelivery"] = "true"
            return publication.message(), headers
        envelope = publication.envelope(subscription, self._signer)
        envelope["Signature"] = self._signer.sign(envelope, topic.signature_version)
        return _pretty(envelope), headers


def _pretty(envelope: dict[str, Any]) -> str:
    """The layout of SNS: a field a line."""
    return json.dumps(envelope, indent=2, separators=(",", " : "))
