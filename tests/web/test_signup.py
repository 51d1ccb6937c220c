"""Public sign-up: a mail for whoever asks, a button behind its link, and nothing for robots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from app import create_app
from audience_models import Contact, ContactList, ListMember, Signup, SignupForm
from config import EmailBackend, Settings
from database import writing
from domain.signup_tokens import make_confirm_token, make_stamp
from domain.statuses import MemberStatus, SignupMail, SuppressionReason
from services import lists, signup_forms, suppression
from services.installation import address_key_secret
from tests.web.forms import follow, main_words, page, post
from web.database import db

CONSENT = "Yes, send me the letter."
SAME_ANSWER = "If the address can get “The letter”, we have sent you a mail."


class Form(NamedTuple):
    """An open form: its address, its list, and a stamp that is old enough."""

    at: str
    list_id: int
    stamp: str


@pytest.fixture
def open_form(app: Flask) -> Form:
    """An open form with one field more."""
    with app.app_context(), writing(db.session()) as session:
        made = lists.create_list(session, "Letter", "", datetime.now(UTC), None)
        words = signup_forms.Words("The letter", "Once a month.", CONSENT, ["First name"])
        form = signup_forms.save(
            session, made.id, words, is_open=True, settings=app.extensions["bes"].settings,
            now=datetime.now(UTC),
        )  # fmt: skip
        stamp = make_stamp(
            address_key_secret(session), form.public_id, datetime.now(UTC).timestamp() - 60
        )
        return Form(f"/s/{form.public_id}", made.id, stamp)


def ask(client: FlaskClient, form: Form, email: str = "ann@example.com", **more: Any) -> str:
    """What the page says to a person who pressed its button."""
    sent = {"email": email, "shown": form.stamp, "website": "", **more}
    return main_words(client.post(form.at, data=sent))


def signups(app: Flask) -> list[Signup]:
    with app.app_context():
        return list(db.session.scalars(select(Signup).order_by(Signup.id)))


def link(app: Flask, days: float = 7) -> str:
    """The link of the newest sign-up's mail."""
    with app.app_context():
        newest = db.session.scalars(select(Signup).order_by(Signup.id.desc())).first()
        assert newest is not None
        until = newest.asked_at + timedelta(days=days)
        secret = address_key_secret(db.session())
        token = make_confirm_token(secret, newest.id, until.timestamp())
    return f"/s/confirm/{token}"


def member(app: Flask) -> MemberStatus | None:
    with app.app_context():
        return db.session.scalar(select(ListMember.status))


def suppress(app: Flask, reason: SuppressionReason, email: str = "ann@example.com") -> None:
    with app.app_context(), writing(db.session()) as session:
        suppression.suppress(session, email, reason, "A test.", None, datetime.now(UTC))


def test_a_person_asks_confirms_and_is_on_the_list(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    shown = main_words(client.get(open_form.at))
    assert "The letter" in shown
    assert "Once a month." in shown
    assert CONSENT in shown
    assert SAME_ANSWER in ask(client, open_form, "Ann@Example.com", first_name="Ann\r\nX")
    (signup,) = signups(app)
    assert (signup.mail, signup.confirmed_at, signup.consent) == (SignupMail.QUEUED, None, CONSENT)
    at = link(app)
    seen = main_words(client.get(at))
    assert "A…n@example.com" in seen
    assert "Opening this page has changed nothing yet." in seen
    assert member(app) is None
    assert "You are on the list" in main_words(client.post(at))
    with app.app_context():
        contact = db.session.scalars(select(Contact)).one()
        assert (contact.address, contact.variables) == (
            "ann@example.com",
            '{"first_name": "Ann X"}',
        )
        (letter,) = db.session.scalars(select(ContactList))
        assert (letter.members, letter.variables) == (1, ["first_name"])
    assert member(app) is MemberStatus.SUBSCRIBED


def test_the_way_out_is_used_once_and_the_link_does_not_bring_the_person_back(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    ask(client, open_form)
    at = link(app)
    out = page(client.post(at)).xpath("//main//form/@action")[0]
    assert "You are not on the list" in main_words(client.post(out))
    assert member(app) is MemberStatus.UNSUBSCRIBED
    assert "You are not on the list" in main_words(client.post(at))
    assert member(app) is MemberStatus.UNSUBSCRIBED


def test_who_left_the_list_comes_back_by_a_new_sign_up(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    ask(client, open_form)
    at = link(app)
    client.post(at)
    client.post(at.replace("confirm", "leave"))
    with app.app_context(), writing(db.session()) as session:
        earlier = datetime.now(UTC) - timedelta(minutes=5)
        session.execute(update(Signup).values(asked_at=earlier))
    ask(client, open_form)
    client.post(link(app))
    assert member(app) is MemberStatus.SUBSCRIBED


def test_an_old_link_a_cut_link_and_a_foreign_link_do_nothing(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    ask(client, open_form)
    for at in (link(app, days=-1), link(app)[:-2], "/s/confirm/x", "/s/leave/x"):
        answer = client.post(at)
        assert answer.status_code == 404
        assert "This link does not work" in main_words(answer)
    assert client.post(link(app).replace("confirm", "leave")).status_code == 404
    assert member(app) is None


def test_the_answer_is_the_same_for_known_suppressed_and_unknown_addresses(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    suppress(app, SuppressionReason.BOUNCED, "bad@example.com")
    answers = {ask(client, open_form, f"{name}@example.com") for name in ("new", "bad")}
    ask(client, open_form)
    client.post(link(app))
    answers.add(ask(client, open_form))  # is on the list
    assert len(answers) == 1


def test_a_pasted_form_leads_to_our_page_filled_in(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    answer = client.post(
        open_form.at,
        data={"email": "ann@example.com", "first_name": "Ann"},
        headers={"Referer": "https://coast.example/about?who=ann#x"},
    )
    assert "One more press" in main_words(answer)
    assert signups(app) == []
    inputs = {one.get("name"): one.get("value") for one in page(answer).xpath("//main//input")}
    assert (inputs["email"], inputs["first_name"]) == ("ann@example.com", "Ann")
    assert inputs["page"] == "https://coast.example/about"
    assert SAME_ANSWER in ask(client, open_form, page=inputs["page"])
    assert signups(app)[0].asked_on == "https://coast.example/about"


def test_robots_are_answered_and_cause_no_mail(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    assert SAME_ANSWER in ask(client, open_form, website="https://buy.example")
    fresh = page(client.get(open_form.at)).xpath("//input[@name='shown']/@value")[0]
    assert "very quick" in ask(client, open_form._replace(stamp=fresh))
    assert signups(app) == []


def test_no_address_is_said_at_the_field(client: FlaskClient, open_form: Form) -> None:
    answer = client.post(open_form.at, data={"email": "ann", "shown": open_form.stamp})
    assert answer.status_code == 400
    assert "no @" in main_words(answer)


def test_one_address_gets_three_mails_a_day_whoever_asks(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    for _ in range(5):
        assert SAME_ANSWER in ask(client, open_form)
        with app.app_context(), writing(db.session()) as session:
            session.execute(update(Signup).values(asked_at=Signup.asked_at - 60))
    assert len(signups(app)) == 3


def test_a_form_that_is_pressed_twice_sends_one_mail(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    assert ask(client, open_form) == ask(client, open_form)
    assert len(signups(app)) == 1


def test_one_client_asks_twenty_times_an_hour(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    said = [ask(client, open_form, f"a{number}@example.com") for number in range(21)]
    assert "came from your connection" in said[-1]
    assert len(signups(app)) == 20
    other = {"email": "b@example.com", "shown": open_form.stamp}
    answer = client.post(open_form.at, data=other, environ_base={"REMOTE_ADDR": "127.0.0.9"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("reason", "stays"),
    [
        (SuppressionReason.UNSUBSCRIBED, False),
        (SuppressionReason.BOUNCED, True),
        (SuppressionReason.COMPLAINED, True),
    ],
)
def test_newer_consent_ends_an_unsubscribe_and_nothing_else(
    app: Flask, client: FlaskClient, open_form: Form, reason: SuppressionReason, stays: bool
) -> None:
    suppress(app, reason)
    ask(client, open_form)
    said = main_words(client.post(link(app)))
    assert "suppress" not in said.lower()
    with app.app_context():
        found = suppression.find(db.session(), "ann@example.com")
        assert (found is not None) is stays
    (signup,) = signups(app)
    assert (signup.lifted is None) is stays
    if not stays:
        assert str(signup.lifted).startswith("A test. (20")


def test_closed_and_unknown_forms_say_so(app: Flask, client: FlaskClient, open_form: Form) -> None:
    with app.app_context(), writing(db.session()) as session:
        session.execute(update(SignupForm).values(is_open=False))
    for at in (open_form.at, "/s/unknown"):
        for answer in (client.get(at), client.post(at, data={"email": "ann@example.com"})):
            assert answer.status_code == 404
            assert "No sign-up here" in main_words(answer)


def settings_form(client: FlaskClient, at: str, **changed: str) -> dict[str, str]:
    """What the settings page would post, with some fields changed."""
    document = page(client.get(at))
    found = {
        one.get("name"): one.get("value") or "" for one in document.xpath("//main//input[@name]")
    }
    found |= {one.get("name"): one.text or "" for one in document.xpath("//main//textarea[@name]")}
    return {name: value for name, value in (found | changed).items() if name != "once"}


def test_the_owner_opens_the_form_and_gets_its_address_and_a_snippet(
    app: Flask, logged_in: FlaskClient
) -> None:
    at = follow(logged_in, post(logged_in, "/lists/new", {"name": "Tea & Talk"})).request.path
    assert "Sign-up is off" in main_words(logged_in.get(at))
    typed = settings_form(logged_in, f"{at}/signup", is_open="y", fields="First name\nTown & Co")
    said = follow(logged_in, post(logged_in, f"{at}/signup", typed))
    public = page(said).xpath("//input[@id='link']/@value")[0]
    snippet = page(said).xpath("//textarea[@id='snippet']")[0].text
    assert f'action="{public}"' in snippet
    assert 'name="town_co"' in snippet
    assert "Town &amp; Co" in snippet
    assert "Sign-up is open" in main_words(logged_in.get(at))
    path = "/" + public.split("/", 3)[3]
    assert "Tea & Talk" in main_words(app.test_client().get(path))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"text": "no link"}, "must show {{ confirm_url }}"),
        ({"subject": "{{ oops"}, "Subject of the mail, line 1"),
        ({"fields": "a\nb\nc\nd\ne\nf"}, "At most 5 fields"),
        ({"fields": "First name\nfirst NAME"}, "Two fields have the same name"),
        ({"consent": ""}, "Say what people agree to"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    logged_in: FlaskClient, open_form: Form, changed: dict[str, str], said: str
) -> None:
    at = f"/lists/{open_form.list_id}/signup"
    answer = post(logged_in, at, settings_form(logged_in, at, **changed))
    assert answer.status_code == 400
    assert said in main_words(answer)


def test_consent_is_shown_with_the_contact_exported_and_erased(
    app: Flask, logged_in: FlaskClient, open_form: Form
) -> None:
    ask(logged_in, open_form)
    logged_in.post(link(app))
    with app.app_context():
        contact_id = db.session.scalars(select(Contact.id)).one()
    shown = main_words(logged_in.get(f"/contacts/{contact_id}"))
    assert f"agreed to: “{CONSENT}”" in shown
    (kept,) = logged_in.get(f"/contacts/{contact_id}/export").get_json()["sign_ups"]
    assert (kept["list"], kept["consent"]) == ("Letter", CONSENT)
    assert kept["page"].endswith(open_form.at)
    assert kept["confirmed_at"].endswith("Z")
    assert len(kept["client_hash"]) == 32
    post(logged_in, f"/contacts/{contact_id}/erase")
    assert signups(app) == []


@pytest.fixture
def real(app: Flask) -> Iterator[Callable[..., Flask]]:
    """An application on the same database that would mail real people."""
    made: list[Flask] = []

    def make(**changes: Any) -> Flask:
        settings: Settings = app.extensions["bes"].settings
        other = create_app(replace(settings, email_backend=EmailBackend.SES, **changes))
        other.testing = True
        made.append(other)
        return other

    yield make
    for one in made:
        one.extensions["bes"].engine.dispose()


def test_real_mail_needs_a_public_address_before_a_form_is_open(
    real: Callable[..., Flask], open_form: Form
) -> None:
    closed = real(public_base_url="").test_client().get(open_form.at)
    assert closed.status_code == 404
    ready = real(public_base_url="https://lists.coast.example").test_client().get(open_form.at)
    assert ready.status_code == 200


def test_the_client_behind_trusted_proxies_is_counted(app: Flask, open_form: Form) -> None:
    settings: Settings = app.extensions["bes"].settings
    behind = create_app(replace(settings, trusted_proxies=1))
    try:
        client = behind.test_client()
        for number in range(2):
            forwarded = {"X-Forwarded-For": f"203.0.113.9, 198.51.100.{number}"}
            sent = {"email": f"a{number}@example.com", "shown": open_form.stamp}
            assert client.post(open_form.at, data=sent, headers=forwarded).status_code == 200
        one, two = (signup.client_hash for signup in signups(behind))
        assert one != two
    finally:
        behind.extensions["bes"].engine.dispose()


def test_without_trusted_proxies_nobody_makes_addresses_up(
    app: Flask, client: FlaskClient, open_form: Form
) -> None:
    for number in range(2):
        sent = {"email": f"a{number}@example.com", "shown": open_form.stamp}
        headers = {"X-Forwarded-For": f"198.51.100.{number}"}
        client.post(open_form.at, data=sent, headers=headers)
    one, two = (signup.client_hash for signup in signups(app))
    assert one == two
