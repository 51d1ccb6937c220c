"""A mail as SES gets it: names, addresses, headers, tags; and nothing that can break out."""

from __future__ import annotations

import json
from email.header import decode_header, make_header
from email.utils import parseaddr
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.outgoing import (
    OutgoingEmail,
    Unsendable,
    ascii_address,
    campaign_tags,
    email_tags,
    make_sender,
    send_email_request,
    test_mail_tags,
)


def _request(**values: Any) -> dict[str, Any]:
    sender = values.pop("sender", make_sender("news@example.com"))
    mail = OutgoingEmail(sender, **{"to": "a@example.net", "subject": "s", "html": "h", "text": "t",
                                    **values})  # fmt: skip
    return send_email_request(mail)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("", "news@example.com"),
        ("  ", "news@example.com"),
        ("Example News", "Example News <news@example.com>"),
        ("News, Inc.", '"News, Inc." <news@example.com>'),
        ('The "best" \\ news', '"The \\"best\\" \\\\ news" <news@example.com>'),
    ],
)
def test_a_plain_name_is_written_as_it_is(name: str, header: str) -> None:
    assert make_sender("news@example.com", name).header == header


@given(st.text(min_size=1, max_size=120).filter(lambda text: text.strip() and text.isprintable()))
def test_any_name_comes_back_from_the_header(name: str) -> None:
    header = make_sender("news@example.com", name).header
    assert header.isascii()
    assert header.isprintable()
    shown, address = parseaddr(header)
    assert address == "news@example.com"
    assert str(make_header(decode_header(shown))) == " ".join(name.split())


@given(st.text(max_size=60))
def test_no_name_can_add_a_header_line(name: str) -> None:
    header = make_sender("news@example.com", name).header
    assert len(header.splitlines()) == 1


def test_encoded_words_stay_within_75_characters() -> None:
    header = make_sender("news@example.com", "Größe " * 40).header
    words = header.rpartition(" <")[0].split(" ")
    assert len(words) > 3
    assert all(len(word) <= 75 for word in words)


@pytest.mark.parametrize(
    ("email", "address"),
    [
        ("News@Example.com", "News@Example.com"),
        (" news@example.com ", "news@example.com"),
        ("news@bücher.example", "news@xn--bcher-kva.example"),
        ("o'neil+x@example.com", "o'neil+x@example.com"),
    ],
)
def test_domains_become_punycode_and_local_parts_stay(email: str, address: str) -> None:
    assert ascii_address(email) == address
    assert make_sender(email, reply_to=email).reply_to == address


@pytest.mark.parametrize(
    "email",
    ["", "news", "@example.com", "news@", "a b@example.com", "ü@example.com",
     "a\r\nBcc: x@example.com", "a@example.com\nBcc: x", "<a@example.com>", "a@exa mple.com",
     "a@\ud800.example"],
)  # fmt: skip
def test_what_ses_cannot_use_is_unsendable(email: str) -> None:
    with pytest.raises(Unsendable):
        ascii_address(email)


def test_hostile_headers_do_not_get_through(material: Path) -> None:
    folder = material / "hostile"
    values = [case["value"] for case in json.loads((folder / "header-injection.json").read_text())]
    values += [unquote(line) for line in (folder / "crlf.txt").read_text().splitlines()]
    for value in values:
        request = _request(sender=make_sender("news@example.com", value), subject=value)
        for text in (request["FromEmailAddress"], request["Content"]["Simple"]["Subject"]["Data"]):
            assert len(text.splitlines()) <= 1, value
        if len(value.splitlines()) > 1:
            with pytest.raises(Unsendable):
                _request(to=value)
            with pytest.raises(Unsendable):
                _request(unsubscribe_url=f"https://example.com/{value}")


def test_one_click_headers_come_with_a_link_and_only_then() -> None:
    simple = _request(unsubscribe_url="https://example.com/u/1")["Content"]["Simple"]
    assert [(h["Name"], h["Value"]) for h in simple["Headers"]] == [
        ("List-Unsubscribe", "<https://example.com/u/1>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ]
    assert "Headers" not in _request()["Content"]["Simple"]


def test_parts_and_names_that_are_empty_are_left_out() -> None:
    request = _request(text="", configuration_set="")
    assert set(request["Content"]["Simple"]["Body"]) == {"Html"}
    assert "ConfigurationSetName" not in request
    assert "ReplyToAddresses" not in request
    assert set(_request(html="")["Content"]["Simple"]["Body"]) == {"Text"}


def test_tags_tie_a_mail_to_its_attempt_and_a_test_mail_to_nothing_that_counts() -> None:
    assert campaign_tags("i", 7, 9, "ab") == {
        "bes_install": "i", "bes_campaign": "7", "bes_recipient": "9", "bes_attempt": "ab",
    }  # fmt: skip
    assert test_mail_tags("i", "ab") == {"bes_install": "i", "bes_test": "ab"}


@pytest.mark.parametrize("value", ["", "a b", "a@b", "a.b", "ü", "x" * 257, "a\n"])
def test_a_tag_that_ses_would_refuse_is_unsendable(value: str) -> None:
    with pytest.raises(Unsendable):
        email_tags({"bes_campaign": value})
