"""SES's event JSON parsed once into frozen values: what happened, to whom, and what it means.

Takes both forms that SES publishes: event publishing (`eventType`) and the older identity
notifications (`notificationType`). Lenient, because AWS announces that fields may be added:
a field of the wrong kind counts as absent, and a new event type is kept under its name.
Source: SES developer guide, "Contents of event data that Amazon SES publishes to Amazon SNS".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parseaddr
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from domain import event_words
from domain.addresses import address_key
from domain.bounces import bounce_effect
from domain.opens import evidence_of
from domain.ses_json import object_in, objects_in, text_in, texts_in, time_in
from domain.ses_tags import OurTags, our_tags
from domain.statuses import Fact, SuppressionReason


class EventKind(StrEnum):
    """The ten event types, spelled as in the JSON."""

    SEND = "Send"
    REJECT = "Reject"
    BOUNCE = "Bounce"
    COMPLAINT = "Complaint"
    DELIVERY = "Delivery"
    OPEN = "Open"
    CLICK = "Click"
    RENDERING_FAILURE = "Rendering Failure"
    DELIVERY_DELAY = "DeliveryDelay"
    SUBSCRIPTION = "Subscription"


#: Few, and someone waits for them: applied at once, whatever the load, and kept longer.
CRITICAL_KINDS = frozenset(
    {
        EventKind.BOUNCE,
        EventKind.COMPLAINT,
        EventKind.REJECT,
        EventKind.RENDERING_FAILURE,
        EventKind.SUBSCRIPTION,
    }
)

#: Feedback types that are no complaint: one takes a report back, one speaks about DKIM.
_NO_COMPLAINT = frozenset({"not-spam", "auth-failure"})

#: SES takes no more recipients in one call, so no event can name more (SES quotas).
MOST_RECIPIENTS = 50
SET_UP_TEXT = "Successfully validated SNS topic for Amazon SES event publishing."
_SET_UP_TYPE = "AmazonSnsSubscriptionSucceeded"
_INBOUND_TYPE = "Received"
_KINDS = {kind.replace(" ", "").lower(): kind for kind in EventKind}


class NotAnEvent(StrEnum):
    """Why a message carries no event."""

    SET_UP = "set_up"  # SES or SNS tells that a destination was connected
    FOREIGN = "foreign"  # another program's message
    BROKEN = "broken"  # says it is an SES event but lacks what every event has


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A message that carries no event, with a sentence that says why."""

    what: NotAnEvent
    sentence: str


@dataclass(frozen=True, slots=True)
class SesEvent:
    """One thing that happened to one mail of one recipient."""

    key: bytes  # 16 bytes, the natural key: equal for every copy of the same event
    kind: str  # an EventKind, or the name of a type that is not known yet
    sub_kind: str | None  # "Permanent/General", a feedback or delay type, who opened
    message_id: str
    tags: OurTags
    address: str | None  # whom the event names, as a bare address
    destinations: tuple[str, ...]  # address keys of everyone the mail was for
    happened_at: datetime | None
    accepted_at: datetime | None  # when SES took the mail
    fact: Fact = Fact.ACCEPTED  # any event proves that SES took the mail
    reason_code: str | None = None
    reason: str | None = None  # a sentence, for events that explain a state
    suppress: SuppressionReason | None = None
    delayed_until: datetime | None = None
    link: str | None = None
    unsubscribes: bool = False

    @property
    def critical(self) -> bool:
        """Whether it is applied at once, beyond any limit, and kept longer."""
        return self.kind in CRITICAL_KINDS

    @property
    def is_engagement(self) -> bool:
        """Whether it is an open or a click."""
        return self.kind in (EventKind.OPEN, EventKind.CLICK)


@dataclass(slots=True)
class _Draft:
    """What one recipient's part of an event says, while it is being read."""

    address: str | None
    stamp: str = ""  # feedback id or time, whichever tells two events of one kind apart
    at: datetime | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def parse_text(text: str) -> list[SesEvent] | Unrecognised:
    """The events in the text of a message: `Message` of an SNS envelope, or a raw SQS body."""
    return parse_event(load_text(text))


def load_text(text: str) -> Any:
    """The JSON of a message's text, or Unrecognised; `parse_event` takes either."""
    if text.strip() == SET_UP_TEXT:
        return Unrecognised(NotAnEvent.SET_UP, "SES connected this topic to a configuration set.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return Unrecognised(NotAnEvent.FOREIGN, "The message is no JSON.")


def parse_event(payload: Any) -> list[SesEvent] | Unrecognised:
    """One SesEvent for each recipient that the event names, or why it is none of ours."""
    if isinstance(payload, Unrecognised):
        return payload
    if not isinstance(payload, dict):
        return Unrecognised(NotAnEvent.FOREIGN, "The message is no JSON object.")
    spelled = text_in(payload, "eventType") or text_in(payload, "notificationType")
    if not spelled:
        return Unrecognised(NotAnEvent.FOREIGN, "The message names no SES event type.")
    if spelled == _SET_UP_TYPE:
        return Unrecognised(NotAnEvent.SET_UP, "SNS connected this topic to a sending identity.")
    if spelled == _INBOUND_TYPE:
        return Unrecognised(NotAnEvent.FOREIGN, "The message is about received mail, not sent.")
    mail = object_in(payload, "mail")
    message_id = text_in(mail, "messageId")
    if not message_id:
        return Unrecognised(
            NotAnEvent.BROKEN,
            f"The {spelled[:30]} event names no mail (mail.messageId is missing).",
        )
    kind = _KINDS.get(spelled.replace(" ", "").lower())
    reader = _READERS[kind] if kind else _read_unknown
    try:
        drafts = reader(payload, mail)
    except RecursionError:
        return Unrecognised(NotAnEvent.BROKEN, f"The {spelled[:30]} event is nested too deeply.")
    if not drafts:
        return Unrecognised(NotAnEvent.BROKEN, f"The {spelled[:30]} event names no recipient.")
    if len(drafts) > MOST_RECIPIENTS:
        return Unrecognised(
            NotAnEvent.BROKEN,
            f"The {spelled[:30]} event names {len(drafts):,} recipients, and no mail of SES has "
            f"more than {MOST_RECIPIENTS}.",
        )
    return [_finish(kind or spelled[:30], message_id[:100], mail, draft) for draft in drafts]


def bare_address(text: str) -> str:
    """The address in `Name <a@b>`; SES spells recipients both ways."""
    if "<" not in text:
        return text.strip()
    return parseaddr(text)[1] or text.strip()


def natural_key(message_id: str, kind: str, address: str, stamp: str, link: str) -> bytes:
    """16 bytes that are equal for every copy of an event, whichever door it came through."""
    parts = "\0".join((message_id, kind, address_key(address), stamp, link))
    return blake2b(parts.encode("utf-8", "replace"), digest_size=16).digest()


def _finish(kind: str, message_id: str, mail: dict[str, Any], draft: _Draft) -> SesEvent:
    sent_at = time_in(mail, "timestamp")
    link = draft.extra.get("link") or ""
    return SesEvent(
        key=natural_key(message_id, kind, draft.address or "", draft.stamp, link),
        kind=str(kind),
        message_id=message_id,
        tags=our_tags(mail),
        address=draft.address,
        destinations=tuple(address_key(a) for a in _mail_addresses(mail)),
        happened_at=draft.at or sent_at,
        accepted_at=sent_at,
        **{"sub_kind": None, **draft.extra},
    )


def _for_each_destination(mail: dict[str, Any], stamp: str, **extra: Any) -> list[_Draft]:
    """Events that concern everyone the mail was for; one without recipients is kept as well."""
    addresses: list[str | None] = [*_mail_addresses(mail)] or [None]
    return [_Draft(address, stamp, None, dict(extra)) for address in addresses]


def _read_send(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    return _for_each_destination(mail, "")


def _read_unknown(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    # Nothing tells two events of an unknown type apart but their content.
    content = json.dumps(payload, sort_keys=True, default=str)
    return _for_each_destination(mail, blake2b(content.encode(), digest_size=16).hexdigest())


def _read_delivery(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    delivery = object_in(payload, "delivery")
    named = [bare_address(a) for a in texts_in(delivery, "recipients")]
    at = time_in(delivery, "timestamp")
    return [
        _Draft(address, text_in(delivery, "timestamp"), at, {"fact": Fact.DELIVERED})
        for address in named or _mail_addresses(mail)
    ]


def _read_bounce(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    bounce = object_in(payload, "bounce")
    kind, sub = text_in(bounce, "bounceType"), text_in(bounce, "bounceSubType")
    stamp = text_in(bounce, "feedbackId") or text_in(bounce, "timestamp")
    at = time_in(bounce, "timestamp")
    code = f"{kind}/{sub}"[:60]
    drafts = []
    for person in objects_in(bounce, "bouncedRecipients"):
        words = event_words.bounce_words(
            kind, sub, text_in(person, "status"), text_in(person, "diagnosticCode")
        )
        extra = {
            "sub_kind": code,
            "reason_code": code,
            "reason": words,
            **bounce_effect(kind, sub),
        }
        drafts.append(_Draft(bare_address(text_in(person, "emailAddress")), stamp, at, extra))
    return drafts


def _read_complaint(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    complaint = object_in(payload, "complaint")
    feedback = text_in(complaint, "complaintFeedbackType")
    sub = text_in(complaint, "complaintSubType")
    stamp = text_in(complaint, "feedbackId") or text_in(complaint, "timestamp")
    at = time_in(complaint, "timestamp") or time_in(complaint, "arrivalDate")
    code = (sub or feedback or "complaint")[:60]
    extra: dict[str, Any] = {
        "sub_kind": code,
        "reason_code": code,
        "reason": event_words.complaint_words(feedback, sub),
    }
    if sub:  # only the suppression lists have one: an echo of an earlier complaint
        extra |= {"fact": Fact.PREVENTED, "suppress": SuppressionReason.ACCOUNT_LIST}
    elif feedback not in _NO_COMPLAINT:
        extra |= {"fact": Fact.COMPLAINED, "suppress": SuppressionReason.COMPLAINED}
    people = [
        bare_address(text_in(p, "emailAddress"))
        for p in objects_in(complaint, "complainedRecipients")
    ]
    return [_Draft(address, stamp, at, extra) for address in people]


def _read_reject(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    reason = text_in(object_in(payload, "reject"), "reason")
    return _for_each_destination(
        mail,
        "",
        fact=Fact.REJECTED,
        sub_kind=reason[:60] or None,
        reason_code="Reject",
        reason=event_words.reject_words(reason),
    )


def _read_rendering_failure(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    message = text_in(object_in(payload, "failure"), "errorMessage")
    return _for_each_destination(
        mail,
        "",
        fact=Fact.RENDERING_FAILED,
        reason_code="Rendering Failure",
        reason=event_words.rendering_words(message),
    )


def _read_delay(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    delay = object_in(payload, "deliveryDelay")
    delay_type = text_in(delay, "delayType")
    at, until = time_in(delay, "timestamp"), time_in(delay, "expirationTime")
    drafts = []
    for person in objects_in(delay, "delayedRecipients"):
        extra = {
            "fact": Fact.DELAYED,
            "sub_kind": delay_type[:60] or None,
            "reason_code": delay_type[:60] or "DeliveryDelay",
            "reason": event_words.delay_words(
                delay_type, text_in(person, "status"), text_in(person, "diagnosticCode")
            ),
            "delayed_until": until,
        }
        address = bare_address(text_in(person, "emailAddress"))
        drafts.append(_Draft(address, text_in(delay, "timestamp"), at, extra))
    return drafts


def _read_open(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    return [_engagement(object_in(payload, "open"), mail, "")]


def _read_click(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    click = object_in(payload, "click")
    return [_engagement(click, mail, text_in(click, "link"))]


def _engagement(details: dict[str, Any], mail: dict[str, Any], link: str) -> _Draft:
    """An open or click. With several recipients nobody knows whose it is: they share the links."""
    evidence = evidence_of(text_in(details, "isBotEvent"), text_in(details, "userAgent"))
    mark = f"/{link_mark(link)}" if link else ""
    people = _mail_addresses(mail)
    return _Draft(
        people[0] if len(people) == 1 else None,
        text_in(details, "timestamp"),
        time_in(details, "timestamp"),
        {"sub_kind": f"{evidence}{mark}", "link": link or None},
    )


def link_mark(link: str) -> str:
    """Eight hexadecimal digits that stand for a link in an event's `sub_kind`."""
    return blake2b(link.encode("utf-8", "replace"), digest_size=4).hexdigest()


def _read_subscription(payload: dict[str, Any], mail: dict[str, Any]) -> list[_Draft]:
    details = object_in(payload, "subscription")
    new = object_in(details, "newTopicPreferences")
    topics = objects_in(new, "topicSubscriptionStatus")
    left = new.get("unsubscribeAll") is True or any(
        text_in(topic, "subscriptionStatus") == "OptOut" for topic in topics
    )
    drafts = _for_each_destination(
        mail,
        text_in(details, "timestamp"),
        sub_kind="unsubscribed" if left else "preferences",
        suppress=SuppressionReason.UNSUBSCRIBED if left else None,
        unsubscribes=left,
    )
    for draft in drafts:
        draft.at = time_in(details, "timestamp")
    return drafts


_READERS: dict[EventKind, Callable[[dict[str, Any], dict[str, Any]], list[_Draft]]] = {
    EventKind.SEND: _read_send,
    EventKind.REJECT: _read_reject,
    EventKind.BOUNCE: _read_bounce,
    EventKind.COMPLAINT: _read_complaint,
    EventKind.DELIVERY: _read_delivery,
    EventKind.OPEN: _read_open,
    EventKind.CLICK: _read_click,
    EventKind.RENDERING_FAILURE: _read_rendering_failure,
    EventKind.DELIVERY_DELAY: _read_delay,
    EventKind.SUBSCRIPTION: _read_subscription,
}


def _mail_addresses(mail: dict[str, Any]) -> list[str]:
    return [bare_address(text) for text in texts_in(mail, "destination")]
