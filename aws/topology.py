"""How events travel: configuration set, topics, subscriptions, queue and dead-letter queue.

Everything is read from AWS into frozen dataclasses; what cannot be read carries the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import AwsClients, why_not

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

#: More subscriptions than this of one topic are not read: nobody's set-up has them.
_MOST_SUBSCRIPTIONS = 200


@dataclass(frozen=True, slots=True)
class EventDestination:
    """Where a configuration set publishes which events (API spelling, for example BOUNCE)."""

    name: str
    enabled: bool
    events: frozenset[str]
    topic_arn: str | None


@dataclass(frozen=True, slots=True)
class ConfigurationSetFacts:
    """A configuration set; `exists` and `destinations` are None where they cannot be read."""

    name: str
    exists: bool | None = None
    sending_enabled: bool | None = None
    destinations: tuple[EventDestination, ...] | None = None
    error: str | None = None

    def topics(self, event: str | None = None) -> frozenset[str] | None:
        """ARNs of the topics that get this event (or any); None if that cannot be read."""
        if self.destinations is None:
            return None
        return frozenset(
            place.topic_arn
            for place in self.destinations
            if place.enabled and place.topic_arn and (event is None or event in place.events)
        )


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription of a topic; `filtered` is None where its attributes cannot be read."""

    arn: str
    protocol: str
    endpoint: str
    confirmed: bool
    filtered: bool | None = None
    raw: bool | None = None


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic with its subscriptions, or the reason why they cannot be read."""

    arn: str
    subscriptions: tuple[Subscription, ...] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue: approximate numbers of messages, and where it puts what nobody can process."""

    url: str
    arn: str = ""
    visible: int | None = None
    in_flight: int | None = None
    delayed: int | None = None
    policy: str = ""
    dead_letter_arn: str | None = None
    dead_letter_url: str | None = None
    max_receives: int | None = None
    error: str | None = None

    @property
    def empty(self) -> bool:
        """Whether it is known to hold nothing at all."""
        return self.error is None and self.visible == self.in_flight == self.delayed == 0


@dataclass(frozen=True, slots=True)
class Topology:
    """The whole way of events from one configuration set to our queue."""

    configuration_set: ConfigurationSetFacts
    topics: tuple[TopicFacts, ...]
    queue: QueueFacts | None
    dead_letters: QueueFacts | None

    def queue_gets(self, event: str) -> bool | None:
        """Whether our queue gets every event of a kind; None where something is unreadable."""
        publishing = self.configuration_set.topics(event)
        if publishing is None or self.queue is None or self.queue.error:
            return None if publishing is None or self.queue else False
        answers = [self._delivers(topic) for topic in self.topics if topic.arn in publishing]
        if True in answers:
            return True
        return None if None in answers else False

    def _delivers(self, topic: TopicFacts) -> bool | None:
        if topic.subscriptions is None or self.queue is None:
            return None
        ours = [
            one
            for one in topic.subscriptions
            if one.protocol == "sqs" and one.endpoint == self.queue.arn and one.confirmed
        ]
        if any(one.filtered is False for one in ours):
            return True
        return None if any(one.filtered is None for one in ours) else False

    def https_flood(self) -> bool | None:
        """Whether an HTTP(S) subscription without a filter gets everything; None = unreadable."""
        if self.configuration_set.destinations is None:
            return None
        answers: set[bool | None] = set()
        for topic in self.topics:
            if topic.subscriptions is None:
                answers.add(None)
                continue
            answers |= {
                None if one.filtered is None else not one.filtered
                for one in topic.subscriptions
                if one.protocol in ("http", "https") and one.confirmed
            }
        if True in answers:
            return True
        return None if None in answers else False


def read_topology(clients: AwsClients, configuration_set: str, queue_url: str = "") -> Topology:
    """Read the way of the events of a configuration set; makes up to a dozen calls."""
    found = read_configuration_set(clients.ses, configuration_set)
    topics = tuple(
        read_topic(clients.sns(arn.split(":")[3]), arn) for arn in sorted(found.topics() or ())
    )
    queue = read_queue(clients.sqs, queue_url) if queue_url else None
    dead = (
        read_queue(clients.sqs, queue.dead_letter_url) if queue and queue.dead_letter_url else None
    )
    return Topology(found, topics, queue, dead)


def read_configuration_set(ses: SESV2Client, name: str) -> ConfigurationSetFacts:
    """A configuration set with its event destinations."""
    try:
        facts: dict[str, Any] = dict(ses.get_configuration_set(ConfigurationSetName=name))
        answer: dict[str, Any] = dict(
            ses.get_configuration_set_event_destinations(ConfigurationSetName=name)
        )
    except ClientError as error:
        missing = error.response.get("Error", {}).get("Code") == "NotFoundException"
        return ConfigurationSetFacts(name, exists=False if missing else None, error=why_not(error))
    except BotoCoreError as error:
        return ConfigurationSetFacts(name, error=why_not(error))
    return ConfigurationSetFacts(
        name,
        exists=True,
        sending_enabled=(facts.get("SendingOptions") or {}).get("SendingEnabled"),
        destinations=tuple(
            EventDestination(
                name=place.get("Name", ""),
                enabled=bool(place.get("Enabled")),
                events=frozenset(place.get("MatchingEventTypes") or ()),
                topic_arn=(place.get("SnsDestination") or {}).get("TopicArn"),
            )
            for place in answer.get("EventDestinations") or ()
        ),
    )


def read_topic(sns: SNSClient, arn: str) -> TopicFacts:
    """A topic's subscriptions, with the attributes of those to queues and web servers."""
    try:
        listed: list[Any] = []
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
        for page in pages:
            listed.extend(page.get("Subscriptions", ()))
            if len(listed) > _MOST_SUBSCRIPTIONS:
                return TopicFacts(arn, error="The topic has too many subscriptions to read.")
        return TopicFacts(arn, tuple(_subscription(sns, one) for one in listed))
    except (ClientError, BotoCoreError) as error:
        return TopicFacts(arn, error=why_not(error))


def _subscription(sns: SNSClient, listed: Any) -> Subscription:
    arn = listed.get("SubscriptionArn", "")
    confirmed = arn.startswith("arn:")
    protocol, endpoint = listed.get("Protocol", ""), listed.get("Endpoint", "")
    if not confirmed or protocol not in ("sqs", "http", "https"):
        return Subscription(arn, protocol, endpoint, confirmed)
    try:
        attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    except (ClientError, BotoCoreError):
        return Subscription(arn, protocol, endpoint, confirmed)
    return Subscription(
        arn,
        protocol,
        endpoint,
        attributes.get("PendingConfirmation", "false") != "true",
        filtered=attributes.get("FilterPolicy", "") not in ("", "{}"),
        raw=attributes.get("RawMessageDelivery") == "true",
    )


def read_queue(sqs: SQSClient, url: str) -> QueueFacts:
    """A queue's depth and dead-letter queue. SQS's numbers are approximate and lag by seconds."""
    try:
        answer: Any = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        found: dict[str, str] = answer["Attributes"]
    except (ClientError, BotoCoreError) as error:
        return QueueFacts(url, error=why_not(error))
    redrive = _json_object(found.get("RedrivePolicy", ""))
    dead_arn = str(redrive.get("deadLetterTargetArn") or "") or None
    receives = str(redrive.get("maxReceiveCount") or "")
    return QueueFacts(
        url,
        arn=found.get("QueueArn", ""),
        visible=int(found.get("ApproximateNumberOfMessages", 0)),
        in_flight=int(found.get("ApproximateNumberOfMessagesNotVisible", 0)),
        delayed=int(found.get("ApproximateNumberOfMessagesDelayed", 0)),
        policy=found.get("Policy", ""),
        dead_letter_arn=dead_arn,
        dead_letter_url=_queue_url(sqs, dead_arn) if dead_arn else None,
        max_receives=int(receives) if receives.isdigit() else None,
    )


def _queue_url(sqs: SQSClient, arn: str) -> str | None:
    account, name = arn.split(":")[-2:]
    try:
        return sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)["QueueUrl"]
    except (ClientError, BotoCoreError):
        return None


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
