"""Domains and wildcards as a person writes them, and whom they cover."""

from __future__ import annotations

import pytest

from domain.addresses import AddressProblem
from domain.suppression_patterns import Pattern, keys_of, parse_pattern


@pytest.mark.parametrize(
    ("written", "kept", "key"),
    [
        ("example.com", "*@example.com", "@example.com"),
        (" @Example.COM ", "*@example.com", "@example.com"),
        ("*@example.com", "*@example.com", "@example.com"),
        ("*.example.com", "*@*.example.com", ".example.com"),
        (".example.com", "*@*.example.com", ".example.com"),
        ("*@*.example.com", "*@*.example.com", ".example.com"),
        ("@*.example.com", "*@*.example.com", ".example.com"),
        ("Sales@*", "sales@*", "sales@"),
        ("bücher.example.com", "*@xn--bcher-kva.example.com", "@xn--bcher-kva.example.com"),
    ],
)
def test_every_way_of_writing_one_is_understood(written: str, kept: str, key: str) -> None:
    assert parse_pattern(written) == Pattern(kept, key)


@pytest.mark.parametrize("kept", ["*@example.com", "*@*.example.com", "sales@*"])
def test_what_is_kept_is_read_as_the_same(kept: str) -> None:
    found = parse_pattern(kept)
    assert isinstance(found, Pattern)
    assert found.text == kept


@pytest.mark.parametrize("written", ["ana@example.com", "", "ana", "*", "a*@example.com", "com"])
def test_an_address_or_a_word_is_no_pattern(written: str) -> None:
    assert parse_pattern(written) is None


@pytest.mark.parametrize("written", ["*@*", "*.com", "@com", "exa mple.com", "..", "a b@*", "@*"])
def test_what_covers_everything_or_nothing_is_refused(written: str) -> None:
    assert isinstance(parse_pattern(written), AddressProblem)


@pytest.mark.parametrize(
    ("pattern", "covers", "leaves"),
    [
        ("example.com", ["ana@example.com"], ["ana@eu.example.com", "ana@notexample.com"]),
        ("*.example.com", ["ana@eu.example.com", "ana@a.b.example.com"], ["ana@example.com"]),
        ("sales@*", ["sales@example.com"], ["resales@example.com", "sales.eu@example.com"]),
    ],
)
def test_a_pattern_covers_what_it_says(pattern: str, covers: list[str], leaves: list[str]) -> None:
    found = parse_pattern(pattern)
    assert isinstance(found, Pattern)
    assert all(found.key in keys_of(address) for address in covers)
    assert not any(found.key in keys_of(address) for address in leaves)


def test_a_pattern_says_whom_it_covers() -> None:
    said = [parse_pattern(text) for text in ("example.com", "*.example.com", "sales@*")]
    assert [one.sentence for one in said if isinstance(one, Pattern)] == [
        "every address at example.com",
        "every address at a subdomain of example.com",
        "sales@ at every domain",
    ]
