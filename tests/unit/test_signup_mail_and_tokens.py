"""The confirmation mail's words, its sealed link, the stamp of a form, and hashes of clients."""

from __future__ import annotations

import pytest

from domain.client_addresses import client_hash
from domain.rendering import TemplateProblem
from domain.signup_mail import NAMES, SUBJECT, TEXT, compile_confirmation
from domain.signup_tokens import (
    ConfirmClaim,
    make_confirm_token,
    make_stamp,
    read_confirm_token,
    read_stamp,
)

KEY, OTHER = b"k" * 32, b"o" * 32
VALUES = {
    "title": "Tide & Coast",
    "email": "ann@example.com",
    "confirm_url": "https://lists.example.org/s/confirm/abc",
    "days": "7",
    "sender_name": "Example <News>",
    "postal_address": "1 Example Street\nExample Town",
}


def test_the_default_mail_says_what_it_is_about_and_where_to_press() -> None:
    mail = compile_confirmation(SUBJECT, TEXT).render(VALUES)
    assert mail.subject == "Please confirm: Tide & Coast"
    assert mail.text.count(VALUES["confirm_url"]) == 1
    assert "ann@example.com" in mail.text
    assert mail.text.endswith("-- \nExample <News>\n1 Example Street\nExample Town\n")


def test_the_html_is_the_text_escaped_with_an_untracked_link() -> None:
    html = compile_confirmation(SUBJECT, TEXT).render(VALUES).html
    link = VALUES["confirm_url"]
    assert f'<a ses:no-track href="{link}">{link}</a>' in html
    assert "“Tide &amp; Coast”" in html
    assert "Example &lt;News&gt;<br>1 Example Street" in html


@pytest.mark.parametrize(
    ("subject", "text", "said"),
    [
        ("Hello", "No link here.", "must show {{ confirm_url }}"),
        ("Hello", "{% if days %}{{ confirm_url }}{% endif %}", "must show {{ confirm_url }}"),
        ("Hello {{ first_name }}", "{{ confirm_url }}", "There is no first_name here"),
        ("{{ title", "{{ confirm_url }}", "Subject of the mail, line 1"),
        (" ", "{{ confirm_url }}", "It is empty"),
        ("Hello", "{{ confirm_url }}" + "x" * 10_001, "longer than 10,000"),
    ],
)
def test_words_that_could_not_work_are_refused(subject: str, text: str, said: str) -> None:
    with pytest.raises(TemplateProblem) as problem:
        compile_confirmation(subject, text)
    assert said in str(problem.value)


def test_what_strangers_type_can_not_be_used_in_the_mail() -> None:
    assert not {"first_name", "name", "fields"} & set(NAMES)


def test_a_link_is_read_with_its_own_key_only() -> None:
    token = make_confirm_token(KEY, 42, 1_800_000_000.5)
    assert len(token) == 44
    assert read_confirm_token(KEY, token) == ConfirmClaim(42, 1_800_000_000)
    assert read_confirm_token(OTHER, token) is None
    assert read_confirm_token(KEY, token[:-4] + "AAAA") is None


@pytest.mark.parametrize("token", ["", "x", "é" * 44, "A" * 44, "!" * 44, "A" * 4000])
def test_anything_else_is_no_link(token: str) -> None:
    assert read_confirm_token(KEY, token) is None
    assert read_stamp(KEY, "list-one", token) is None


def test_a_stamp_belongs_to_one_form_and_is_no_link() -> None:
    stamp = make_stamp(KEY, "list-one-", 1234.5)
    assert read_stamp(KEY, "list-one-", stamp) == 1234.5
    assert read_stamp(KEY, "list-two-", stamp) is None
    assert read_confirm_token(KEY, stamp) is None


def test_one_household_is_one_client_and_the_key_is_needed() -> None:
    one = client_hash(KEY, "2001:db8:1:2::1")
    assert one == client_hash(KEY, "2001:db8:1:2:ffff::9")
    assert one != client_hash(KEY, "2001:db8:1:3::1")
    assert client_hash(KEY, "::ffff:192.0.2.1") == client_hash(KEY, "192.0.2.1")
    assert client_hash(KEY, "192.0.2.1") != client_hash(OTHER, "192.0.2.1")
    assert len(client_hash(KEY, "-")) == 16
