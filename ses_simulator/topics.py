"""SNS topics and subscriptions, and the messages on them in all their written forms."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ses_simulator.events import ACCOUNT_ID, Event, timestamp
from ses_simulator.signing import PLACEHOLDER_SIGNATURE, Signer

_numbers = itertools.count(1)
PENDING: Final = "PendingConfirmation"


def uuid_of(text: str) -> str:
    """A stable UUID-shaped name."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


@dataclass(slots=True, eq=False)
class Subscription:
    """One subscriber; `arn` exists from the start and is shown once it is confirmed."""

    topic: Topic
    protocol: str
    endpoint: str
    arn: str
    token: str
    confirmed: bool = False
    authenticated: bool = False
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def raw(self) -> bool:
        """Whether messages come without an envelope."""
        return self.attributes.get("RawMessageDelivery", "false") == "true"

    def wants(self, publication: Publication) -> bool:
        """Whether the filter policy, if there is one, lets the message through."""
        policy = self.attributes.get("FilterPolicy")
        if not policy:
            return True
        if self.attributes.get("FilterPolicyScope") != "MessageBody":
            return matches(json.loads(policy), publication.attribute_values())
        try:
            body = json.loads(publication.message())
        except ValueError:
            return False
        return matches(json.loads(policy), body)


def matches(policy: Mapping[str, Any], values: Any) -> bool:
    """The part of SNS filter policies that SES events need: exact, prefix, anything-but, exists."""
    if not isinstance(values, Mapping):
        return False
    for key, wanted in policy.items():
        value = values.get(key)
        if isinstance(wanted, Mapping):
            if not matches(wanted, value):
                return False
            continue
        options = value if isinstance(value, list) else [value]
        if not any(_fits(rule, option) for rule in wanted for option in options):
            return False
    return True


def _fits(rule: Any, value: Any) -> bool:
    if not isinstance(rule, Mapping):
        return bool(rule == value)
    if "exists" in rule:
        return bool(rule["exists"]) == (value is not None)
    if "prefix" in rule:
        return isinstance(value, str) and value.startswith(rule["prefix"])
    if "anything-but" in rule:
        unwanted = rule["anything-but"]
        return value not in (unwanted if isinstance(unwanted, list) else [unwanted])
    return False


@dataclass(slots=True, eq=False)
class Topic:
    """A topic with its attributes, tags and subscriptions."""

    arn: str
    attributes: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    subscriptions: list[Subscription] = field(default_factory=list)

    @classmethod
    def named(cls, name: str, region: str) -> Topic:
        """A new topic of the one account."""
        return cls(f"arn:aws:sns:{region}:{ACCOUNT_ID}:{name}")

    @property
    def region(self) -> str:
        """The fourth part of the ARN."""
        return self.arn.split(":")[3]

    @property
    def signature_version(self) -> str:
        """ "1" unless the attribute says otherwise."""
        return self.attributes.get("SignatureVersion", "1")


@dataclass(slots=True, eq=False)
class Publication:
    """One message on a topic. The same for every subscriber and every retry."""

    topic: Topic
    content: Event | str
    at: float
    subject: str | None = None
    legacy: bool = False
    message_attributes: dict[str, dict[str, str]] | None = None
    number: int = field(default_factory=lambda: next(_numbers))

    def message(self) -> str:
        """The text of the message."""
        if isinstance(self.content, str):
            return self.content
        return self.content.legacy_json() if self.legacy else self.content.json()

    @property
    def message_id(self) -> str:
        """The MessageId of SNS."""
        return uuid_of(f"publication {self.number} {self.at}")

    def attribute_values(self) -> dict[str, str]:
        """Message attributes by name."""
        return {k: v.get("Value", "") for k, v in (self.message_attributes or {}).items()}

    def envelope(self, subscription: Subscription, signer: Signer) -> dict[str, Any]:
        """All fields of a Notification, with a placeholder as signature."""
        region = self.topic.region
        envelope: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": self.message_id,
            "TopicArn": self.topic.arn,
            "Subject": self.subject,
            "Message": self.message(),
            "Timestamp": timestamp(self.at),
            "SignatureVersion": self.topic.signature_version,
            "Signature": PLACEHOLDER_SIGNATURE,
            "SigningCertURL": signer.certificate_url(region),
            "UnsubscribeURL": f"https://sns.{region}.amazonaws.com/?Action=Unsubscribe"
            f"&SubscriptionArn={subscription.arn}",
        }
        if self.subject is None:
            del envelope["Subject"]
        if self.message_attributes:
            envelope["MessageAttributes"] = self.message_attributes
        return envelope


@dataclass(slots=True, eq=False)
class QueuedPublication:
    """The body of a queue message that came through a topic."""

    publication: Publication
    subscription: Subscription
    signer: Signer

    def text(self) -> str:
        """Wrapped or raw, as the subscription says."""
        if self.subscription.raw:
            return self.publication.message()
        return json.dumps(self.publication.envelope(self.subscription, self.signer))


def confirmation(
    subscription: Subscription, kind: str, at: float, signer: Signer
) -> dict[str, str]:
    """A signed SubscriptionConfirmation or UnsubscribeConfirmation."""
    topic = subscription.topic
    if kind == "SubscriptionConfirmation":
        words = (
            f"You have chosen to subscribe to the topic {topic.arn}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message."
        )
    else:
        words = (
            f"You have chosen to deactivate subscription {subscription.arn}.\nTo cancel this "
            "operation and restore the subscription, visit the SubscribeURL included in this "
            "message."
        )
    envelope = {
        "Type": kind,
        "MessageId": uuid_of(f"{kind} {subscription.token} {at}"),
        "Token": subscription.token,
        "TopicArn": topic.arn,
        "Message": words,
        "SubscribeURL": f"https://sns.{topic.region}.amazonaws.com/?Action=ConfirmSubscription"
        f"&TopicArn={topic.arn}&Token={subscription.token}",
        "Timestamp": timestamp(at),
        "SignatureVersion": topic.signature_version,
    }
    envelope["Signature"] = signer.sign(envelope, topic.signature_version)
    envelope["SigningCertURL"] = signer.certificate_url(topic.region)
    return envelope
