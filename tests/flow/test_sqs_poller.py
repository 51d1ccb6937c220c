"""The queue's poller against the simulator: store, commit, delete; leave what is not ours."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as sa_event
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from aws.clients import AwsClients
from database import writing
from domain.statuses import EventStatus, RecipientStatus
from doors import sqs_poller
from doors.queue_messages import read_message
from models import DeadLetter, Event, Notice, Recipient, Suppression
from services.event_log import LogFilter, log_page
from services.installation import installation_id
from services.ledger import read_counters
from services.recount import recount
from sns_handler import SqsPoller
from tests.factories import add_campaign, add_sending
from tests.ses_messages import TOPIC, MailEvents, mail_events


@pytest.fixture
def rows(session, now):
    """Twelve submitted recipients of one campaign."""
    with writing(session):
        emails = [f"p{n}@example.com" for n in range(12)]
        return add_sending(session, add_campaign(session, now), emails, now)


@pytest.fixture
def clients(simulator, settings):
    return AwsClients(settings)


@pytest.fixture
def poller(settings, sessions, clients):
    return SqsPoller(settings, sessions, clients, long_poll_seconds=1)


@pytest.fixture
def put(clients, settings):
    """Put a message into the queue: a raw event, or wrapped as SNS does."""

    def put(text, wrapped=True, topic=TOPIC):
        envelope = {"Type": "Notification", "MessageId": "m", "TopicArn": topic, "Message": text}
        body = json.dumps(envelope) if wrapped else text
        clients.sqs.send_message(QueueUrl=settings.sqs_queue_url, MessageBody=body)

    return put


@pytest.fixture
def dead_letter_queue(clients, settings):
    """The address of the queue where messages go that were received too often."""
    dead = clients.sqs.create_queue(QueueName="bes-dead")["QueueUrl"]
    names = clients.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": names["Attributes"]["QueueArn"], "maxReceiveCount": "5"}
    clients.sqs.set_queue_attributes(
        QueueUrl=settings.sqs_queue_url, Attributes={"RedrivePolicy": json.dumps(policy)}
    )
    return dead


def depth(clients, settings, url=None):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = clients.sqs.get_queue_attributes(
        QueueUrl=url or settings.sqs_queue_url, AttributeNames=names
    )
    return tuple(int(answer["Attributes"][name]) for name in names)


def drain(poller):
    while poller.poll_once():
        pass


def notices(session):
    session.rollback()
    return {notice.code: notice.text for notice in session.scalars(select(Notice))}


def statuses(session):
    session.rollback()
    query = select(Recipient.status).order_by(Recipient.id)
    return [status.value for status in session.scalars(query)]


@pytest.mark.parametrize("wrapped", [True, False])
def test_wrapped_and_raw_events_are_applied_and_deleted(
    session, rows, poller, clients, settings, put, now, wrapped
):
    for row in rows:
        put(mail_events(session, row, now).delivery(), wrapped)
    drain(poller)
    assert statuses(session) == ["delivered"] * 12
    assert depth(clients, settings) == (0, 0)
    assert poller.queue_is_empty().empty
    counters = read_counters(session, rows[0].campaign_id)
    assert counters == recount(session, rows[0].campaign_id)


def test_an_old_event_is_taken_whatever_its_age(session, rows, poller, put, now):
    old = mail_events(session, rows[0], now - timedelta(days=13))
    put(old.delivery())
    drain(poller)
    assert "delivered" in statuses(session)


def test_a_failed_commit_deletes_nothing_and_the_message_counts_once_later(
    engine, session, rows, poller, clients, settings, put, now
):
    put(mail_events(session, rows[0], now).opened())
    poller.poll_once()  # makes the poller known to the queue
    put(mail_events(session, rows[1], now).opened())

    def fail(connection):
        raise OperationalError("COMMIT", {}, Exception("disk full"))

    sa_event.listen(engine, "commit", fail)
    try:
        with pytest.raises(OperationalError):
            poller.poll_once()
    finally:
        sa_event.remove(engine, "commit", fail)
    assert depth(clients, settings) == (0, 1)
    put(mail_events(session, rows[1], now).opened())  # SQS gives it again
    drain(poller)
    session.rollback()
    assert session.scalars(select(Recipient.opens).order_by(Recipient.id)).all()[:2] == [1, 1]


def test_a_poller_that_dies_after_the_commit_counts_nothing_twice(
    session, rows, poller, clients, settings, put, now, monkeypatch
):
    put(mail_events(session, rows[0], now).opened())
    monkeypatch.setattr(poller, "_delete", lambda *arguments: None)
    poller.poll_once()
    assert depth(clients, settings) == (0, 1)
    put(mail_events(session, rows[0], now).opened())  # SQS gives it again to the next poller
    fresh = SqsPoller(settings, poller._sessions, clients)
    drain(fresh)
    session.rollback()
    assert session.scalar(select(Recipient.opens).where(Recipient.id == rows[0].id)) == 1


def test_nothing_is_received_while_the_database_is_down(
    engine, session, rows, poller, clients, settings, put, now
):
    put(mail_events(session, rows[0], now).delivery())

    def fail(*arguments):
        raise OperationalError("SELECT", {}, Exception("down"))

    sa_event.listen(engine, "before_cursor_execute", fail)
    try:
        with pytest.raises(OperationalError):
            poller.poll_once()
    finally:
        sa_event.remove(engine, "before_cursor_execute", fail)
    assert depth(clients, settings) == (1, 0)


def test_messages_of_other_programs_and_topics_stay(poller, clients, settings, put, session):
    put(json.dumps({"AlarmName": "cpu"}))
    put("plain text", wrapped=False)
    put(json.dumps({"eventType": "Send", "mail": {"messageId": "m"}}), topic=f"{TOPIC}-other")
    poller.poll_once()
    assert depth(clients, settings) == (0, 3)
    assert session.scalars(select(Event)).all() == []


def test_set_up_messages_are_deleted(poller, clients, settings, put):
    put("Successfully validated SNS topic for Amazon SES event publishing.")
    put("Successfully validated SNS topic for Amazon SES event publishing.", wrapped=False)
    put(json.dumps({"notificationType": "AmazonSnsSubscriptionSucceeded"}))
    drain(poller)
    assert depth(clients, settings) == (0, 0)


def test_unknown_types_are_kept_and_deleted_from_the_queue(
    session, rows, poller, clients, settings, put, now
):
    put(mail_events(session, rows[0], now).event("Teleported", {"to": "moon"}))
    drain(poller)
    session.rollback()
    assert session.scalars(select(Event.kind)).all() == ["Teleported"]
    assert depth(clients, settings) == (0, 0)


def test_a_broken_event_goes_to_the_dead_letter_list(session, poller, clients, settings, put):
    put(json.dumps({"eventType": "Bounce", "mail": {"messageId": "m"}}))
    drain(poller)
    assert session.scalars(select(DeadLetter.door)).all() == ["sqs"]
    assert depth(clients, settings) == (0, 0)


def test_a_message_that_cannot_be_read_holds_up_nobody(
    session, rows, poller, clients, settings, put, now, monkeypatch
):
    """Whatever the cause, also one that nobody foresaw."""

    def read(received, topics, install):
        if "poison" in received["Body"]:
            raise ZeroDivisionError("poison")
        return read_message(received, topics, install)

    monkeypatch.setattr(sqs_poller, "read_message", read)
    put("poison")
    for row in rows[:5]:
        put(mail_events(session, row, now).delivery())
    drain(poller)
    assert statuses(session).count("delivered") == 5
    assert depth(clients, settings) == (0, 0)
    assert "ZeroDivisionError" in session.scalars(select(DeadLetter.reason)).one()


def test_hostile_messages_leave_the_queue_and_hold_up_nobody(
    session, rows, poller, clients, settings, put, now
):
    good = mail_events(session, rows[0], now).delivery()
    own = mail_events(session, rows[1], now)
    tags = own.tags | {"bes_campaign": ["123456789012345678"], "bes_attempt": ["z" * 32]}
    people = [{"emailAddress": f"p{n}@example.com"} for n in range(5000)]
    put(own.event("Delivery", {"timestamp": "9999-12-31T23:59:59.999999Z"}))
    put(own.event("Bounce", {"bounceType": "Permanent", "bouncedRecipients": people}))
    put(own.event("Send", tags=tags))  # no such campaign fits into the column
    put(own.event("Teleported", {"text": "\ud800\x00" * 1000}))
    put(own.event("Open", {"userAgent": "x" * 200_000, "timestamp": "now"}))
    put(
        own.event(
            "Bounce",
            {
                "bounceType": "Permanent",
                "bouncedRecipients": [{"emailAddress": "a" * 5000 + "@b.c"}],
            },
            tags={},
            messageId="unknown",
        )
    )
    put(good)
    drain(poller)
    assert depth(clients, settings) == (0, 0)
    assert statuses(session)[0] == "delivered"
    assert "5,000 recipients" in " ".join(session.scalars(select(DeadLetter.reason)))
    assert session.scalars(select(Suppression)).all() == []
    assert log_page(session, LogFilter()).entries  # all that is stored can be shown


def test_old_strangers_in_the_dead_letter_queue_do_not_pause_the_poller(
    session, rows, poller, clients, settings, put, now, dead_letter_queue
):
    for number in range(25):
        clients.sqs.send_message(QueueUrl=dead_letter_queue, MessageBody=f"not ours {number}")
    poller.poll_dead_letters()
    assert poller.stopped_because is None
    assert "25 messages" in notices(session)["queue-dead-letters"]
    put(mail_events(session, rows[0], now).delivery())
    drain(poller)
    assert statuses(session)[0] == "delivered"


def test_twenty_messages_of_other_programs_pause_the_poller(
    sessions, settings, clients, session, put
):
    moment = [datetime(2026, 3, 2, 9, tzinfo=UTC)]
    poller = SqsPoller(settings, sessions, clients, clock=lambda: moment[0])
    for number in range(25):
        put(f"message {number}")
    while poller.poll_once():
        pass
    assert "other programs" in str(poller.stopped_because)
    assert "queue-other-programs" in notices(session)
    visible, in_flight = depth(clients, settings)
    assert visible + in_flight == 25
    moment[0] += timedelta(minutes=11)
    assert poller.stopped_because is None


def test_the_queue_is_marked_as_ours_at_the_first_poll(poller, clients, settings, session):
    poller.poll_once()
    tags = clients.sqs.list_queue_tags(QueueUrl=settings.sqs_queue_url)["Tags"]
    assert tags["bes_install"] == installation_id(session)


def test_another_installations_event_on_our_queue_is_dropped(
    session, rows, poller, clients, settings, put, now
):
    put(MailEvents("another", rows[0], now).bounce())
    drain(poller)
    assert depth(clients, settings) == (0, 0)
    assert session.scalars(select(Event)).all() == []
    assert statuses(session)[0] == "sending"


def test_a_queue_of_another_installation_is_not_polled(
    session, rows, poller, clients, settings, put, now
):
    clients.sqs.tag_queue(QueueUrl=settings.sqs_queue_url, Tags={"bes_install": "another"})
    put(mail_events(session, rows[0], now).bounce())
    assert poller.poll_once() == 0
    assert depth(clients, settings) == (1, 0)
    assert "belongs to another installation" in notices(session)["queue-other-installation"]


def test_without_the_right_to_read_tags_a_foreign_event_stays_and_stops_the_poller(
    simulator, session, rows, poller, clients, settings, put, now
):
    simulator.faults.deny = ["ListQueueTags", "TagQueue"]
    put(mail_events(session, rows[0], now).delivery())
    put(MailEvents("another", rows[1], now).bounce())
    poller.poll_once()
    assert statuses(session)[:2] == ["delivered", "sending"]
    assert depth(clients, settings) == (0, 1)
    assert poller.poll_once() == 0
    assert "another installation" in notices(session)["queue-other-installation"]


def test_the_dead_letter_queue_is_worked_off_too(
    session, rows, poller, clients, settings, now, dead_letter_queue
):
    dead = dead_letter_queue
    text = mail_events(session, rows[0], now).delivery()
    clients.sqs.send_message(QueueUrl=dead, MessageBody=text)
    clients.sqs.send_message(QueueUrl=dead, MessageBody="not ours")
    poller.poll_dead_letters()
    assert statuses(session)[0] == "delivered"
    visible, in_flight = depth(clients, settings, dead)
    assert visible + in_flight == 1


def test_several_threads_work_off_a_backlog_and_end_soon_when_told(
    session, rows, sessions, settings, clients, put, now
):
    for row in rows:
        mail = mail_events(session, row, now)
        for text in (mail.send(), mail.delivery(), mail.opened(), mail.opened()):
            put(text)
    stop = threading.Event()
    poller = SqsPoller(settings, sessions, clients, threads=3, long_poll_seconds=1)
    thread = threading.Thread(target=poller.run, args=(stop,))
    thread.start()
    for _ in range(1200):
        if statuses(session) == ["delivered"] * 12 and depth(clients, settings) == (0, 0):
            break
        time.sleep(0.05)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    session.rollback()
    assert session.scalars(select(Recipient.opens)).all() == [1] * 12
    assert set(session.scalars(select(Event.status))) == {EventStatus.APPLIED}


def test_without_a_queue_the_poller_only_waits(settings, sessions):
    """There are no clients: a call to AWS would end the thread."""
    nobody: Any = None
    values = {**settings.__dict__, "sqs_queue_url": ""}
    stop = threading.Event()
    poller = SqsPoller(type(settings)(**values), sessions, nobody)
    thread = threading.Thread(target=poller.run, args=(stop,))
    thread.start()
    time.sleep(0.3)
    waits = thread.is_alive()
    stop.set()
    thread.join(60)
    assert waits
    assert not thread.is_alive()


def test_mails_sent_through_the_simulator_come_back_as_events(session, rows, poller, clients, now):
    for row in rows:
        tags = mail_events(session, row, now).tags
        clients.ses.send_email(
            FromEmailAddress="news@example.com",
            Destination={"ToAddresses": [row.email]},
            Content={"Simple": {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "y"}}}},
            ConfigurationSetName="bes",
            EmailTags=[{"Name": n, "Value": v[0]} for n, v in tags.items() if ":" not in n],
        )
    for _ in range(100):
        poller.poll_once(1)
        if RecipientStatus.SENDING.value not in statuses(session):
            break
    assert RecipientStatus.SENDING.value not in statuses(session)
