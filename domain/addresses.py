"""What "the same address" means, and the keyed hash that stands for an address."""

from __future__ import annotations

from hashlib import blake2b


def address_key(email: str) -> str:
    """The key under which two spellings are one address: trimmed, lower case, Punycode domain.

    Dots and `+tags` stay: they are different mailboxes at most providers.
    """
    local, at, domain = email.strip().rpartition("@")
    if not at:
        return email.strip().lower()
    domain = domain.strip().rstrip(".").lower()
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            pass
    return f"{local.strip().lower()}@{domain}"


def address_hash(secret: bytes, email: str) -> bytes:
    """16 bytes that stand for an address; only who has the installation's key can test one."""
    return blake2b(address_key(email).encode(), key=secret, digest_size=16).digest()
