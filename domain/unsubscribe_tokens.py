"""The signed token in an unsubscribe link: what it says, how it is made and read.

A token carries everything that is needed to suppress the address, so that links work after the
campaign's rows are gone; the address itself is in it only as its keyed hash. It never expires
(CAN-SPAM wants links that work for 30 days at least; a mail may be found years later).
"""

from __future__ import annotations

import binascii
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b

#: version, campaign id, recipient id, address hash; with the seal 45 bytes = 60 characters.
_FORM = struct.Struct(">BIQ16s")
_VERSION = 1
_SEAL_BYTES = 16
_TOKEN_LENGTH = 60


@dataclass(frozen=True, slots=True)
class UnsubscribeClaim:
    """Who says no to what. `recipient_id` is 0 for a test mail."""

    recipient_id: int
    campaign_id: int
    address_hash: bytes


def make_token(secret: bytes, recipient_id: int, campaign_id: int, address_hash: bytes) -> str:
    """A token of 60 URL-safe characters; `address_hash` is 16 bytes (domain.addresses)."""
    claim = _FORM.pack(_VERSION, campaign_id, recipient_id, address_hash)
    return urlsafe_b64encode(claim + _seal(secret, claim)).decode("ascii")


def read_token(secret: bytes, token: str) -> UnsubscribeClaim | None:
    """The claim of a token that was made with this secret; None for anything else."""
    if len(token) != _TOKEN_LENGTH:
        return None
    try:
        raw = urlsafe_b64decode(token.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        return None
    claim, seal = raw[: _FORM.size], raw[_FORM.size :]
    if not hmac.compare_digest(seal, _seal(secret, claim)):
        return None
    version, campaign_id, recipient_id, address_hash = _FORM.unpack(claim)
    if version != _VERSION:
        return None
    return UnsubscribeClaim(recipient_id, campaign_id, address_hash)


def _seal(secret: bytes, claim: bytes) -> bytes:
    return blake2b(claim, key=secret, digest_size=_SEAL_BYTES, person=b"bes-unsubscribe").digest()
