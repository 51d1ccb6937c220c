"""The key and the certificate that SNS messages are signed with, made anew at each start.

The certificate is self-signed for sns.amazonaws.com: whoever trusts it does so because it was
fetched from this simulator, never because of its issuer.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

_SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message",
        "MessageId",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ),
}
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]

# What goes to queues is not verified by anyone: AWS vouches for it by the queue's policy.
PLACEHOLDER_SIGNATURE: Final = base64.b64encode(b"delivered to a queue, not signed" * 8).decode()


def string_to_sign(envelope: Mapping[str, str]) -> bytes:
    """Key and value, a line each, in the order of the SNS developer guide."""
    keys = _SIGNED[envelope["Type"]]
    return "".join(f"{key}\n{envelope[key]}\n" for key in keys if key in envelope).encode()


class Signer:
    """Signs envelopes; key and certificate are made at the first use (some 0.1 s)."""

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(65537, 2048)

    @cached_property
    def certificate_pem(self) -> bytes:
        """The certificate, valid for ten years and since yesterday."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName("sns.amazonaws.com")]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    @cached_property
    def certificate_name(self) -> str:
        """The file name in SigningCertURL, by the certificate's content."""
        digest = hashlib.blake2b(self.certificate_pem, digest_size=16).hexdigest()
        return f"SimpleNotificationService-{digest}.pem"

    def certificate_url(self, region: str) -> str:
        """The URL of the form that AWS uses; nothing answers there for this certificate."""
        return f"https://sns.{region}.amazonaws.com/{self.certificate_name}"

    def sign(self, envelope: Mapping[str, str], version: str) -> str:
        """Base64 of the signature; version 1 is SHA1, 2 is SHA256."""
        digest = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303 - what SNS does
        signature = self._key.sign(string_to_sign(envelope), padding.PKCS1v15(), digest)
        return base64.b64encode(signature).decode()
