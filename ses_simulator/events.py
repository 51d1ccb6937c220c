"""SES events as AWS publishes them: one record in memory, written out as JSON when it is read.

Shapes follow the developer guide ("Contents of event data that Amazon SES publishes to Amazon
SNS") and, for `legacy_json`, the older notifications of identity topics.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ses_simulator.outbox import Mail, bare_address
from ses_simulator.outcomes import Kind

ACCOUNT_ID: Final = "000000000000"
SUBJECT: Final = "Amazon SES Email Event Notification"
_HEADER_BYTES: Final = 10_240

_BROWSER: Final = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
# Apple's privacy proxy shows itself by this bare name.
_MACHINE: Final = "Mozilla/5.0"

_DIAGNOSTICS: Final = {
    "Permanent/General": ("5.1.1", "smtp; 550 5.1.1 user unknown"),
    "Permanent/NoEmail": ("5.1.1", "smtp; 550 5.1.1 The email account does not exist"),
    "Permanent/Suppressed": (
        "5.1.1",
        (
            "Amazon SES has suppressed sending to this address because it has a recent history "
            "of bouncing as an invalid address."
        ),
    ),
    "Permanent/OnAccountSuppressionList": (
        "5.1.1",
        (
            "Amazon SES did not send the message to this address because it is on the "
            "suppression list for your account."
        ),
    ),
    "Transient/General": ("4.0.0", "smtp; 421 4.3.2 Service temporarily unavailable"),
    "Transient/MailboxFull": ("5.2.2", "smtp; 552 5.2.2 Mailbox full"),
    "Transient/MessageTooLarge": ("5.3.4", "smtp; 552 5.3.4 Message size exceeds limit"),
    "Transient/ContentRejected": ("5.7.1", "smtp; 554 5.7.1 Message content rejected"),
    "Transient/AttachmentRejected": ("5.7.1", "smtp; 552 5.7.1 Attachment type not allowed"),
}


def timestamp(seconds: float) -> str:
    """Epoch seconds as SES writes times: UTC, milliseconds, Z."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


@dataclass(slots=True, eq=False)
class Event:
    """One thing that happened to some recipients of a mail, at epoch seconds `at`."""

    mail: Mail
    kind: Kind
    detail: str
    at: float
    recipients: tuple[str, ...]

    def json(self) -> str:
        """The event with `eventType`."""
        document = {"eventType": self.kind.value, "mail": self._mail(), **self._body()}
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)

    def legacy_json(self) -> str:
        """The notification with `notificationType` (Bounce, Complaint and Delivery only)."""
        mail = self._mail()
        for name in ("tags", "headers", "commonHeaders", "headersTruncated"):
            mail.pop(name, None)
        mail |= {"sourceIp": "127.0.0.1", "callerIdentity": "simulator"}
        body = self._body()
        if self.kind is Kind.DELIVERY:
            body["delivery"]["remoteMtaIp"] = "127.0.2.0"
        document = {"notificationType": self.kind.value, **body, "mail": mail}
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False)

    @property
    def feedback_id(self) -> str:
        """Stable over repeats of the same event."""
        return f"{self.mail.message_id[:16]}-{int(self.at * 1e6):016x}-000000"

    def _mail(self) -> dict[str, Any]:
        mail = self.mail
        document: dict[str, Any] = {
            "timestamp": timestamp(mail.received),
            "source": mail.source,
            "sourceArn": f"arn:aws:ses:{mail.region}:{ACCOUNT_ID}:identity/{_domain(mail.source)}",
            "sendingAccountId": ACCOUNT_ID,
            "messageId": mail.message_id,
            "destination": [bare_address(address) for address in mail.recipients],
            "headersTruncated": False,
        }
        if self.kind in (Kind.OPEN, Kind.CLICK):
            del document["sourceArn"]
        if self.kind not in (Kind.RENDERING_FAILURE, Kind.DELIVERY_DELAY):
            document |= _headers(mail)
        document["tags"] = self._tags()
        return document

    def _tags(self) -> dict[str, list[str]]:
        mail = self.mail
        tags = {"ses:operation": [mail.operation]}
        if mail.configuration_set:
            tags["ses:configuration-set"] = [mail.configuration_set]
        tags["ses:source-ip"] = ["127.0.0.1"]
        tags["ses:from-domain"] = [_domain(mail.source)]
        tags["ses:caller-identity"] = ["simulator"]
        if self.kind is Kind.DELIVERY:
            tags["ses:outgoing-ip"] = ["127.0.1.0"]
        for name, value in mail.tags.items():
            tags[name] = [value]
        return tags

    def _body(self) -> dict[str, Any]:
        match self.kind:
            case Kind.SEND:
                return {"send": {}}
            case Kind.DELIVERY:
                return {"delivery": self._delivery()}
            case Kind.BOUNCE:
                return {"bounce": self._bounce()}
            case Kind.COMPLAINT:
                return {"complaint": self._complaint()}
            case Kind.REJECT:
                return {"reject": {"reason": "Bad content"}}
            case Kind.OPEN | Kind.CLICK:
                return {self.kind.value.lower(): self._engagement()}
            case Kind.DELIVERY_DELAY:
                return {"deliveryDelay": self._delay()}
            case Kind.RENDERING_FAILURE:
                return {"failure": {"errorMessage": self.detail, "templateName": "inline"}}
            case _:
                return {"subscription": self._subscription()}

    def _delivery(self) -> dict[str, Any]:
        return {
            "timestamp": timestamp(self.at),
            "processingTimeMillis": max(1, round((self.at - self.mail.received) * 1000)),
            "recipients": list(self.recipients),
            "smtpResponse": "250 2.6.0 Message received",
            "reportingMTA": "a1-1.smtp-out.amazonses.com",
        }

    def _bounce(self) -> dict[str, Any]:
        bounce_type, _, subtype = self.detail.partition("/")
        status, diagnostic = _DIAGNOSTICS.get(self.detail, ("", ""))
        prevented = subtype in ("Suppressed", "OnAccountSuppressionList")
        recipients: list[dict[str, str]] = []
        for address in self.recipients:
            recipient = {"emailAddress": address}
            if status:
                recipient |= {
                    "action": "failed",
                    "status": status,
                    "diagnosticCode": diagnostic,
                }
            recipients.append(recipient)
        document: dict[str, Any] = {
            "feedbackId": self.feedback_id,
            "bounceType": bounce_type,
            "bounceSubType": subtype,
            "bouncedRecipients": recipients,
            "timestamp": timestamp(self.at),
        }
        if status:
            mta = "amazonses.com" if prevented else "a1-1.smtp-out.amazonses.com"
            document["reportingMTA"] = f"{'dns' if prevented else 'dsn'}; {mta}"
        return document

    def _complaint(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "feedbackId": self.feedback_id,
            "complaintSubType": None,
            "complainedRecipients": [{"emailAddress": address} for address in self.recipients],
            "timestamp": timestamp(self.at),
        }
        if self.detail == "OnAccountSuppressionList":
            document["complaintSubType"] = self.detail
            return document
        return document | {
            "userAgent": "Amazon SES Mailbox Simulator",
            "complaintFeedbackType": self.detail,
            "arrivalDate": timestamp(self.mail.received),
        }

    def _engagement(self) -> dict[str, Any]:
        machine = self.detail.startswith("machine")
        document: dict[str, Any] = {
            "timestamp": timestamp(self.at),
            "userAgent": _MACHINE if machine else _BROWSER,
            "ipAddress": "192.0.2.200" if machine else "192.0.2.100",
            "isBotEvent": "Likely" if machine else "Unlikely",
        }
        if self.kind is Kind.CLICK:
            link, _, tags = self.detail.removeprefix("machine ").partition("\n")
            document |= {"link": link, "linkTags": _link_tags(tags)}
        return document

    def _delay(self) -> dict[str, Any]:
        delay_type = self.detail or "TransientCommunicationFailure"
        full = delay_type == "MailboxFull"
        status = "4.2.2" if full else "4.4.1"
        words = "452 4.2.2 Mailbox full" if full else "421 4.4.1 Unable to connect to remote host"
        return {
            "timestamp": timestamp(self.at),
            "delayType": delay_type,
            "expirationTime": timestamp(self.mail.received + 14 * 3600),
            "delayedRecipients": [
                {"emailAddress": address, "status": status, "diagnosticCode": f"smtp; {words}"}
                for address in self.recipients
            ],
        }

    def _subscription(self) -> dict[str, Any]:
        topics = [{"topicName": "newsletter", "subscriptionStatus": "OptOut"}]
        return {
            "contactList": "contacts",
            "timestamp": timestamp(self.at),
            "source": "UnsubscribeHeader",
            "newTopicPreferences": {"unsubscribeAll": True, "topicSubscriptionStatus": topics},
            "oldTopicPreferences": {
                "unsubscribeAll": False,
                "topicSubscriptionStatus": [topics[0] | {"subscriptionStatus": "OptIn"}],
            },
        }


def _domain(source: str) -> str:
    return bare_address(source).rpartition("@")[2]


def _link_tags(text: str) -> dict[str, list[str]] | None:
    """`k:v;k2:v2;` of the attribute ses:tags."""
    pairs = (part.partition(":") for part in text.split(";") if ":" in part)
    tags = {name.strip(): [value.strip()] for name, _, value in pairs}
    return tags or None


def wire_headers(mail: Mail) -> list[tuple[str, str]]:
    """The headers that the recipient sees, in the order of the mail."""
    headers = [("From", mail.source)]
    if mail.reply_to:
        headers.append(("Reply-To", ", ".join(mail.reply_to)))
    for name, addresses in (("To", mail.to), ("Cc", mail.cc)):
        if addresses:
            headers.append((name, ", ".join(addresses)))
    headers += (
        ("Subject", mail.subject),
        ("MIME-Version", "1.0"),
        ("Content-Type", mail.content_type),
    )
    headers += mail.headers
    return headers


def _headers(mail: Mail) -> dict[str, Any]:
    shown: list[dict[str, str]] = []
    size = 0
    truncated = False
    for name, value in wire_headers(mail):
        size += len(name) + len(value)
        if size > _HEADER_BYTES:
            truncated = True
            break
        shown.append({"name": name, "value": value})
    common: dict[str, Any] = {"from": [mail.source]}
    if mail.reply_to:
        common["replyTo"] = list(mail.reply_to)
    common["to"] = list(mail.to)
    if mail.cc:
        common["cc"] = list(mail.cc)
    common |= {"messageId": mail.message_id, "subject": mail.subject}
    return {"headers": shown, "headersTruncated": truncated, "commonHeaders": common}
