"""SNS messages: the envelope, the string that SNS signs, and whether a signature is SNS's own.

Pure: certificates and the clock are arguments. Sources: SNS developer guide, "Amazon SNS message
and JSON formats" and "Verifying the signatures of Amazon SNS messages".
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

#: A message may be dated this far ahead of our clock, in seconds.
_AHEAD_SECONDS = 900
#: SNS signed with 1024-bit keys until 2013; nothing smaller was ever its.
_SMALLEST_KEY_BITS = 1024
_SIGNER = "sns.amazonaws.com"

_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d"
_TOPIC = re.compile(rf"arn:aws[a-z-]*:sns:({_REGION}):\d+:[A-Za-z0-9_-]{{1,256}}")
#: No port, no user, no query, no escapes: `sns.s3-us-west-2.amazonaws.com` is somebody's bucket.
_CERTIFICATE_URL = re.compile(
    rf"https://sns\.({_REGION})\.amazonaws\.com(?:\.cn)?/(SimpleNotificationService-[0-9a-f]{{32}}\.pem)"
)

_SIGNED_FIELDS = (
    "MessageId", "TopicArn", "Message", "Timestamp", "SignatureVersion", "Signature",
    "SigningCertURL",
)  # fmt: skip
_TOKEN_FIELDS = ("Token", "SubscribeURL")


class SnsType(StrEnum):
    """The three kinds of message that SNS posts."""

    NOTIFICATION = "Notification"
    SUBSCRIPTION_CONFIRMATION = "SubscriptionConfirmation"
    UNSUBSCRIBE_CONFIRMATION = "UnsubscribeConfirmation"


_TYPES = {kind.value: kind for kind in SnsType}


class Refusal(StrEnum):
    """Why a message is not believed; the value goes to the log and the page."""

    TOPIC = "topic not allowed"
    VERSION = "unknown signature version"
    CERTIFICATE_URL = "certificate address is not one of SNS"
    CERTIFICATE = "certificate is not one of SNS"
    CERTIFICATE_DATES = "certificate was not valid when the message was signed"
    SIGNATURE = "signature does not match"
    TOO_OLD = "message too old"
    FROM_THE_FUTURE = "message dated in the future"


class NotSns(ValueError):
    """The body is no SNS message; the text says why."""


@dataclass(frozen=True, slots=True)
class SnsMessage:
    """An SNS envelope with the fields that matter, before anyone has checked it."""

    type: SnsType
    message_id: str
    topic_arn: str
    message: str
    timestamp: str
    signature_version: str
    signature: str
    certificate_url: str
    subject: str | None = None
    token: str = ""
    subscribe_url: str = ""

    @property
    def sent_at(self) -> datetime | None:
        """The signed time, aware in UTC; None if it is unreadable."""
        try:
            moment = datetime.fromisoformat(self.timestamp)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    @property
    def region(self) -> str | None:
        """The region of the topic."""
        found = _TOPIC.fullmatch(self.topic_arn)
        return found.group(1) if found else None

    @property
    def certificate_name(self) -> str | None:
        """The file name in the certificate's address, if that is SNS's in the topic's region."""
        found = _CERTIFICATE_URL.fullmatch(self.certificate_url)
        return found.group(2) if found and found.group(1) == self.region else None

    def string_to_sign(self) -> bytes:
        """Key and value lines in SNS's order; the subject only if there is one."""
        fields = [("Message", self.message), ("MessageId", self.message_id)]
        if self.type is SnsType.NOTIFICATION:
            if self.subject is not None:
                fields.append(("Subject", self.subject))
            fields.append(("Timestamp", self.timestamp))
        else:
            fields += [
                ("SubscribeURL", self.subscribe_url),
                ("Timestamp", self.timestamp),
                ("Token", self.token),
            ]
        fields += [("TopicArn", self.topic_arn), ("Type", self.type.value)]
        return "".join(f"{key}\n{value}\n" for key, value in fields).encode("utf-8", "replace")


def parse_envelope(body: bytes | str) -> SnsMessage:
    """The envelope in a posted body; raises NotSns.

    Takes the spelling of Lambda (`SigningCertUrl`) as well, and a null field as an absent one.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NotSns("The body is no JSON.") from error
    return envelope_of(fields)


def envelope_of(fields: Any) -> SnsMessage:
    """The envelope in parsed JSON; raises NotSns."""
    if not isinstance(fields, dict):
        raise NotSns("The body is no JSON object.")
    spelled = fields.get("Type")
    kind = _TYPES.get(spelled) if isinstance(spelled, str) else None
    if kind is None:
        raise NotSns("The body has no Type that SNS uses.")
    names = _SIGNED_FIELDS if kind is SnsType.NOTIFICATION else _SIGNED_FIELDS + _TOKEN_FIELDS
    values: dict[str, str] = {}
    for name in names:
        value = fields.get(name, fields.get(name.replace("URL", "Url")))
        if not isinstance(value, str):
            raise NotSns(f"{name} is missing or no text.")
        values[name] = value
    subject = fields.get("Subject")
    if subject is not None and not isinstance(subject, str):
        raise NotSns("Subject is no text.")
    return SnsMessage(
        type=kind,
        message_id=values["MessageId"],
        topic_arn=values["TopicArn"],
        message=values["Message"],
        timestamp=values["Timestamp"],
        signature_version=values["SignatureVersion"],
        signature=values["Signature"],
        certificate_url=values["SigningCertURL"],
        subject=subject,
        token=values.get("Token", ""),
        subscribe_url=values.get("SubscribeURL", ""),
    )


def check_origin(message: SnsMessage, allowed_topics: Collection[str]) -> Refusal | None:
    """What can be told before a certificate is fetched: topic first, then version and address."""
    if message.topic_arn not in allowed_topics or message.region is None:
        return Refusal.TOPIC
    if message.signature_version not in ("1", "2"):
        return Refusal.VERSION
    if message.certificate_name is None:
        return Refusal.CERTIFICATE_URL
    return None


@dataclass(frozen=True, slots=True)
class SigningCertificate:
    """What is needed of a certificate to check signatures, read from it once."""

    key: rsa.RSAPublicKey
    valid_from: datetime
    valid_until: datetime


def load_certificate(pem: bytes) -> SigningCertificate | None:
    """The certificate in a PEM text if it can be SNS's: its name and a usable RSA key."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if [name.value for name in names] != [_SIGNER]:
        return None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _SMALLEST_KEY_BITS:
        return None
    return SigningCertificate(
        key, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    )


def check_signature(message: SnsMessage, certificate: SigningCertificate) -> Refusal | None:
    """Whether SNS signed this: dates at the message's own time, then the signature."""
    sent_at = message.sent_at
    if sent_at is None or not certificate.valid_from <= sent_at <= certificate.valid_until:
        return Refusal.CERTIFICATE_DATES
    # Version 1 is SHA-1 by SNS's definition; topics are still made with it.
    algorithm = hashes.SHA1() if message.signature_version == "1" else hashes.SHA256()  # noqa: S303
    try:
        signature = base64.b64decode(message.signature, validate=True)
        certificate.key.verify(signature, message.string_to_sign(), padding.PKCS1v15(), algorithm)
    except (binascii.Error, ValueError, InvalidSignature):
        return Refusal.SIGNATURE
    return None


def check_age(message: SnsMessage, now: datetime, max_age_seconds: int) -> Refusal | None:
    """Whether the message is of now; 0 takes any age. A replayed message is older."""
    if max_age_seconds <= 0:
        return None
    sent_at = message.sent_at
    if sent_at is None or (now - sent_at).total_seconds() > max_age_seconds:
        return Refusal.TOO_OLD
    if (sent_at - now).total_seconds() > _AHEAD_SECONDS:
        return Refusal.FROM_THE_FUTURE
    return None
