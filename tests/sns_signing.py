"""SNS messages really signed, with a key and a certificate made for the run."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from tests.ses_messages import TOPIC, stamp

CERTIFICATE_NAME = f"SimpleNotificationService-{'a1' * 16}.pem"
CERTIFICATE_URL = f"https://sns.us-east-1.amazonaws.com/{CERTIFICATE_NAME}"


def certificate_for(
    key: Any,
    *,
    name: str = "sns.amazonaws.com",
    begins: datetime = datetime(2020, 1, 1, tzinfo=UTC),
    ends: datetime = datetime(2040, 1, 1, tzinfo=UTC),
) -> bytes:
    """A self-signed certificate in PEM."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def curve_key() -> Any:
    """A key that is not RSA."""
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Signer:
    """Signs messages as SNS does, with whatever is asked for changed before or after."""

    key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )

    @property
    def pem(self) -> bytes:
        """The certificate that belongs to the key."""
        return certificate_for(self.key)

    def message(self, text: str = "hello", version: str = "2", **fields: Any) -> dict[str, Any]:
        """A signed notification; `fields` are set before signing, None takes one away."""
        message: dict[str, Any] = {
            "Type": "Notification",
            "MessageId": "11111111-2222-3333-4444-555555555555",
            "TopicArn": TOPIC,
            "Subject": "Amazon SES Email Event Notification",
            "Message": text,
            "Timestamp": stamp(datetime.now(UTC) - timedelta(seconds=2)),
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE_URL,
            "UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe",
        }
        if fields.get("Type", "Notification") != "Notification":
            url = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription"
            message |= {"Token": "t" * 64, "SubscribeURL": url}
            del message["Subject"]
        message |= fields
        message = {name: value for name, value in message.items() if value is not None}
        return message | {"Signature": self.sign(message)}

    def sign(self, message: dict[str, Any]) -> str:
        """The signature over a message's fields."""
        names = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
        if message["Type"] != "Notification":
            names = [
                "Message",
                "MessageId",
                "SubscribeURL",
                "Timestamp",
                "Token",
                "TopicArn",
                "Type",
            ]
        plain = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
        is_first = message["SignatureVersion"] == "1"
        algorithm = hashes.SHA1() if is_first else hashes.SHA256()  # noqa: S303 - as SNS
        signature = self.key.sign(plain.encode(), padding.PKCS1v15(), algorithm)
        return base64.b64encode(signature).decode()


def body(message: dict[str, Any]) -> bytes:
    """The posted body."""
    return json.dumps(message).encode()
