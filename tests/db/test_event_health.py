"""The rate, the backlog and the silence of events."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from database import writing
from models import Event, Notice, Recipient
from services.delivery_events import store
from services.event_health import (
    backlog,
    count_full_minutes,
    events_by_minute,
    keep_full_minutes,
    watch_silence,
)
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


def test_the_rate_is_counted_by_clock_minute_and_kept_when_one_is_over(session, rows, now):
    now = now.replace(second=30)
    with writing(session):
        for number, row in enumerate(rows[:4]):
            text = mail_events(session, row, now).delivery()
            store(session, incoming([text]), now - timedelta(minutes=number, seconds=1))
    assert events_by_minute(session, now, 5) == [0, 1, 1, 1, 1]
    counts = count_full_minutes(session, now)
    assert sum(counts.values()) == 3
    with writing(session):
        keep_full_minutes(session, counts)
        session.execute(delete(Event))
    assert events_by_minute(session, now, 5) == [0, 1, 1, 1, 0]
    later = now + timedelta(minutes=2)
    assert events_by_minute(session, later, 5) == [1, 1, 0, 0, 0]
    assert len(count_full_minutes(session, later)) == 60


def test_uncounted_minutes_are_counted_up_to_a_bound(session, rows, now, monkeypatch):
    now = now.replace(second=30)
    monkeypatch.setattr("services.event_health._COUNT_UP_TO", 2)
    with writing(session):
        for number, row in enumerate(rows[:4]):
            text = mail_events(session, row, now).delivery()
            store(session, incoming([text]), now - timedelta(minutes=number, seconds=1))
    assert events_by_minute(session, now, 4) == [0, 0, 1, 1]


def test_where_sends_are_published_other_events_do_not_end_the_alarm(session, rows, now):
    with writing(session):
        store(session, incoming([mail_events(session, rows[0], now).opened()]), now)
        assert not watch_silence(session, now, sends_published=False)
        assert watch_silence(session, now, sends_published=True)
    assert alarms(session)[0].startswith("30 mails sent, no Send events for 15 minutes.")
    with writing(session):
        store(session, incoming([mail_events(session, rows[0], now).send()]), now)
        assert not watch_silence(session, now, sends_published=True)
    assert alarms(session) == []


def test_send_events_that_came_before_are_missed_when_they_stop(session, rows, now):
    long_ago = now - timedelta(hours=3)
    with writing(session):
        store(session, incoming([mail_events(session, rows[0], now).send()]), long_ago)
        store(session, incoming([mail_events(session, rows[1], now).opened()]), now)
        assert watch_silence(session, now)
    assert "no Send events" in alarms(session)[0]


def test_the_alarm_stays_after_the_last_mail_until_an_event_is_heard(session, rows, now):
    with writing(session):
        assert watch_silence(session, now)
    later = now + timedelta(hours=3)
    with writing(session):
        assert watch_silence(session, later)
    assert len(alarms(session)) == 1
    with writing(session):
        store(session, incoming([mail_events(session, rows[0], now).delivery()]), later)
        assert not watch_silence(session, later)
    assert alarms(session) == []
