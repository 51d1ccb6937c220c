"""Test mails through the real simulator: sent once, shown as they are, counted nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from aws.clients import AwsClients
from config import Settings
from database import writing
from domain.addresses import address_hash
from domain.statuses import JobKind, SuppressionReason
from domain.unsubscribe_tokens import read_token
from email_service import EmailService, make_email_service
from models import Campaign, Job, TestMail
from services import suppression, test_mails
from services.campaigns import Refused
from services.installation import address_key_secret
from services.ledger import read_counters
from ses_simulator.content import of_mail
from tests.factories import add_campaign, add_recipients


@pytest.fixture
def service(settings: Settings) -> Iterator[EmailService]:
    """The real way to the simulator."""
    clients = AwsClients(settings)
    service = make_email_service(clients)
    yield service
    service.close()
    clients.close()


@pytest.fixture
def campaign_id(session: Session, now: datetime) -> int:
    """A campaign with one recipient whose values a test mail shows."""
    with writing(session):
        campaign = add_campaign(
            session,
            now,
            subject="Hello {{ name }}",
            html="<p>Hello {{ name }} of {{ email }}</p>",
        )
        add_recipients(session, campaign, ["ann@example.com"], now, variables='{"name": "Ann"}')
        return campaign.id


def _queued(session: Session, campaign_id: int, now: datetime, **more: Any) -> TestMail:
    with writing(session):
        return test_mails.queue(
            session, campaign_id, "me@example.org", by="owner@example.com", now=now, **more
        )


def _mails(simulator: Any) -> list[Any]:
    return list(simulator.call(lambda: list(simulator.outbox.newest())))


def _counters(session: Session, campaign_id: int) -> dict[str, int]:
    session.expire_all()
    return read_counters(session, campaign_id)


def test_a_test_mail_reaches_the_outbox_with_its_own_tags_and_a_working_link(
    sessions: sessionmaker[Session],
    session: Session,
    simulator: Any,
    settings: Settings,
    service: EmailService,
    campaign_id: int,
    now: datetime,
) -> None:
    mail = _queued(session, campaign_id, now)

    row = test_mails.run(sessions, mail.id, settings=settings, service=service)

    assert (row.status, row.detail) == ("sent", None)
    assert row.message_id
    (sent,) = _mails(simulator)
    assert sent.subject == "Hello Ann"
    assert "Hello Ann of me@example.org" in of_mail(sent).html
    assert sent.tags["bes_test"] == mail.attempt_id
    assert not {"bes_campaign", "bes_recipient", "bes_attempt"} & set(sent.tags)
    with sessions() as other:
        secret = address_key_secret(other)
    token = dict(sent.headers)["List-Unsubscribe"].strip("<>").rpartition("/")[2]
    claim = read_token(secret, token)
    assert claim is not None
    assert claim.address_hash == address_hash(secret, "me@example.org")
    assert (claim.campaign_id, claim.recipient_id) == (campaign_id, 0)


def test_a_test_mail_is_sent_once_however_often_it_is_run(
    sessions: sessionmaker[Session],
    session: Session,
    simulator: Any,
    settings: Settings,
    service: EmailService,
    campaign_id: int,
    now: datetime,
) -> None:
    mail = _queued(session, campaign_id, now)
    for _ in range(2):
        assert test_mails.run(sessions, mail.id, settings=settings, service=service)
    assert len(_mails(simulator)) == 1


def test_a_crash_while_sending_leaves_the_test_mail_in_doubt_and_unsent(
    sessions: sessionmaker[Session],
    session: Session,
    simulator: Any,
    settings: Settings,
    service: EmailService,
    campaign_id: int,
    now: datetime,
) -> None:
    mail = _queued(session, campaign_id, now)

    class Crash(EmailService):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        test_mails.run(sessions, mail.id, settings=settings, service=Crash(service._calls))
    row = test_mails.run(sessions, mail.id, settings=settings, service=service)

    assert row.status == "in_doubt"
    assert _mails(simulator) == []


def test_a_refusal_of_ses_is_shown_in_its_words(
    sessions: sessionmaker[Session],
    session: Session,
    simulator: Any,
    settings: Settings,
    service: EmailService,
    campaign_id: int,
    now: datetime,
) -> None:
    mail = _queued(session, campaign_id, now)
    simulator.faults.suspended = True

    row = test_mails.run(sessions, mail.id, settings=settings, service=service)

    assert row.status == "failed"
    assert row.detail
    assert "suspended" in row.detail


def test_a_template_that_fails_for_the_shown_recipient_fails_the_test_mail(
    sessions: sessionmaker[Session],
    session: Session,
    simulator: Any,
    settings: Settings,
    service: EmailService,
    campaign_id: int,
    now: datetime,
) -> None:
    with writing(session):
        session.get_one(Campaign, campaign_id).html = "{{ 7 // (name | length - 3) }}"
    mail = _queued(session, campaign_id, now)

    row = test_mails.run(sessions, mail.id, settings=settings, service=service)

    assert row.status == "failed"
    assert row.detail == "Email content, line 1: This divides by zero."
    assert _mails(simulator) == []


def test_a_test_mail_counts_nowhere(
    sessions: sessionmaker[Session],
    session: Session,
    simulator: Any,
    settings: Settings,
    service: EmailService,
    campaign_id: int,
    now: datetime,
) -> None:
    before = _counters(session, campaign_id)
    mail = _queued(session, campaign_id, now)
    test_mails.run(sessions, mail.id, settings=settings, service=service)
    assert _counters(session, campaign_id) == before


def test_a_suppressed_address_gets_no_test_mail(
    session: Session, campaign_id: int, now: datetime
) -> None:
    with writing(session):
        suppression.suppress(
            session, "me@example.org", SuppressionReason.UNSUBSCRIBED, "a link", None, now
        )
    with pytest.raises(Refused, match="suppression list"):
        _queued(session, campaign_id, now)
    assert session.scalar(select(func.count()).select_from(TestMail)) == 0


def test_queueing_leaves_one_job_for_the_scheduler(
    session: Session, campaign_id: int, now: datetime
) -> None:
    mail = _queued(session, campaign_id, now, as_recipient=7)
    job = session.scalars(select(Job)).one()
    assert job.kind is JobKind.TEST_MAIL
    expected = {"test_mail_id": mail.id, "as_recipient": 7, "in_bulk": False}
    assert job.parameters == expected


def test_something_that_is_no_address_is_refused_with_the_reason(
    session: Session, campaign_id: int, now: datetime
) -> None:
    with writing(session), pytest.raises(Refused):
        test_mails.create(session, campaign_id, "me@@example.org", by=None, now=now)


def test_a_test_mail_in_bulk_is_the_same_mail(
    sessions: sessionmaker[Session],
    session: Session,
    simulator: Any,
    settings: Settings,
    service: EmailService,
    campaign_id: int,
    now: datetime,
) -> None:
    bodies = []
    for in_bulk in (False, True):
        mail = _queued(session, campaign_id, now)
        row = test_mails.run(sessions, mail.id, settings=settings, service=service, in_bulk=in_bulk)
        assert row.status == test_mails.SENT
        newest = _mails(simulator)[0]
        assert newest.tags["bes_test"] == row.attempt_id
        bodies.append(simulator.call(lambda newest=newest: of_mail(newest)))
    assert bodies[0] == bodies[1]
