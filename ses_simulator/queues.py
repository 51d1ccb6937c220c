"""SQS queues in memory: visible, in flight and delayed messages, dead letters, long polls.

Standard queues only. A message body may be a text or something that writes itself when read.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from ses_simulator.events import ACCOUNT_ID

DEFAULT_ATTRIBUTES: Final = {
    "VisibilityTimeout": "30",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "DelaySeconds": "0",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
}
_numbers = itertools.count(1)


class Body(Protocol):
    """A message body that is written when it is read."""

    def text(self) -> str:
        """The body."""


@dataclass(slots=True)
class Text:
    """A body that is there already."""

    value: str

    def text(self) -> str:
        """The body."""
        return self.value


@dataclass(slots=True, eq=False)
class Message:
    """One message; `receipt` is the handle of its latest receive, "" before the first."""

    body: Body
    sent: float
    number: int = field(default_factory=lambda: next(_numbers))
    receives: int = 0
    first_received: float = 0.0
    visible_at: float = 0.0
    receipt: str = ""
    deleted: bool = False
    attributes: dict[str, dict[str, str]] | None = None

    @property
    def message_id(self) -> str:
        """A stable UUID-shaped id."""
        digest = hashlib.md5(f"message {self.number}".encode(), usedforsecurity=False).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


class Queue:
    """One queue. `now` gives epoch seconds, `resolve` finds the dead-letter queue by ARN."""

    def __init__(
        self,
        name: str,
        region: str,
        resolve: Callable[[str], Queue | None],
        limit: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.arn = f"arn:aws:sqs:{region}:{ACCOUNT_ID}:{name}"
        self.attributes: dict[str, str] = dict(DEFAULT_ATTRIBUTES)
        self.tags: dict[str, str] = {}
        self.created = int(now())
        self.dropped = 0
        self._limit = limit
        self._now = now
        self._resolve = resolve
        self._visible: deque[Message] = deque()
        self._received: dict[int, Message] = {}
        self._in_flight: dict[int, Message] = {}
        self._delayed: dict[int, Message] = {}
        self._due: list[tuple[float, int]] = []
        self._deleted_in_line = 0
        self._arrival: asyncio.Event = asyncio.Event()

    def send(self, message: Message, delay: float | None = None) -> None:
        """Take a message in; beyond the limit the oldest visible one is dropped and counted."""
        delay = float(self.attributes["DelaySeconds"]) if delay is None else delay
        if delay > 0:
            message.visible_at = self._now() + delay
            self._delayed[message.number] = message
            heapq.heappush(self._due, (message.visible_at, message.number))
        else:
            self._visible.append(message)
            if len(self._visible) > self._limit:
                self._drop_oldest()
        self._arrival.set()

    def _drop_oldest(self) -> None:
        oldest = self._visible.popleft()
        self._received.pop(oldest.number, None)
        if oldest.deleted:
            self._deleted_in_line -= 1
        else:
            self.dropped += 1

    def receive(self, most: int, visibility: float) -> list[Message]:
        """Up to `most` messages, hidden from others for `visibility` seconds."""
        now = self._now()
        self._return_due(now)
        received: list[Message] = []
        while self._visible and len(received) < most:
            message = self._visible.popleft()
            if message.deleted:
                self._deleted_in_line -= 1
                continue
            if self._is_dead(message):
                continue
            message.receives += 1
            message.first_received = message.first_received or now
            message.receipt = f"{self.name}.{message.number}.{message.receives}"
            message.visible_at = now + visibility
            self._received[message.number] = message
            self._in_flight[message.number] = message
            heapq.heappush(self._due, (message.visible_at, message.number))
            received.append(message)
        return received

    async def receive_wait(self, most: int, visibility: float, wait: float) -> list[Message]:
        """As `receive`, waiting up to `wait` seconds for a first message."""
        deadline = self._now() + wait
        while True:
            self._arrival.clear()
            received = self.receive(most, visibility)
            left = deadline - self._now()
            if received or left <= 0:
                return received
            if self._due:
                left = min(left, max(0.001, self._due[0][0] - self._now()))
            try:
                await asyncio.wait_for(self._arrival.wait(), left)
            except TimeoutError:
                continue

    def delete(self, receipt: str) -> bool:
        """Remove the message of a receipt handle; False for a handle that is none of ours.

        An outdated handle is accepted and deletes nothing, as on a standard queue.
        """
        number = self._number(receipt)
        if number is None:
            return False
        message = self._received.get(number)
        if message is None or message.receipt != receipt:
            return True
        del self._received[number]
        message.deleted = True
        if self._in_flight.pop(number, None) is None:
            self._deleted_in_line += 1
        return True

    def change_visibility(self, receipt: str, seconds: float) -> bool:
        """Hide a message in flight for `seconds` from now; False if it is not in flight."""
        message = self._in_flight.get(self._number(receipt) or 0)
        if message is None or message.receipt != receipt:
            return False
        message.visible_at = self._now() + seconds
        heapq.heappush(self._due, (message.visible_at, message.number))
        self._arrival.set()
        return True

    def purge(self) -> None:
        """Drop every message."""
        for place in (self._visible, self._received, self._in_flight, self._delayed, self._due):
            place.clear()
        self._deleted_in_line = 0

    def counts(self) -> tuple[int, int, int]:
        """Visible, in flight, delayed."""
        self._return_due(self._now())
        visible = len(self._visible) - self._deleted_in_line
        return visible, len(self._in_flight), len(self._delayed)

    def _number(self, receipt: str) -> int | None:
        name, _, rest = receipt.rpartition(".")[0].rpartition(".")
        return int(rest) if name == self.name and rest.isdigit() else None

    def _return_due(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, number = heapq.heappop(self._due)
            for place in (self._in_flight, self._delayed):
                message = place.get(number)
                if message is not None and message.visible_at <= now:
                    del place[number]
                    self._visible.append(message)

    def _is_dead(self, message: Message) -> bool:
        """Moves a message that was received too often to the dead-letter queue."""
        policy = self.attributes.get("RedrivePolicy")
        if not policy:
            return False
        parsed = json.loads(policy)
        if message.receives < int(parsed["maxReceiveCount"]):
            return False
        target = self._resolve(parsed["deadLetterTargetArn"])
        if target is None:
            return False
        self._received.pop(message.number, None)
        target.send(Message(message.body, message.sent, message.number), 0)
        return True
