"""POST /sns-notifications: believed only if AWS signed it, answered after the commit."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from sqlalchemy import event as sa_event
from sqlalchemy import select
from sqlalchemy.exc import DataError, OperationalError
from werkzeug.serving import make_server

from aws.clients import AwsClients
from database import writing
from domain.statuses import EventStatus, RecipientStatus
from doors.certificates import CertificateStore, FetchFailed
from doors.webhook import Webhook
from models import DeadLetter, Event, Notice, Recipient
from services import delivery_events
from sns_handler import MAX_BODY_BYTES, webhook_of
from tests.factories import add_campaign, add_sending
from tests.ses_messages import TOPIC, MailEvents, mail_events, stamp
from tests.sns_signing import CERTIFICATE_NAME, Signer, body
from tests.unit.test_sns_messages import BAD_URLS

PATH = "/sns-notifications"


@pytest.fixture(scope="module")
def signer():
    return Signer()


@pytest.fixture
def environment(environment, tmp_path, signer):
    """SNS's certificate lies in a folder, as if it had been fetched."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / CERTIFICATE_NAME).write_bytes(signer.pem)
    return environment | {"SNS_CERT_DIR": str(folder)}


@pytest.fixture
def session(app):
    with app.extensions["bes"].sessions() as session:
        yield session


@pytest.fixture
def mail(session, now):
    """The events of a mail that was just sent."""
    with writing(session):
        (row,) = add_sending(session, add_campaign(session, now), ["ada@example.com"], now)
    return mail_events(session, row, datetime.now(UTC))


@pytest.fixture
def post(client, signer, session):
    """Post a signed message; gives the status. What the session knew before is forgotten."""

    def post(text="hello", **fields):
        message = signer.message(text, **fields)
        answer = client.post(PATH, data=body(message), content_type="text/plain; charset=UTF-8")
        session.rollback()
        return answer.status_code

    return post


def row_status(session):
    session.rollback()
    return session.scalars(select(Recipient.status)).one()


def test_a_signed_event_is_stored_and_applied_before_the_answer(session, mail, post):
    assert post(mail.delivery()) == 200
    assert row_status(session) is RecipientStatus.DELIVERED
    stored = session.scalars(select(Event)).one()
    assert (stored.door, stored.kind, stored.status) == ("http", "Delivery", EventStatus.APPLIED)


@pytest.mark.parametrize("version", ["1", "2"])
def test_both_signature_versions_are_taken(session, mail, post, version):
    assert post(mail.send(), version=version) == 200
    assert row_status(session) is RecipientStatus.SENT


def test_the_same_message_again_is_acknowledged_and_counts_once(session, mail, post):
    assert [post(mail.opened()), post(mail.opened())] == [200, 200]
    assert session.scalars(select(Recipient.opens)).one() == 1


def test_no_login_no_token_and_no_cookie_are_needed(app, client, mail, post):
    app.config["WTF_CSRF_ENABLED"] = True
    assert post(mail.send()) == 200
    assert client.get_cookie("bes_session") is None


def test_a_forged_message_is_refused_and_does_nothing(session, client, mail, signer):
    message = signer.message(mail.bounce()) | {"Message": mail.complaint()}
    assert client.post(PATH, data=body(message)).status_code == 403
    assert row_status(session) is RecipientStatus.SENDING


def test_a_message_of_another_topic_is_refused_even_if_well_signed(session, mail, post):
    assert post(mail.bounce(), TopicArn=f"{TOPIC}-other") == 403
    assert row_status(session) is RecipientStatus.SENDING


@pytest.mark.parametrize("content", [b"", b"hello", b"{}", b'{"Type":"Notification"}'])
def test_what_is_no_sns_message_is_a_bad_request(client, content):
    assert client.post(PATH, data=content).status_code == 400


def test_a_body_beyond_the_limit_is_a_bad_request(client):
    assert client.post(PATH, data=b"x" * (MAX_BODY_BYTES + 1)).status_code == 400


def test_an_old_message_and_one_from_the_future_are_refused(session, mail, post):
    old = stamp(datetime.now(UTC) - timedelta(seconds=4600))
    ahead = stamp(datetime.now(UTC) + timedelta(seconds=1000))
    assert [post(mail.bounce(), Timestamp=old), post(mail.bounce(), Timestamp=ahead)] == [403, 403]
    assert row_status(session) is RecipientStatus.SENDING


def test_set_up_messages_and_unknown_types_are_acknowledged(session, mail, post):
    assert post("Successfully validated SNS topic for Amazon SES event publishing.\n") == 200
    assert session.scalars(select(Event)).all() == []
    assert post(mail.event("Teleported", {"to": "moon"})) == 200
    stored = session.scalars(select(Event)).one()
    assert (stored.kind, stored.verdict) == (
        "Teleported",
        "A type of event that this version does not know.",
    )


def test_other_programs_messages_are_acknowledged_and_not_stored(session, post):
    assert post(json.dumps({"AlarmName": "cpu"})) == 200
    assert session.scalars(select(DeadLetter)).all() == []


def test_a_broken_event_is_kept_for_a_person(session, post):
    text = json.dumps({"eventType": "Bounce", "mail": {"messageId": "m"}})
    assert [post(text), post(text)] == [200, 200]
    letter = session.scalars(select(DeadLetter)).one()
    assert (letter.door, letter.reason) == ("http", "The Bounce event names no recipient.")


def test_another_installations_event_is_acknowledged_and_not_stored(session, mail, post):
    foreign = MailEvents("another", mail.row, mail.accepted_at)
    assert post(foreign.bounce()) == 200
    assert session.scalars(select(Event)).all() == []
    assert row_status(session) is RecipientStatus.SENDING


def test_the_end_of_a_subscription_is_an_alarm(session, post):
    assert post(Type="UnsubscribeConfirmation") == 200
    notice = session.scalars(select(Notice)).one()
    assert (notice.code, notice.severity) == ("sns-unsubscribed", "fail")


def test_our_own_trouble_asks_sns_to_try_again(app, session, mail, post):
    engine = app.extensions["bes"].engine

    def fail(*arguments):
        raise OperationalError("INSERT", {}, Exception("disk full"))

    sa_event.listen(engine, "before_cursor_execute", fail)
    try:
        assert post(mail.bounce()) == 503
    finally:
        sa_event.remove(engine, "before_cursor_execute", fail)
    assert post(mail.bounce()) == 200
    assert row_status(session) is RecipientStatus.BOUNCED


def test_refusals_are_one_log_line_a_minute(client, caplog, signer):
    caplog.set_level(logging.WARNING)
    for _ in range(50):
        client.post(PATH, data=b"hello")
    lines = [r for r in caplog.records if "not taken" in r.message]
    assert len(lines) == 1
    assert webhook_of(client.application).refusals.totals() == {"not a message of SNS": 50}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_post_is_answered(client, method):
    answer = client.open(PATH, method=method)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


def test_answers_are_plain_text_that_nobody_keeps_or_interprets(client, mail, post, signer):
    message = body(signer.message(mail.send()))
    for content, text in ((message, "Stored.\n"), (b"hello", "This is no SNS message.\n")):
        answer = client.post(PATH, data=content)
        assert answer.text == text
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Content-Length"] == str(len(text))
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_body_that_ends_too_early_is_a_bad_request(client):
    answer = client.post(PATH, input_stream=io.BytesIO(b"half"), content_length=100)
    assert answer.status_code == 400


def test_a_message_of_any_depth_is_answered_without_a_word_in_the_log_each(client, caplog):
    for depth in range(100, 1100, 50):
        deep = "[" * depth + "]" * depth
        assert client.post(PATH, data=f'{{"Type": {deep}}}').status_code == 400
    assert len(caplog.records) <= 1


def test_a_signed_message_of_any_depth_is_kept_or_ignored(session, mail, post):
    for depth in range(300, 1000, 50):
        text = mail.event("Teleported", {"n": depth})
        assert post(f'{text[:-1]}, "deep": {"[" * depth}{"]" * depth}}}') == 200


def test_an_event_that_cannot_be_stored_is_kept_and_not_asked_for_again(
    session, mail, post, monkeypatch
):
    def refuse(*arguments):
        raise DataError("INSERT", {}, Exception("out of range"))

    monkeypatch.setattr(delivery_events, "_insert", refuse)
    assert post(mail.delivery()) == 200
    assert "out of range" in session.scalars(select(DeadLetter.reason)).one()


def test_an_error_of_ours_that_nobody_foresaw_asks_sns_to_try_again(app, client, monkeypatch):
    def fail(body):
        raise ZeroDivisionError

    monkeypatch.setattr(webhook_of(app), "receive", fail)
    assert client.post(PATH, data=b"{}").status_code == 503


class TestBeyondTheLimit:
    """More notifications a second than the web process may spend itself on."""

    @pytest.fixture
    def environment(self, environment):
        return environment | {"NOTIFICATIONS_PER_SECOND": "0"}

    def test_an_ordinary_event_is_stored_and_left_to_the_scheduler(self, session, mail, post):
        assert post(mail.delivery()) == 200
        assert row_status(session) is RecipientStatus.SENDING
        assert session.scalars(select(Event.status)).one() is EventStatus.NEW

    @pytest.mark.parametrize("kind", ["bounce", "complaint", "reject", "subscription"])
    def test_a_critical_event_is_applied_at_once(self, session, mail, post, kind):
        assert post(getattr(mail, kind)()) == 200
        assert session.scalars(select(Event.status)).one() is EventStatus.APPLIED
        assert row_status(session) is not RecipientStatus.SENDING


class TestRealMessages:
    """Messages that AWS signed, with the certificates of their time."""

    @pytest.fixture
    def environment(self, environment, material):
        topics = set()
        for path in (material / "sns-signed").glob("*/*.json"):
            topics.add(json.loads(path.read_text())["TopicArn"])
        ours = {topic for topic in topics if len(topic.split(":")[4]) == 12}
        return environment | {
            "SNS_CERT_DIR": str(material / "sns-signed/certs"),
            "SNS_MAX_AGE_SECONDS": "0",
            "SNS_TOPIC_ARN": ",".join(sorted(ours)),
        }

    def test_every_real_notification_is_believed_and_every_altered_one_refused(
        self, client, material
    ):
        answers = {}
        for path in sorted((material / "sns-signed").glob("*/*.json")):
            if json.loads(path.read_text())["Type"] == "Notification":
                answers[path.name] = client.post(PATH, data=path.read_bytes()).status_code
        assert len(answers) == 19
        wrong = {n: s for n, s in answers.items() if s != (403 if "altered" in n else 200)}
        assert wrong == {}

    def test_the_real_bounce_and_complaint_are_stored(self, client, session, material):
        for path in (material / "sns-signed/django-ses-2022").glob("*.json"):
            assert client.post(PATH, data=path.read_bytes()).status_code == 200
        stored = session.execute(select(Event.kind, Event.status)).all()
        assert sorted(tuple(row) for row in stored) == [
            ("Bounce", EventStatus.PARKED),
            ("Complaint", EventStatus.PARKED),
        ]


@pytest.fixture
def door(app, signer):
    """A webhook whose certificates are fetched from a stub that notes what it was asked for."""
    settings = app.extensions["bes"].settings
    asked: list[str] = []

    def fetch(url):
        asked.append(url)
        return signer.pem

    blank = type(settings)(**{**settings.__dict__, "sns_cert_dir": ""})
    store = CertificateStore(blank, fetch)
    webhook = Webhook(blank, app.extensions["bes"].sessions, certificates=store)
    return webhook, asked


def test_the_certificate_is_fetched_once_and_for_allowed_topics_only(door, signer, mail):
    door, asked = door
    assert door.receive(body(signer.message(TopicArn=f"{TOPIC}-other"))).status == 403
    assert asked == []
    for _ in range(3):
        assert door.receive(body(signer.message(mail.send()))).status == 200
    assert len(asked) == 1
    assert asked[0].endswith(f"/_sim/certificates/{CERTIFICATE_NAME}")


@pytest.mark.parametrize("url", BAD_URLS)
def test_nothing_is_fetched_for_a_false_certificate_address(door, signer, url):
    door, asked = door
    assert door.receive(body(signer.message(SigningCertURL=url))).status == 403
    assert asked == []


def test_a_certificate_that_cannot_be_fetched_asks_sns_to_try_again(app, signer):
    settings = app.extensions["bes"].settings
    blank = type(settings)(**{**settings.__dict__, "sns_cert_dir": ""})

    def fetch(url):
        raise FetchFailed("no network", final=False)

    store = CertificateStore(blank, fetch)
    webhook = Webhook(blank, app.extensions["bes"].sessions, certificates=store)
    assert webhook.receive(body(signer.message())).status == 503


class TestWithoutNamedTopics:
    """SNS_TOPIC_ARN is empty: only the topics that SES publishes to are believed."""

    @pytest.fixture
    def environment(self, environment):
        return environment | {"SNS_TOPIC_ARN": ""}

    def test_a_topic_of_the_configuration_set_is_believed(self, simulator, session, mail, post):
        assert post(mail.delivery()) == 200
        assert row_status(session) is RecipientStatus.DELIVERED

    def test_another_topic_is_refused_and_named(self, simulator, session, mail, post):
        assert post(mail.bounce(), TopicArn=f"{TOPIC}-other") == 403
        assert f"{TOPIC}-other" in session.scalars(select(Notice.text)).one()

    def test_unreadable_means_refused(self, simulator, session, mail, post):
        simulator.faults.deny = ["*"]
        assert post(mail.bounce()) == 403


@pytest.fixture
def served(app):
    """The application on a real port; its webhook's address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{PATH}"
    server.shutdown()
    thread.join()
    server.server_close()


def subscription_attributes(clients, url):
    """The attributes of the topic's subscription to an address, once it is confirmed."""
    sns = clients.sns("us-east-1")
    for _ in range(1200):
        listed = sns.list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
        arn = next(one["SubscriptionArn"] for one in listed if one["Endpoint"] == url)
        if arn.startswith("arn:"):
            return sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
        time.sleep(0.05)
    raise AssertionError("the subscription was not confirmed")


def test_a_subscription_is_confirmed_through_the_api_of_sns(simulator, app, served):
    clients = AwsClients(app.extensions["bes"].settings)
    clients.sns("us-east-1").subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=served)
    attributes = subscription_attributes(clients, served)
    assert attributes["ConfirmationWasAuthenticated"] == "true"


def test_a_subscription_that_may_not_be_confirmed_stays_pending(simulator, app, served):
    clients = AwsClients(app.extensions["bes"].settings)
    simulator.faults.deny = ["ConfirmSubscription"]
    clients.sns("us-east-1").subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=served)
    time.sleep(0.5)
    listed = clients.sns("us-east-1").list_subscriptions_by_topic(TopicArn=TOPIC)
    simulator.faults.deny = []  # not before: SNS asks again
    ours = [s for s in listed["Subscriptions"] if s["Endpoint"] == served]
    assert ours[0]["SubscriptionArn"] == "PendingConfirmation"


def test_without_the_right_to_confirm_the_unsigned_call_confirms(
    simulator, app, served, monkeypatch
):
    clients = AwsClients(app.extensions["bes"].settings)
    denied = ClientError({"Error": {"Code": "AuthorizationError"}}, "ConfirmSubscription")
    ways = []

    class OurRights:
        def confirm_subscription(self, **arguments):
            ways.append(arguments["AuthenticateOnUnsubscribe"])
            raise denied

    monkeypatch.setattr(AwsClients, "sns", lambda self, region=None: OurRights())
    unsigned = clients.sns_unsigned("us-east-1")
    unsigned.subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=served)
    monkeypatch.setattr(clients, "sns", lambda region: unsigned)
    attributes = subscription_attributes(clients, served)
    assert ways == ["true"]
    assert attributes["ConfirmationWasAuthenticated"] != "true"


def test_events_arrive_through_a_confirmed_subscription(simulator, app, session, mail, served):
    clients = AwsClients(app.extensions["bes"].settings)
    clients.sns("us-east-1").subscribe(TopicArn=TOPIC, Protocol="http", Endpoint=served)
    subscription_attributes(clients, served)
    tags: list[Any] = [
        {"Name": name, "Value": values[0]} for name, values in mail.tags.items() if ":" not in name
    ]
    body_part: Any = {"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "y"}}}
    clients.ses.send_email(
        FromEmailAddress="news@example.com",
        Destination={"ToAddresses": ["success@simulator.amazonses.com"]},
        Content={"Simple": body_part},
        ConfigurationSetName="bes",
        EmailTags=tags,
    )
    for _ in range(1200):
        kinds = sorted(session.scalars(select(Event.kind)))
        session.rollback()
        if kinds == ["Delivery", "Send"]:
            break
        time.sleep(0.05)
    assert kinds == ["Delivery", "Send"]
    # The simulator's success address is not the row's own: nothing may change there.
    assert row_status(session) is RecipientStatus.SENDING
