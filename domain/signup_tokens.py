"""The signed texts of a public sign-up: the link in its mail, and the stamp in its form.

Both are sealed with the installation's key in the database, never with SECRET_KEY.
"""

from __future__ import annotations

import binascii
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import blake2b

#: version, id of the sign-up, end of its time (epoch seconds).
_LINK = struct.Struct(">BQQ")
#: When a form was shown (epoch seconds).
_STAMP = struct.Struct(">d")
_VERSION = 1
_SEAL_BYTES = 16


@dataclass(frozen=True, slots=True)
class ConfirmClaim:
    """Which sign-up a link confirms, and until when (epoch seconds)."""

    signup_id: int
    until: int


def make_confirm_token(secret: bytes, signup_id: int, until: float) -> str:
    """A token of 44 URL-safe characters."""
    return _sealed(secret, _LINK.pack(_VERSION, signup_id, int(until)), b"bes-confirm")


def read_confirm_token(secret: bytes, token: str) -> ConfirmClaim | None:
    """The claim of a token that was made with this secret, also an old one; else None."""
    raw = _opened(secret, token, _LINK.size, b"bes-confirm")
    if raw is None:
        return None
    version, signup_id, until = _LINK.unpack(raw)
    return ConfirmClaim(signup_id, until) if version == _VERSION else None


def make_stamp(secret: bytes, public_id: str, shown_at: float) -> str:
    """What a form carries so that its answer shows how long it was looked at."""
    return _sealed(secret, _STAMP.pack(shown_at), b"bes-form" + public_id.encode()[:8])


def read_stamp(secret: bytes, public_id: str, stamp: str) -> float | None:
    """When the form of this list was shown (epoch seconds); None for what is no stamp of it."""
    raw = _opened(secret, stamp, _STAMP.size, b"bes-form" + public_id.encode()[:8])
    return None if raw is None else float(_STAMP.unpack(raw)[0])


def _sealed(secret: bytes, claim: bytes, purpose: bytes) -> str:
    return urlsafe_b64encode(claim + _seal(secret, claim, purpose)).decode("ascii")


def _opened(secret: bytes, token: str, size: int, purpose: bytes) -> bytes | None:
    try:
        raw = urlsafe_b64decode(token.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        return None
    claim, seal = raw[:size], raw[size:]
    return claim if hmac.compare_digest(seal, _seal(secret, claim, purpose)) else None


def _seal(secret: bytes, claim: bytes, purpose: bytes) -> bytes:
    return blake2b(claim, key=secret, digest_size=_SEAL_BYTES, person=purpose).digest()
