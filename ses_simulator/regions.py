"""What an AWS account has in one region: configuration sets, identities, topics, queues, …

Each region starts with the same topology, so that a client finds its way without any set-up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final

from ses_simulator.events import ACCOUNT_ID
from ses_simulator.outcomes import API_NAMES
from ses_simulator.queues import Queue
from ses_simulator.quota import RateBucket, RollingDay
from ses_simulator.topics import Subscription, Topic, uuid_of

DEFAULT_SET: Final = "bes"
CRITICAL_SET: Final = "bes-critical"
DEFAULT_TOPIC: Final = "bes-events"
DEFAULT_QUEUE: Final = "bes-events"
DEAD_LETTER_QUEUE: Final = "bes-events-dead"
CRITICAL_TYPES: Final = (
    "SEND",
    "BOUNCE",
    "COMPLAINT",
    "REJECT",
    "RENDERING_FAILURE",
    "SUBSCRIPTION",
)


@dataclass(slots=True)
class ConfigurationSet:
    """A configuration set: option groups by their API name, event destinations by name."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)
    destinations: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def sending_enabled(self) -> bool:
        """Whether mail through it is accepted."""
        return bool(self.options.get("SendingOptions", {}).get("SendingEnabled", True))


@dataclass(slots=True)
class Identity:
    """A created address or domain."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    tags: list[dict[str, str]] = field(default_factory=list)

    @property
    def type(self) -> str:
        """EMAIL_ADDRESS or DOMAIN."""
        return "EMAIL_ADDRESS" if "@" in self.name else "DOMAIN"


@dataclass(slots=True)
class Suppressed:
    """An entry of the account's suppression list; `at` is epoch seconds."""

    address: str
    reason: str
    at: float
    message_id: str = ""
    feedback_id: str = ""


class Region:
    """The account in one region."""

    def __init__(self, name: str, queue_limit: int) -> None:
        self.name = name
        self.sending_enabled = True
        self.suppressed_reasons = ["BOUNCE", "COMPLAINT"]
        self.validation: dict[str, Any] = {}
        self.rate = RateBucket()
        self.bulk_rate = RateBucket()
        self.day = RollingDay()
        self.configuration_sets: dict[str, ConfigurationSet] = {}
        self.identities: dict[str, Identity] = {}
        self.templates: dict[str, dict[str, str]] = {}
        self.suppressed: dict[str, Suppressed] = {}
        self.topics: dict[str, Topic] = {}
        self.queues: dict[str, Queue] = {}
        self._queue_limit = queue_limit
        self._make_topology()

    def _make_topology(self) -> None:
        topic = self.add_topic(DEFAULT_TOPIC)
        self.add_queue(DEAD_LETTER_QUEUE).attributes["MessageRetentionPeriod"] = "1209600"
        queue = self.add_queue(DEFAULT_QUEUE)
        dead = self.queues[DEAD_LETTER_QUEUE].arn
        queue.attributes["RedrivePolicy"] = (
            f'{{"deadLetterTargetArn":"{dead}","maxReceiveCount":"10"}}'
        )
        self.subscribe(topic, "sqs", queue.arn).confirmed = True
        for name, types in (
            (DEFAULT_SET, list(API_NAMES.values())),
            (CRITICAL_SET, CRITICAL_TYPES),
        ):
            made = self.configuration_sets[name] = ConfigurationSet(name)
            made.destinations["events"] = {
                "Name": "events",
                "Enabled": True,
                "MatchingEventTypes": list(types),
                "SnsDestination": {"TopicArn": topic.arn},
            }

    def forget_traffic(self) -> None:
        """As if nothing had been sent yet; what was set up stays."""
        self.sending_enabled = True
        self.suppressed.clear()
        self.rate, self.bulk_rate, self.day = RateBucket(), RateBucket(), RollingDay()
        for queue in self.queues.values():
            queue.purge()

    def add_topic(self, name: str) -> Topic:
        """The topic of this name, made if need be."""
        topic = Topic.named(name, self.name)
        return self.topics.setdefault(topic.arn, topic)

    def add_queue(self, name: str) -> Queue:
        """The queue of this name, made if need be."""
        if name not in self.queues:
            self.queues[name] = Queue(name, self.name, self.queue_by_arn, self._queue_limit)
        return self.queues[name]

    def queue_by_arn(self, arn: str) -> Queue | None:
        """A queue of this region."""
        name = arn.rpartition(":")[2]
        queue = self.queues.get(name)
        return queue if queue is not None and queue.arn == arn else None

    def subscribe(self, topic: Topic, protocol: str, endpoint: str) -> Subscription:
        """The subscription of an endpoint, unconfirmed if it is new."""
        for known in topic.subscriptions:
            if (known.protocol, known.endpoint) == (protocol, endpoint):
                return known
        identity = uuid_of(f"{topic.arn} {protocol} {endpoint} {time.time_ns()}")
        subscription = Subscription(
            topic, protocol, endpoint, f"{topic.arn}:{identity}", identity.replace("-", "") * 4
        )
        topic.subscriptions.append(subscription)
        return subscription

    def subscription_by_arn(self, arn: str) -> Subscription | None:
        """A subscription of this region."""
        for topic in self.topics.values():
            for subscription in topic.subscriptions:
                if subscription.arn == arn:
                    return subscription
        return None

    def queue_path(self, queue: Queue) -> str:
        """The path of a queue's URL."""
        return f"/{ACCOUNT_ID}/{queue.name}"
