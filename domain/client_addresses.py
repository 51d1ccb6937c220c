"""The address of whoever calls, as something to count by that tells nobody where they were."""

from __future__ import annotations

from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network, ip_address


def client_hash(secret: bytes, address: str) -> bytes:
    """16 bytes for a client; an IPv6 network of /64 is one client, as one household has it.

    Only who has the installation's key can test whether an address is the one behind a hash.
    """
    text = address.strip()
    try:
        found = ip_address(text)
    except ValueError:
        found = None
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        text = str(mapped or IPv6Network((int(found) >> 64 << 64, 64)))
    data = text.encode("utf-8", "surrogatepass")
    return blake2b(data, key=secret, digest_size=16, person=b"bes-client").digest()
