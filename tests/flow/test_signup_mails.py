"""Confirmation mails through the real simulator: sent once, at the shared rate, followed after."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Signup
from aws.clients import AwsClients
from config import Settings
from database import writing
from domain.signup_tokens import read_confirm_token
from domain.statuses import SignupMail, SuppressionReason
from email_service import EmailService, make_email_service
from models import Bucket, Campaign, Suppression
from services import lists, signup_forms, signup_mails, signups, suppression
from services.installation import address_key_secret
from ses_simulator.content import of_mail
from ses_simulator.outcomes import Kind, Mix, plan
from tests.flow.schedulers import schedulers_of, wait_for


@pytest.fixture
def service(settings: Settings) -> Iterator[EmailService]:
    """The real way to the simulator."""
    clients = AwsClients(settings)
    service = make_email_service(clients)
    yield service
    service.close()
    clients.close()


@pytest.fixture
def list_id(session: Session, settings: Settings, now: datetime) -> int:
    """A list with an open form."""
    with writing(session):
        made = lists.create_list(session, "Letter", "", now, None)
        words = signup_forms.default_words(made, settings.sender_name)
        signup_forms.save(session, made.id, words, is_open=True, settings=settings, now=now)
        return made.id


def ask(session: Session, list_id: int, email: str) -> int:
    with writing(session):
        form = signup_forms.form_of(session, list_id)
        assert form is not None
        request = signups.Request(email, {}, "127.0.0.1", "https://coast.example/")
        made = signups.ask(session, form, request, datetime.now(UTC))
        assert made is not None
        return made.id


def state(session: Session, signup_id: int) -> SignupMail:
    session.rollback()
    return session.get_one(Signup, signup_id, populate_existing=True).mail


def outbox(simulator: Any) -> list[Any]:
    return list(simulator.call(lambda: list(simulator.outbox.newest())))


def send(sessions: sessionmaker[Session], settings: Settings, service: EmailService) -> int:
    def pause(seconds: float) -> None:
        """No longer than a test may take."""
        time.sleep(seconds / 20)

    return signup_mails.send_due(
        sessions, settings, service, lambda: datetime.now(UTC), sleep=pause
    )


def test_the_mail_has_a_link_that_confirms_and_is_sent_once(
    sessions: sessionmaker[Session], session: Session, simulator: Any, settings: Settings,
    service: EmailService, list_id: int,
) -> None:  # fmt: skip
    signup_id = ask(session, list_id, "ann@example.com")
    assert send(sessions, settings, service) == 1
    assert send(sessions, settings, service) == 0
    (mail,) = outbox(simulator)
    text = of_mail(mail).text
    token = re.findall(rf"{settings.base_url}/s/confirm/(\S+)", text)[0]
    claim = read_confirm_token(address_key_secret(session), token)
    assert claim is not None
    assert claim.signup_id == signup_id
    assert state(session, signup_id) is SignupMail.SENT
    assert session.scalar(select(func.count()).select_from(Campaign)) == 0


def test_a_bounce_of_the_mail_is_shown_and_suppresses(
    session: Session, simulator: Any, list_id: int, environment: dict[str, str], tmp_path: Path
) -> None:
    named = [f"reader{number}@coast.example" for number in range(2000)]
    mix = Mix()
    dead = next(one for one in named if [step.kind for step in plan(one, mix)] == [Kind.BOUNCE])
    fine = next(one for one in named if [step.kind for step in plan(one, mix)] == [Kind.DELIVERY])
    good, bad = ask(session, list_id, fine), ask(session, list_id, dead)
    with schedulers_of(environment, tmp_path) as schedulers:
        scheduler = schedulers.start()
        wait_for(lambda: state(session, good) is SignupMail.DELIVERED)
        wait_for(lambda: state(session, bad) is SignupMail.BOUNCED)
        assert scheduler.terminate() == 0
    assert _suppressed(session) == [dead]


def _suppressed(session: Session) -> list[str]:
    session.rollback()
    return [str(address) for address in session.scalars(select(Suppression.address))]


@pytest.mark.parametrize(
    ("reason", "mails"),
    [(SuppressionReason.COMPLAINED, 0), (SuppressionReason.MANUAL, 0),
     (SuppressionReason.UNSUBSCRIBED, 1)],
)  # fmt: skip
def test_who_is_suppressed_gets_no_mail_but_may_take_an_unsubscribe_back(
    sessions: sessionmaker[Session], session: Session, simulator: Any, settings: Settings,
    service: EmailService, list_id: int, reason: SuppressionReason, mails: int,
) -> None:  # fmt: skip
    signup_id = ask(session, list_id, "ann@example.com")
    with writing(session):
        suppression.suppress(session, "ann@example.com", reason, "A test.", None, datetime.now(UTC))
    send(sessions, settings, service)
    assert len(outbox(simulator)) == mails
    expected = SignupMail.SENT if mails else SignupMail.WITHHELD
    assert state(session, signup_id) is expected


def test_without_room_in_the_quota_the_mail_waits(
    sessions: sessionmaker[Session], session: Session, simulator: Any, settings: Settings,
    service: EmailService, list_id: int,
) -> None:  # fmt: skip
    signup_id = ask(session, list_id, "ann@example.com")
    with writing(session):
        session.execute(update(Bucket).values(max_24_hour_send=0.0))
    assert send(sessions, settings, service) == 0
    assert state(session, signup_id) is SignupMail.QUEUED
    assert outbox(simulator) == []


def test_a_mail_that_a_crash_left_half_way_is_never_sent_again(
    sessions: sessionmaker[Session], session: Session, simulator: Any, settings: Settings,
    service: EmailService, list_id: int,
) -> None:  # fmt: skip
    signup_id = ask(session, list_id, "ann@example.com")
    with writing(session):
        ago = datetime.now(UTC) - timedelta(minutes=11)
        session.execute(update(Signup).values(mail=SignupMail.SENDING, due_at=ago))
    send(sessions, settings, service)
    assert state(session, signup_id) is SignupMail.IN_DOUBT
    assert outbox(simulator) == []


def test_a_mail_that_could_not_be_handed_over_is_tried_again_for_a_day(
    sessions: sessionmaker[Session], session: Session, settings: Settings, simulator: Any,
    service: EmailService, list_id: int,
) -> None:  # fmt: skip
    signup_id = ask(session, list_id, "ann@example.com")
    simulator.stop()
    assert send(sessions, settings, service) == 1
    assert state(session, signup_id) is SignupMail.QUEUED
    assert send(sessions, settings, service) == 0  # not before a minute is over
    with writing(session):
        ago = datetime.now(UTC) - timedelta(hours=25)
        session.execute(update(Signup).values(asked_at=ago, due_at=ago))
    wait_for(lambda: send(sessions, settings, service) == 1)
    assert state(session, signup_id) is SignupMail.FAILED


def test_requests_that_nobody_confirms_are_forgotten_after_thirty_days(
    session: Session, settings: Settings, list_id: int
) -> None:
    for name in ("old", "confirmed", "new"):
        ask(session, list_id, f"{name}@example.com")
    later = datetime.now(UTC) + timedelta(days=29)
    with writing(session):
        old = datetime.now(UTC) - timedelta(days=2)
        session.execute(
            update(Signup).where(Signup.email != "new@example.com").values(asked_at=old)
        )
        session.execute(
            update(Signup).where(Signup.email == "confirmed@example.com").values(confirmed_at=old)
        )
    with writing(session):
        assert signups.forget_unconfirmed(session, later) == 1
    kept = session.scalars(select(Signup.email).order_by(Signup.email)).all()
    assert kept == ["confirmed@example.com", "new@example.com"]
