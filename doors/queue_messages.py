"""What one message of the queue is: our events, a set-up message, or somebody else's.

The queue gets SNS envelopes, or with raw delivery the SES event itself.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.ses_events import NotAnEvent, SesEvent, Unrecognised, load_text, parse_event


class Kind(StrEnum):
    """What to do with a message."""

    EVENTS = "events"  # store, apply, delete
    SET_UP = "set_up"  # delete
    BROKEN = "broken"  # keep in the dead-letter list, delete
    OTHER_INSTALLATION = "other_installation"  # delete only if the queue is ours
    FOREIGN = "foreign"  # leave where it is


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A received message, read."""

    message_id: str
    receipt: str
    kind: Kind
    text: str = ""
    events: tuple[SesEvent, ...] = ()
    payload: Any = None  # the JSON of the text
    sentence: str = ""


def read_message(received: Any, topics: Collection[str], install: str) -> QueueMessage:
    """Read a message as SQS gave it; `topics` empty means any topic."""
    body = str(received.get("Body", ""))
    message_id, receipt = received.get("MessageId", ""), received.get("ReceiptHandle", "")
    text, payload = _content(body, topics)
    parsed = parse_event(payload)
    if isinstance(parsed, Unrecognised):
        kind = {
            NotAnEvent.SET_UP: Kind.SET_UP,
            NotAnEvent.BROKEN: Kind.BROKEN,
            NotAnEvent.FOREIGN: Kind.FOREIGN,
        }[parsed.what]
        return QueueMessage(message_id, receipt, kind, text, sentence=parsed.sentence)
    if any(event.tags.install not in (None, install) for event in parsed):
        return QueueMessage(message_id, receipt, Kind.OTHER_INSTALLATION)
    return QueueMessage(message_id, receipt, Kind.EVENTS, text, tuple(parsed), payload)


def _content(body: str, topics: Collection[str]) -> tuple[str, Any]:
    """The text inside, and its JSON or why it is not for us."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return body, load_text(body)  # a raw set-up message is plain text
    if not isinstance(fields, dict) or "Type" not in fields:
        return body, fields
    text = fields.get("Message")
    if fields["Type"] != "Notification" or not isinstance(text, str):
        return body, Unrecognised(NotAnEvent.FOREIGN, "The message is no SNS notification.")
    if topics and fields.get("TopicArn") not in topics:
        return body, Unrecognised(NotAnEvent.FOREIGN, "The message is from another topic.")
    return text, load_text(text)
