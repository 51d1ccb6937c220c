"""Domains and wildcards of the suppression list: how they are written, and whom they cover.

Three kinds: `example.com` is every address at that domain, `*.example.com` every address at a
subdomain of it, `sales@*` that name at every domain. Each has one key, and an address has a few
keys of its own, so that whether it is covered is a look-up and no comparison with every pattern.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.addresses import AddressProblem, check_syntax, undecorated

_ANY = "*"


@dataclass(frozen=True, slots=True)
class Pattern:
    """`text` is how the list keeps it (`*@example.com`), `key` what `keys_of` of whoever is
    covered holds."""

    text: str
    key: str

    @property
    def sentence(self) -> str:
        """Whom it covers."""
        name, _, domain = self.text.rpartition("@")
        if domain == _ANY:
            return f"{name}@ at every domain"
        if domain.startswith("*."):
            return f"every address at a subdomain of {domain[2:]}"
        return f"every address at {domain}"


def parse_pattern(text: str) -> Pattern | AddressProblem | None:
    """The domain or wildcard that a text is, the fault of one that was meant, or None if the
    text is meant for an address (or nothing)."""
    text = undecorated(text).lower()
    name, at, domain = text.rpartition("@")
    if domain == _ANY and at and name != _ANY:
        found = check_syntax(f"{name}@example.com")
        if isinstance(found, AddressProblem):
            return AddressProblem("What stands before the @ is no name of a mailbox.")
        return Pattern(f"{name}@*", f"{name}@")
    if name not in ("", _ANY) or not domain or (not at and "." not in domain):
        return None
    below = domain.startswith(("*.", "."))
    domain = domain.removeprefix(_ANY).removeprefix(".") if below else domain
    found = check_syntax(f"x@{domain}")
    if isinstance(found, AddressProblem):
        return AddressProblem("This is no domain that mail can go to.")
    if below:
        return Pattern(f"*@*.{found.domain}", f".{found.domain}")
    return Pattern(f"*@{found.domain}", f"@{found.domain}")


def keys_of(address: str) -> list[str]:
    """The keys of all patterns that would cover this address key."""
    name, _, domain = address.rpartition("@")
    keys = [f"{name}@", f"@{domain}"]
    while "." in domain:
        domain = domain.partition(".")[2]
        keys.append(f".{domain}")
    return keys
