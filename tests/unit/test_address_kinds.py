"""Throw-away hosts, shared mailboxes and misspelt providers."""

import pytest

from domain.address_kinds import is_disposable, is_role
from domain.typos import meant_address, meant_domain


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gmial.com", "gmail.com"), ("gmai.com", "gmail.com"), ("gmail.con", "gmail.com"),
        ("gmail.co", "gmail.com"), ("hotmial.com", "hotmail.com"), ("yahooo.com", "yahoo.com"),
        ("outlok.com", "outlook.com"), ("iclod.com", "icloud.com"), ("example.con", "example.com"),
    ],
)  # fmt: skip
def test_a_misspelt_provider_is_recognised(typed: str, meant: str) -> None:
    assert meant_domain(typed) == meant
    assert meant_address(f"bob@{typed}") == f"bob@{meant}"


@pytest.mark.parametrize(
    "domain",
    ["gmail.com", "email.com", "mail.com", "ymail.com", "gmx.at", "hotmail.de", "me.com",
     "example.com", "live.de", "protonmail.com", "duck.com"],
)  # fmt: skip
def test_real_domains_are_not_doubted(domain: str) -> None:
    assert meant_domain(domain) is None


def test_throw_away_domains_and_their_subdomains_are_known_but_relays_are_people() -> None:
    assert is_disposable("mailinator.com")
    assert is_disposable("x.Mailinator.com")
    for domain in ("duck.com", "privaterelay.appleid.com", "gmail.com", "example.com", "com"):
        assert not is_disposable(domain)


def test_shared_mailboxes_are_known_also_with_a_tag() -> None:
    assert is_role("info")
    assert is_role("Sales+europe")
    assert not is_role("information.desk.bob")
