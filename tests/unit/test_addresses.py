"""Addresses: what is one, what is the same one, and the mend that is offered."""

import json
import string
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from domain.addresses import (
    AddressProblem,
    ParsedAddress,
    address_hash,
    address_key,
    check_by_the_book,
    check_syntax,
    undecorated,
)

_FRAGMENTS = st.sampled_from(
    ["a", "Bob", "x-y", "--", "xn--", "xn--nxasmq6b", ".", "..", "@", "com", "test", "local", "1",
     "example", "example.com", "-", "_", "+tag", "'", "#", "é", " ", "arpa", "onion", "a" * 63,
     "b" * 64, "ab--cd", "münchen", "mail.", "q" * 30]
)  # fmt: skip
_TEXTS = st.one_of(
    st.lists(_FRAGMENTS, max_size=8).map("".join),
    st.builds(
        "{}@{}".format,
        st.lists(_FRAGMENTS, min_size=1, max_size=4).map("".join),
        st.lists(_FRAGMENTS, min_size=1, max_size=5).map(".".join),
    ),
    st.text(string.ascii_letters + string.digits + ".-_+@ '\"", max_size=40),
)


@settings(max_examples=600, deadline=None)
@given(_TEXTS)
@example("'0@0.A")
def test_the_fast_path_and_email_validator_agree(text: str) -> None:
    fast, slow = check_syntax(text), check_by_the_book(undecorated(text))
    assert isinstance(fast, AddressProblem) == isinstance(slow, AddressProblem)
    if isinstance(fast, ParsedAddress):
        assert fast == slow


@settings(max_examples=300, deadline=None)
@given(_TEXTS)
def test_the_key_of_a_valid_address_is_the_key_of_what_is_sent(text: str) -> None:
    parsed = check_syntax(text)
    if isinstance(parsed, ParsedAddress):
        assert address_key(text.strip()) == parsed.address or text != parsed.email
        assert address_key(parsed.email) == parsed.address
        assert parsed.email.isascii()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bob@Example.COM", " bob@example.com "),
        ("bob@MÜNCHEN.example.com", "bob@xn--mnchen-3ya.example.com"),
        ("bob@example.com.", "bob@example.com"),
        ("\u200bbob@example.com\ufeff", "bob@example.com"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert address_key(one) == address_key(other)


def test_dots_and_tags_make_different_addresses() -> None:
    keys = {address_key(a) for a in ("b.ob@example.com", "bob@example.com", "bob+x@example.com")}
    assert len(keys) == 3


def test_the_hash_depends_on_the_key_of_the_installation() -> None:
    one, other = b"1" * 32, b"2" * 32
    assert address_hash(one, "Bob@example.com") == address_hash(one, "bob@EXAMPLE.com")
    assert address_hash(one, "bob@example.com") != address_hash(other, "bob@example.com")
    assert len(address_hash(one, "bob@example.com")) == 16


def test_ses_gets_the_local_part_as_typed_and_the_domain_in_punycode() -> None:
    parsed = check_syntax("John.Doe+News@BÜCHER.example.com")
    assert parsed == ParsedAddress(
        "John.Doe+News@xn--bcher-kva.example.com",
        "john.doe+news@xn--bcher-kva.example.com",
        "xn--bcher-kva.example.com",
    )


@pytest.mark.parametrize(
    "text",
    ["  bob@example.com\t", "\u200bbob@example.com\u200b", "mailto:bob@example.com",
     "MAILTO:bob@example.com?subject=x", "<bob@example.com>", "bob@example.com,",
     "\xa0bob@example.com", "\ufeffbob@example.com"],
)  # fmt: skip
def test_decoration_is_taken_off(text: str) -> None:
    parsed = check_syntax(text)
    assert isinstance(parsed, ParsedAddress)
    assert parsed.email == "bob@example.com"


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("Bob Smith <bob@example.com>", "bob@example.com"),
        ('"Bob" <bob@example.com>;', "bob@example.com"),
        ("bob@example.com;", "bob@example.com"),
        ('"bob@example.com"', "bob@example.com"),
        ("bob @ example.com", "bob@example.com"),
        ("bob@example..com", "bob@example.com"),
        ("bob@example.com (work)", "bob@example.com"),
        ("bob@example.com / 555-1234", "bob@example.com"),
        ("bob smith@example.com", None),
        ("bob@example.com, eve@example.com", None),
        ("bob", None),
        ("bob@example", None),
        ("müller@example.com", None),
    ],
)
def test_a_fault_is_named_and_only_a_plain_mend_is_offered(text: str, mend: str | None) -> None:
    found = check_syntax(text)
    assert isinstance(found, AddressProblem)
    assert found.sentence.endswith((".", ")."))
    assert found.mend == mend


def test_each_length_limit_holds() -> None:
    assert isinstance(check_syntax("a" * 64 + "@example.com"), ParsedAddress)
    assert isinstance(check_syntax("a" * 65 + "@example.com"), AddressProblem)
    assert isinstance(check_syntax("a@" + "b" * 63 + ".com"), ParsedAddress)
    assert isinstance(check_syntax("a@" + "b" * 64 + ".com"), AddressProblem)
    assert isinstance(check_syntax("a@" + ".".join(["b" * 60] * 5) + ".com"), AddressProblem)


def test_addresses_are_judged_as_a_public_sender_judges_them(material: Path) -> None:
    known = json.loads((material / "addresses/gov-uk-notify.json").read_text("utf-8"))
    for text in known["valid"]:
        assert isinstance(check_syntax(text), ParsedAddress), text
    for text in known["invalid"]:
        assert isinstance(check_syntax(text), AddressProblem), text
    for text in known["stripped_to_email@domain.com"]:
        parsed = check_syntax(text)
        assert isinstance(parsed, ParsedAddress)
        assert parsed.email == "email@domain.com"


def test_wrong_addresses_of_other_suites_are_refused(material: Path) -> None:
    allowed = {"sql'or'1'='1'or'test@email.com"}  # legal signs, see docs/verification.md
    for name in ("fuzzdb-invalid.txt", "flanker/mailbox_invalid.txt"):
        for line in (material / "addresses" / name).read_text("utf-8").splitlines():
            if line.startswith("#") or not line.strip() or line in allowed:
                continue
            if line.strip() != line and isinstance(check_syntax(line.strip()), ParsedAddress):
                continue  # white space at the edge is decoration
            assert isinstance(check_syntax(line), AddressProblem), line


def test_right_addresses_of_other_suites_pass_unless_nobody_sends_to_them(material: Path) -> None:
    for name in ("fuzzdb-valid.txt", "flanker/mailbox_valid.txt"):
        for line in (material / "addresses" / name).read_text("utf-8").splitlines():
            domain = line.rpartition("@")[2]
            unusual = (
                not line.isascii()
                or any(sign in line for sign in '"()<>[]\\ ')
                or "." not in domain
                or not domain[-1:].isalpha()
                or "123." in domain
                or line.startswith("#")
            )
            if line and not unusual:
                assert isinstance(check_syntax(line), ParsedAddress), line


def test_the_isemail_suite_is_met_but_for_white_space_and_bare_tlds(material: Path) -> None:
    tree = ET.parse(material / "addresses/isemail/tests.xml")  # noqa: S314 - a known file
    for case in tree.getroot().findall("test"):
        text = "".join(
            chr(ord(sign) - 0x2400) if 0x2400 <= ord(sign) < 0x2440 else sign
            for sign in case.findtext("address") or ""
        )
        good = case.findtext("category") in ("ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN")
        if text.strip() != text or text.endswith("@io"):
            continue
        assert isinstance(check_syntax(text), ParsedAddress) == good, text
