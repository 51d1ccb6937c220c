"""Bulk calls: the same mail as a single one, byte for byte, and one outcome per entry."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws.clients import AwsClients
from config import Settings
from domain.bulk_template import (
    MAX_ENTRIES,
    MAX_INPUT,
    BulkEmail,
    BulkTemplate,
    batches,
    bulk_template,
    fits,
    send_bulk_request,
    why_not_bulk,
)
from domain.outgoing import Unsendable, make_sender
from domain.rendering import CompiledMail, TemplateProblem, compile_mail
from domain.starter_templates import starter_templates
from email_service import EmailService, Outcome, OutgoingEmail, make_email_service
from ses_simulator.content import of_mail
from ses_simulator.templating import render
from tests.flow.test_email_service import MAIL, Make, make, server
from tests.raw_server import RawServer, answer, aws_error

__all__ = ["make", "server"]
SENDER = make_sender("news@example.com", "News")
NASTY = (
    "", "Ann", "{{h0}}", "}}", "{{", "{", "}", "{{{h1}}}", "<b>&\"'", "a\r\nb\x00c", "\ue000",
    "Zoë \U0001f600", "\\u0041\\", "{% if x %}", "$1\\1", "x" * 5_000, "\u2028",
)  # fmt: skip


def _filled(template: BulkTemplate, data: str) -> tuple[str, str, str]:
    values = json.loads(data)
    return (
        render(template.content["Subject"], values),
        render(template.content.get("Html", ""), values),
        render(template.content.get("Text", ""), values),
    )


def assert_same(mail: CompiledMail, template: BulkTemplate, values: dict[str, str]) -> None:
    whole = mail.render(values)
    assert _filled(template, template.data(values)) == (whole.subject, whole.html, whole.text)


def _people(mail: CompiledMail, count: int) -> Iterator[dict[str, str]]:
    chance = random.Random(5)
    yield {}
    for _ in range(count):
        yield {name: chance.choice(NASTY) for name in mail.variables}


def test_filling_the_template_gives_what_single_sends_over_real_templates(material: Path) -> None:
    seen = 0
    for file in sorted((material / "templates").rglob("*.html")):
        try:
            mail = compile_mail(
                "For {{ name }}", file.read_text(), "", postal_address="Street {{1}}"
            )
        except TemplateProblem:
            continue  # Mustache: see test_rendering
        template = bulk_template(mail)
        for values in _people(mail, 6):
            assert_same(mail, template, values)
        seen += 1
    assert seen > 60


def test_filling_the_template_gives_what_single_sends_over_our_starters() -> None:
    for one in starter_templates():
        mail = compile_mail(one.subject, one.html, "", postal_address="1 Example Street")
        template = bulk_template(mail)
        for values in _people(mail, 20):
            assert_same(mail, template, values)
        assert len(template.data({"name": "Ann"})) < 2_000  # the constant text stays out


@pytest.mark.parametrize(
    "html",
    [
        "<style>@media(max-width:1px){p{a:b}}</style>{{ a }}",
        "{}{{ a }}{}{{ a }}}{% raw %}{{ not_ours }}{% endraw %}",
        "{% raw %}{{{{{% endraw %}{{ a }}" + "constant text that is long enough}" + "{{ a }}",
        "{% raw %}{ a constant that is long enough to be taken out {" + "{% endraw %}{{ a }}",
        "{{ a }}} a constant that is long enough to be taken out",
        "p{} a constant that is long enough to be taken out p{}}",
        "{% if a %}" + "a block of text that only some people get " * 5 + "{% endif %}",
        "{% for x in a.split(',') %}row of a list {{ x }} that is long enough{% endfor %}",
        "{% set b = a %}a constant that is long enough to be taken out{{ b }}",
        "no variable at all, but a constant that is long enough to be taken out",
        "",
    ],
)
def test_braces_and_blocks_travel_as_data(html: str) -> None:
    mail = compile_mail("{{ a }}\n{{ b }}", html, "plain {{ a }} " + "x" * 100)
    template = bulk_template(mail)
    for a in NASTY:
        assert_same(
            mail, template, {"a": a, "b": "b", "unsubscribe_url": "https://example.com/u/1"}
        )


@given(
    st.lists(
        st.sampled_from(
            ["{", "}", "{% raw %}{{{% endraw %}", "}}", "text of a certain length, say forty ",
             "{{ a }}", "{% if a %}yes{% endif %}", " ", "\n"]
        ),
        max_size=14,
    ),
    st.sampled_from(NASTY),
)  # fmt: skip
@settings(max_examples=150)
def test_any_mixture_is_cut_and_filled_without_a_difference(pieces: list[str], a: str) -> None:
    try:
        mail = compile_mail("s", "".join(pieces), "t")
    except TemplateProblem:
        return
    assert_same(mail, bulk_template(mail), {"a": a, "unsubscribe_url": "https://example.com/u/1"})


def test_a_value_that_breaks_a_calculation_fails_for_this_person_only() -> None:
    template = bulk_template(compile_mail("s", "{{ 6 // (a | length - 3) }}", "t"))
    assert json.loads(template.data({"a": "abcd"}))["h0"].startswith("6")
    with pytest.raises(TemplateProblem, match="divides by zero"):
        template.data({"a": "abc"})


def _template(size: int = 100) -> BulkTemplate:
    return bulk_template(compile_mail("s", "x" * size + "{{ a }}", "t"))


def test_batches_keep_within_entries_and_bytes_and_lose_nobody() -> None:
    template = _template(200_000)
    mails = [
        BulkEmail(f"p{n}@example.net", template.data({"a": "ü\"\\" * (n * 40)}), "https://u",
                  {"t": "v"})
        for n in range(230)
    ]  # fmt: skip
    made = list(batches(template, mails))
    assert [mail for batch in made for mail in batch] == mails
    for batch in made:
        assert len(batch) <= MAX_ENTRIES
        request = send_bulk_request(template, SENDER, batch, "bes")
        assert len(json.dumps(request)) <= MAX_INPUT
    assert len(made) > 5


def test_a_mail_with_too_much_of_its_own_does_not_fit() -> None:
    template = _template()
    assert fits(template, BulkEmail("a@example.net", "x" * 262_144))
    assert not fits(template, BulkEmail("a@example.net", "x" * 262_145))


def test_a_mail_too_large_for_bulk_says_so() -> None:
    assert why_not_bulk(_template()) is None
    assert "one by one" in (why_not_bulk(_template(600_000)) or "")


@pytest.mark.parametrize("count", [0, 51])
def test_a_call_takes_one_to_fifty_mails(count: int) -> None:
    template = _template()
    with pytest.raises(Unsendable):
        send_bulk_request(template, SENDER, [BulkEmail("a@example.net", "{}")] * count, "")


@pytest.fixture
def service(settings: Settings) -> Iterator[EmailService]:
    """The real way to the simulator."""
    clients = AwsClients(settings)
    service = make_email_service(clients)
    yield service
    service.close()
    clients.close()


def test_fifty_people_get_what_single_would_have_sent(
    simulator: Any, settings: Settings, service: EmailService
) -> None:
    mail = compile_mail("For {{ a }}", starter_templates()[0].html + "{{ a }}", "")
    template = bulk_template(mail)
    people = [
        {"a": NASTY[n % len(NASTY)] + str(n), "name": "", "email": f"p{n}@example.net",
         "unsubscribe_url": f"https://example.com/u/{n}"}
        for n in range(50)
    ]  # fmt: skip
    mails = [
        BulkEmail(one["email"], template.data(one), one["unsubscribe_url"],
                  {"bes_attempt": f"{n:032x}"})
        for n, one in enumerate(people)
    ]  # fmt: skip
    results = service.send_bulk(template, SENDER, mails, "bes")
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    sent = simulator.call(lambda: {one.message_id: one for one in simulator.outbox.newest()})
    for result, one, entry in zip(results, people, mails, strict=True):
        found = sent[result.message_id]
        whole = mail.render(one)
        content = of_mail(found)
        assert found.to == (one["email"],)
        assert (content.subject, content.html, content.text) == (
            whole.subject, whole.html, whole.text,
        )  # fmt: skip
        assert found.tags["bes_attempt"] == entry.tags["bes_attempt"]  # type: ignore[index]
        assert dict(found.headers)["List-Unsubscribe"] == f"<{one['unsubscribe_url']}>"
        single = service.send(
            OutgoingEmail(SENDER, one["email"], whole.subject, whole.html, whole.text,
                          one["unsubscribe_url"])
        ) if one["email"] == "p3@example.net" else None  # fmt: skip
        if single:
            again = simulator.call(lambda: of_mail(next(simulator.outbox.newest())))
            assert (again.subject, again.html, again.text) == (
                content.subject, content.html, content.text,
            )  # fmt: skip


def _bulk(service: EmailService, count: int = 3) -> list[Any]:
    template = _template()
    mails = [BulkEmail(f"p{n}@example.net", template.data({})) for n in range(count)]
    return service.send_bulk(template, SENDER, mails, "bes")


def _entries(*entries: Any) -> Any:
    return answer("200 OK", json.dumps({"BulkEmailEntryResults": list(entries)}))


TAKEN = {"Status": "SUCCESS", "MessageId": "m"}


@pytest.mark.parametrize(
    ("script", "outcomes", "code"),
    [
        (_entries(TAKEN, {"Status": "MESSAGE_REJECTED", "Error": "no"}, TAKEN),
         [Outcome.ACCEPTED, Outcome.REFUSED, Outcome.ACCEPTED], None),
        (_entries(TAKEN, {"Status": "ACCOUNT_THROTTLED"}, {"Status": "NEW"}),
         [Outcome.ACCEPTED, Outcome.THROTTLED, Outcome.UNKNOWN], None),
        (_entries(TAKEN, TAKEN), [Outcome.UNKNOWN] * 3, "unreadable_answer"),
        (_entries(), [Outcome.UNKNOWN] * 3, "unreadable_answer"),
        (answer("200 OK", '{"BulkEmailEntryResults": {}}'), [Outcome.UNKNOWN] * 3, None),
        (answer("200 OK", "nonsense"), [Outcome.UNKNOWN] * 3, None),
        (aws_error("500 Oops", "InternalFailure", ""), [Outcome.UNKNOWN] * 3, "server_error"),
        (aws_error("429 Slow", "TooManyRequestsException", ""), [Outcome.THROTTLED] * 3,
         "bulk_throttled"),
        (aws_error("400 Bad", "BadRequestException", "one bad address"),
         [Outcome.NOT_SUBMITTED] * 3, "bulk_refused"),
        (aws_error("400 Bad", "MessageRejected", "Email address is not verified: p1@example.net"),
         [Outcome.NOT_SUBMITTED] * 3, "bulk_refused"),
        (aws_error("400 Bad", "MessageRejected", "Email address is not verified: news@example.com"),
         [Outcome.STOP_CAMPAIGN] * 3, "sender_not_verified"),
        (aws_error("400 Bad", "AccountSuspendedException", ""), [Outcome.STOP_ACCOUNT] * 3, None),
    ],
)  # fmt: skip
def test_each_entry_has_its_own_outcome(
    make: Make, server: RawServer, script: Any, outcomes: list[Outcome], code: str | None
) -> None:
    server.script = script
    results = _bulk(EmailService(make(server.url)))
    assert [result.outcome for result in results] == outcomes
    assert code is None or {result.code for result in results} == {code}
    assert len(server.requests) == 1


def test_both_ways_put_the_same_bulk_request_on_the_wire(make: Make, server: RawServer) -> None:
    server.script = _entries(TAKEN, TAKEN)
    _bulk(EmailService(make(server.url)), 2)
    line, headers, body = server.requests[0]
    assert line == "POST /v2/email/outbound-bulk-emails HTTP/1.1"
    assert headers["content-type"] == "application/json"
    template = _template()
    mails = [BulkEmail(f"p{n}@example.net", template.data({})) for n in range(2)]
    assert json.loads(body) == send_bulk_request(template, SENDER, mails, "bes")


def test_a_closed_guard_sends_no_bulk_call(make: Make, server: RawServer) -> None:
    template = _template()
    results = EmailService(make(server.url)).send_bulk(
        template, MAIL.sender, [BulkEmail("a@example.net", "{}")] * 2, guard=lambda: False
    )
    assert {result.code for result in results} == {"lease_over"}
    assert server.requests == []
