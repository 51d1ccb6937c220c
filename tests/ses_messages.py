"""SES events and SNS envelopes as AWS writes them, about rows of a test's database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.ses_events import parse_text
from models import Recipient
from services.delivery_events import Incoming
from services.installation import installation_id

TOPIC = "arn:aws:sns:us-east-1:000000000000:bes-events"


def stamp(moment: datetime) -> str:
    """A time as SES writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class MailEvents:
    """Makes the events of one mail: of one attempt of one row."""

    def __init__(
        self,
        install: str | None,
        row: Recipient,
        accepted_at: datetime,
        *,
        message_id: str | None = None,
        attempt_id: str | None = None,
    ) -> None:
        self.row = row
        self.accepted_at = accepted_at
        self.message_id = message_id or f"0100{row.id:012x}-m-000000"
        self.tags = {"ses:configuration-set": ["bes"]}
        if install is not None:
            self.tags |= {
                "bes_install": [install],
                "bes_campaign": [str(row.campaign_id)],
                "bes_recipient": [str(row.id)],
                "bes_attempt": [attempt_id or row.attempt_id or ""],
            }

    def event(self, kind: str, details: dict[str, Any] | None = None, **mail: Any) -> str:
        """The JSON text of an event of this mail."""
        names = {"DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure"}
        document = {
            "eventType": kind,
            "mail": {
                "timestamp": stamp(self.accepted_at),
                "source": "Example News <news@example.com>",
                "messageId": self.message_id,
                "destination": [self.row.email],
                "headersTruncated": False,
                "tags": self.tags,
                **mail,
            },
            names.get(kind, kind.lower()): details or {},
        }
        return json.dumps(document)

    def at(self, seconds: float) -> str:
        """A time after acceptance, as SES writes it."""
        return stamp(self.accepted_at + timedelta(seconds=seconds))

    def send(self) -> str:
        return self.event("Send")

    def delivery(self, after: float = 2) -> str:
        return self.event("Delivery", {"timestamp": self.at(after), "recipients": [self.row.email]})

    def delay(self, after: float = 60, kind: str = "MailboxFull") -> str:
        people = [{"emailAddress": self.row.email, "status": "4.2.2"}]
        return self.event(
            "DeliveryDelay",
            {
                "timestamp": self.at(after),
                "delayType": kind,
                "expirationTime": self.at(after + 43_200),
                "delayedRecipients": people,
            },
        )

    def bounce(
        self, code: str = "Permanent/General", after: float = 5, address: str | None = None
    ) -> str:
        kind, _, sub = code.partition("/")
        person = {"emailAddress": address or self.row.email, "status": "5.1.1"}
        return self.event(
            "Bounce",
            {
                "bounceType": kind,
                "bounceSubType": sub,
                "bouncedRecipients": [person],
                "timestamp": self.at(after),
                "feedbackId": f"{self.message_id}-{code}-{after}",
            },
        )

    def complaint(self, feedback: str | None = "abuse", after: float = 90) -> str:
        return self.event(
            "Complaint",
            {
                "complainedRecipients": [{"emailAddress": self.row.email}],
                "complaintFeedbackType": feedback,
                "timestamp": self.at(after),
                "feedbackId": f"{self.message_id}-{feedback}-{after}",
            },
        )

    def reject(self) -> str:
        return self.event("Reject", {"reason": "Bad content"})

    def rendering_failure(self) -> str:
        return self.event("Rendering Failure", {"errorMessage": "Attribute 'x' is not present."})

    def opened(self, after: float = 300, bot: str | None = "Unlikely") -> str:
        return self.event("Open", self._engagement(after, bot))

    def clicked(
        self, link: str = "https://example.com/a", after: float = 310, bot: str | None = "Unlikely"
    ) -> str:
        return self.event("Click", {**self._engagement(after, bot), "link": link})

    def _engagement(self, after: float, bot: str | None) -> dict[str, Any]:
        said = {"isBotEvent": bot} if bot else {}
        agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"
        return {"timestamp": self.at(after), "userAgent": agent, "ipAddress": "192.0.2.1", **said}

    def subscription(self, after: float = 400, left: bool = True) -> str:
        return self.event(
            "Subscription",
            {"timestamp": self.at(after), "newTopicPreferences": {"unsubscribeAll": left}},
        )


def incoming(texts: Sequence[str], door: str = "sqs", at_once: bool = True) -> list[Incoming]:
    """Messages as the doors hand them over."""
    messages = []
    for text in texts:
        events = parse_text(text)
        if not isinstance(events, list):
            raise ValueError(f"no event: {text}")
        messages.append(Incoming.of(text, events, door, at_once=at_once))
    return messages


def mail_events(session: Any, row: Recipient, accepted_at: datetime, **options: Any) -> MailEvents:
    """The events of a row's present attempt, tagged as our own mails are."""
    return MailEvents(installation_id(session), row, accepted_at, **options)
