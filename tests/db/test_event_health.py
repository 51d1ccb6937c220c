"""The rate, the backlog and the silence of events."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from database import writing
from models import Notice, Recipient
from services.delivery_events import store
from services.event_health import backlog, events_by_minute, watch_silence
from tests.factories import add_campaign, add_sending
from tests.ses_messages import incoming, mail_events


@pytest.fixture
def rows(session, now):
    """Thirty mails that SES accepted a quarter of an hour ago."""
    with writing(session):
        emails = [f"p{n}@example.com" for n in range(30)]
        rows = add_sending(session, add_campaign(session, now), emails, now)
        session.execute(update(Recipient).values(sent_at=now - timedelta(minutes=15)))
    return rows


def alarms(session):
    return [notice.text for notice in session.scalars(select(Notice))]


def test_mails_without_any_event_are_an_alarm_that_ends_with_the_first(session, rows, now):
    with writing(session):
        assert watch_silence(session, now)
    assert alarms(session)[0].startswith("30 mails sent, no events for 15 minutes.")
    with writing(session):
        store(session, incoming([mail_events(session, rows[0], now).delivery()]), now)
        assert not watch_silence(session, now)
    assert alarms(session) == []


def test_few_mails_or_fresh_ones_prove_nothing(session, rows, now):
    with writing(session):
        session.execute(update(Recipient).values(sent_at=now - timedelta(minutes=5)))
        assert not watch_silence(session, now)
        session.execute(
            update(Recipient)
            .where(Recipient.id <= rows[9].id)
            .values(sent_at=now - timedelta(minutes=15))
        )
        session.execute(update(Recipient).where(Recipient.id > rows[9].id).values(sent_at=None))
        assert not watch_silence(session, now)
    assert alarms(session) == []


def test_the_backlog_tells_its_number_and_age(session, rows, now):
    assert backlog(session, now).waiting == 0
    with writing(session):
        texts = [mail_events(session, row, now).delivery() for row in rows[:3]]
        store(session, incoming(texts, at_once=False), now - timedelta(seconds=90))
    found = backlog(session, now)
    assert (found.waiting, found.age_seconds) == (3, 90.0)


def test_the_rate_is_counted_by_minute_of_arrival(session, rows, now):
    with writing(session):
        for number, row in enumerate(rows[:4]):
            text = mail_events(session, row, now).delivery()
            store(session, incoming([text]), now - timedelta(minutes=number, seconds=1))
    assert events_by_minute(session, now, 5) == [0, 1, 1, 1, 1]
