"""Events for a benchmark: rows that were just sent, and what SES would publish about them."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from sqlalchemy import insert, text

from benchmarks.installation import Installation
from database import writing
from domain.addresses import key_hash
from domain.statuses import CampaignStatus, Fact, RecipientStatus
from models import Campaign, CampaignCounters, Recipient
from services.installation import address_key_secret, installation_id

TOPIC = "arn:aws:sns:us-east-1:000000000000:bes-events"
_ROWS_AT_ONCE = 5000
_CERTIFICATE = f"SimpleNotificationService-{'b2' * 16}.pem"
_AGENT = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)


@dataclass(frozen=True)
class SentCampaign:
    """A campaign whose mails are submitted: first recipient id, how many, and when."""

    id: int
    first: int
    size: int
    install: str
    at: datetime


def sent_campaign(place: Installation, size: int) -> SentCampaign:
    """A campaign of `size` recipients, each with an attempt that waits for its events."""
    now = datetime.now(UTC)
    with place.sessions() as session, writing(session):
        secret = address_key_secret(session)
        install = installation_id(session)
        campaign = Campaign(
            name="Benchmark", subject="News", html="<p>Hello</p>", text="Hello",
            from_email="news@example.com", status=CampaignStatus.SENDING, variables=[],
            created_at=now, updated_at=now, launched_at=now, configuration_set="bes",
        )  # fmt: skip
        session.add(campaign)
        session.flush()
        session.add(CampaignCounters(campaign_id=campaign.id, total=size, sending=size))
        campaign_id = campaign.id
        newest = session.execute(text("SELECT coalesce(max(id), 0) FROM recipients")).scalar_one()
    first = int(newest) + 1
    for start in range(0, size, _ROWS_AT_ONCE):
        numbers = range(start, min(start + _ROWS_AT_ONCE, size))
        rows = [_row(campaign_id, first + n, n, secret, now) for n in numbers]
        with place.sessions() as session, writing(session):
            session.execute(insert(Recipient), rows)
    return SentCampaign(campaign_id, first, size, install, now)


def _row(
    campaign_id: int, row_id: int, number: int, secret: bytes, now: datetime
) -> dict[str, Any]:
    address = f"person{number}@example.com"
    return {
        "id": row_id,
        "campaign_id": campaign_id,
        "email": address,
        "address": address,
        "address_hash": key_hash(secret, address),
        "variables": f'{{"name": "Person {number}"}}',
        "status": RecipientStatus.SENDING,
        "facts": int(Fact.CLAIMED),
        "attempt_id": _random_like("attempt", row_id),
        "attempts": 1,
        "submitted_at": now,
        "updated_at": now,
    }


def _random_like(what: str, row_id: int) -> str:
    """32 hex digits that compress as badly as random ones."""
    return blake2b(f"{what} {row_id}".encode(), digest_size=16).hexdigest()


def event_texts(campaign: SentCampaign, kinds: tuple[str, ...]) -> Iterator[str]:
    """The events of every mail, one kind after the other, as SES writes them."""
    for kind in kinds:
        for number in range(campaign.size):
            yield json.dumps(_event(campaign, kind, number), separators=(",", ":"))


def _event(campaign: SentCampaign, kind: str, number: int) -> dict[str, Any]:
    row_id = campaign.first + number
    address = f"person{number}@example.com"
    attempt = _random_like("attempt", row_id)
    mark = _random_like("message", row_id)
    message_id = f"0100019{mark[:9]}-{mark[:8]}-{mark[8:12]}-{mark[12:16]}-{mark[16:28]}-000000"
    token = _random_like("token", row_id) * 3
    return {
        "eventType": kind,
        "mail": {
            "timestamp": _stamp(campaign.at),
            "source": "Example News <news@example.com>",
            "sourceArn": "arn:aws:ses:us-east-1:000000000000:identity/example.com",
            "sendingAccountId": "000000000000",
            "messageId": message_id,
            "destination": [address],
            "headersTruncated": False,
            "headers": [
                {"name": "From", "value": "Example News <news@example.com>"},
                {"name": "To", "value": address},
                {"name": "Subject", "value": "News"},
                {"name": "MIME-Version", "value": "1.0"},
                {
                    "name": "Content-Type",
                    "value": 'multipart/alternative; boundary="----=_Part_12_345.6789"',
                },
                {"name": "List-Unsubscribe", "value": f"<https://mail.example.com/u/{token}>"},
                {"name": "List-Unsubscribe-Post", "value": "List-Unsubscribe=One-Click"},
            ],
            "commonHeaders": {
                "from": ["Example News <news@example.com>"],
                "to": [address],
                "messageId": message_id,
                "subject": "News",
            },
            "tags": {
                "ses:operation": ["SendEmail"],
                "ses:configuration-set": ["bes"],
                "ses:source-ip": ["198.51.100.7"],
                "ses:from-domain": ["example.com"],
                "ses:caller-identity": ["mailer"],
                "bes_install": [campaign.install],
                "bes_campaign": [str(campaign.id)],
                "bes_recipient": [str(row_id)],
                "bes_attempt": [attempt],
            },
        },
        kind.lower(): _details(campaign, kind, number, address),
    }


def _details(campaign: SentCampaign, kind: str, number: int, address: str) -> dict[str, Any]:
    if kind == "Send":
        return {}
    if kind == "Delivery":
        return {
            "timestamp": _stamp(campaign.at + timedelta(milliseconds=900 + number % 977)),
            "processingTimeMillis": 900 + number % 977,
            "recipients": [address],
            "smtpResponse": f"250 2.0.0 OK  {number * 7919 % 10**10:010d} mx.example.com gsmtp",
            "reportingMTA": "a8-123.smtp-out.amazonses.com",
        }
    return {
        "timestamp": _stamp(campaign.at + timedelta(milliseconds=60_000 + number * 37 % 10**7)),
        "userAgent": _AGENT,
        "ipAddress": f"203.0.113.{number % 250}",
        "isBotEvent": "Unlikely",
    }


def _stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def envelope(event_text: str, number: int, at: datetime) -> dict[str, str]:
    """SNS's envelope around an event, not signed yet."""
    return {
        "Type": "Notification",
        "MessageId": f"00000000-0000-4000-8000-{number:012d}",
        "TopicArn": TOPIC,
        "Subject": "Amazon SES Email Event Notification",
        "Message": event_text,
        "Timestamp": _stamp(at),
        "SignatureVersion": "2",
    }


def process_figures(pid: int) -> tuple[float, float]:
    """CPU seconds and megabytes of memory of a process: its own, since mapped pages of the database
    file (up to 256 MB) are given back to whoever needs the memory."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = Path(f"/proc/{pid}/status").read_text()
    # Kernels without the split tell the whole.
    own = re.search(r"^RssAnon:\s+(\d+)", status, re.M) or re.search(
        r"^VmRSS:\s+(\d+)", status, re.M
    )
    return ticks / os.sysconf("SC_CLK_TCK"), int(own.group(1)) / 1024 if own else 0.0


def family_figures(pid: int) -> tuple[float, float]:
    """The same of a process and its children together."""
    family = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            family += map(int, (task / "children").read_text().split())
    figures = [process_figures(one) for one in family]
    return sum(cpu for cpu, _ in figures), sum(megabytes for _, megabytes in figures)


class Signer:
    """Signs as SNS does; the certificate lies in a folder for SNS_CERT_DIR."""

    def __init__(self, folder: str) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
            .public_key(self.key.public_key())
            .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
            .sign(self.key, hashes.SHA256())
        )  # fmt: skip
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        (Path(folder) / _CERTIFICATE).write_bytes(pem)

    def body(self, message: dict[str, str]) -> bytes:
        """The posted body."""
        names = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        plain = "".join(f"{name}\n{message[name]}\n" for name in names).encode()
        signature = self.key.sign(plain, padding.PKCS1v15(), hashes.SHA256())
        extra = {
            "Signature": base64.b64encode(signature).decode(),
            "SigningCertURL": f"https://sns.us-east-1.amazonaws.com/{_CERTIFICATE}",
        }
        return json.dumps(message | extra).encode()
