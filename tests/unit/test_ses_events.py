"""SES events: every sample has the right answer, every malformed one is told apart."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounces import counts_towards_giving_up
from domain.event_raw import pack, unpack, without_repeats
from domain.ses_events import (
    CRITICAL_KINDS,
    EventKind,
    NotAnEvent,
    SesEvent,
    Unrecognised,
    parse_event,
    parse_text,
)
from domain.ses_tags import OurTags
from domain.statuses import Fact, SuppressionReason

BOUNCED = {"fact": Fact.BOUNCED, "suppress": SuppressionReason.BOUNCED}
COMPLAINED = {"fact": Fact.COMPLAINED, "suppress": SuppressionReason.COMPLAINED}
REPLY = {"fact": Fact.MAYBE_AUTO_REPLY, "suppress": None}

#: Sample file → (event type, sub-type, recipients, what it does).
ANSWERS: dict[str, tuple[str, str | None, list[str | None], dict[str, Any]]] = {
    "anymail/bounce_event.envelope": (
        "Bounce", "Permanent/General", ["jane@example.com"], BOUNCED),
    "anymail/click_event.envelope": ("Click", None, ["recipient@example.com"], {}),
    "anymail/complaint_event.envelope": (
        "Complaint", "abuse", ["richard@example.com"], COMPLAINED),
    "anymail/delivery_event.envelope": (
        "Delivery", None, ["jane@example.com"], {"fact": Fact.DELIVERED}),
    "anymail/multiple_bounce_event.envelope": (
        "Bounce", "Permanent/General", ["jane@example.com", "richard@example.com"], BOUNCED),
    "anymail/open_event.envelope": ("Open", None, ["recipient@example.com"], {}),
    "anymail/reject_event.envelope": (
        "Reject", "Bad content", ["recipient@example.com"], {"fact": Fact.REJECTED}),
    "anymail/rendering_failure_event.envelope": (
        "Rendering Failure", None, ["recipient@example.com"], {"fact": Fact.RENDERING_FAILED}),
    "anymail/send_event.envelope": (
        "Send", None, ["recipient@example.com"], {"fact": Fact.ACCEPTED}),
    "aws-docs-event-publishing/bounce-record": (
        "Bounce", "Permanent/General", ["recipient@example.com"], BOUNCED),
    "aws-docs-event-publishing/click-record": ("Click", None, ["recipient@example.com"], {
        "link": "http://docs.aws.amazon.com/ses/latest/DeveloperGuide/send-email-smtp.html"}),
    "aws-docs-event-publishing/complaint-record": (
        "Complaint", "abuse", ["recipient@example.com"], COMPLAINED),
    "aws-docs-event-publishing/delivery-record": (
        "Delivery", None, ["recipient@example.com"], {"fact": Fact.DELIVERED}),
    "aws-docs-event-publishing/deliverydelay-record": (
        "DeliveryDelay", "TransientCommunicationFailure", ["recipient@example.com"],
        {"fact": Fact.DELAYED,
         "delayed_until": datetime(2020, 6, 16, 0, 25, 40, 914000, UTC)}),
    "aws-docs-event-publishing/open-record": ("Open", None, ["recipient@example.com"], {}),
    "aws-docs-event-publishing/reject-record": (
        "Reject", "Bad content", ["sender@example.com"], {"fact": Fact.REJECTED}),
    "aws-docs-event-publishing/rendering-failure-record": (
        "Rendering Failure", None, ["recipient@example.com"], {"fact": Fact.RENDERING_FAILED}),
    "aws-docs-event-publishing/send-record": (
        "Send", None, ["recipient@example.com"], {"fact": Fact.ACCEPTED}),
    "aws-docs-event-publishing/subscription-record": (
        "Subscription", "unsubscribed", ["recipient@example.com"],
        {"unsubscribes": True, "suppress": SuppressionReason.UNSUBSCRIBED}),
    "aws-docs-notifications/amazon-sns-delivery-notification-example": (
        "Delivery", None, ["jane@example.com"], {"fact": Fact.DELIVERED}),
    "aws-docs-notifications/bounce-notification-with-a-dsn": (
        "Bounce", "Permanent/General", ["jane@example.com"], BOUNCED),
    "aws-docs-notifications/bounce-notification-without-a-dsn": (
        "Bounce", "Permanent/General", ["jane@example.com", "richard@example.com"], BOUNCED),
    "aws-docs-notifications/complaint-notification-with-a-feedback-report": (
        "Complaint", "abuse", ["richard@example.com"], COMPLAINED),
    "aws-docs-notifications/complaint-notification-without-a-feedback-report": (
        "Complaint", "complaint", ["richard@example.com"], COMPLAINED),
    "django-ses/bounce.eventType": (
        "Bounce", "Permanent/General", ["recipient1@example.com", "recipient2@example.com"],
        BOUNCED),
    "django-ses/bounce.notificationType": (
        "Bounce", "Permanent/General", ["recipient1@example.com", "recipient2@example.com"],
        BOUNCED),
    "django-ses/bounce_no_status.eventType": (
        "Bounce", "Permanent/General", ["recipient1@example.com", "recipient2@example.com"],
        BOUNCED),
    "django-ses/bounce_no_status.notificationType": (
        "Bounce", "Permanent/General", ["recipient1@example.com", "recipient2@example.com"],
        BOUNCED),
    "django-ses/bounce_no_status_transient.eventType": (
        "Bounce", "Transient/General", ["recipient1@example.com", "recipient2@example.com"],
        REPLY),
    "django-ses/bounce_no_status_transient.notificationType": (
        "Bounce", "Transient/General", ["recipient1@example.com", "recipient2@example.com"],
        REPLY),
    "django-ses/click.eventType": ("Click", None, [None], {}),
    "django-ses/complaint.eventType": (
        "Complaint", "abuse", ["recipient1@example.com"], COMPLAINED),
    "django-ses/complaint.notificationType": (
        "Complaint", "abuse", ["recipient1@example.com"], COMPLAINED),
    "django-ses/delivery.eventType": (
        "Delivery", None, ["recipient1@example.com"], {"fact": Fact.DELIVERED}),
    "django-ses/open.eventType": ("Open", None, [None], {}),
    "django-ses/send.eventType": ("Send", None, [], {"fact": Fact.ACCEPTED}),
    "gov-uk-notify/hard-bounce-callback": (
        "Bounce", "Permanent/General", ["bounce@simulator.amazonses.com"], BOUNCED),
    "gov-uk-notify/notification-callback": (
        "Delivery", None, ["success@simulator.amazonses.com"], {"fact": Fact.DELIVERED}),
    "gov-uk-notify/soft-bounce-callback": (
        "Bounce", "Temporary/General", ["bounce@simulator.amazonses.com"],
        {"fact": Fact.SOFT_BOUNCED, "suppress": None}),
    "moto/bounce": (
        "Bounce", "Permanent/General", ["recipient1@example.com", "recipient2@example.com"],
        BOUNCED),
    "moto/complaint": ("Complaint", "abuse", ["recipient1@example.com"], COMPLAINED),
    "moto/delivery": (
        "Delivery", None, ["success@simulator.amazonses.com"], {"fact": Fact.DELIVERED}),
}  # fmt: skip

NO_EVENTS = {
    "anymail/incorrect_received_event.envelope": NotAnEvent.FOREIGN,
    "django-ses/received_s3.fixed": NotAnEvent.FOREIGN,
    "django-ses/received_sns.fixed": NotAnEvent.FOREIGN,
}


def sample(material: Path, name: str) -> str:
    """The event text of a sample, without its SNS envelope if it has one."""
    content = (material / "ses-events" / f"{name}.json").read_text()
    document = json.loads(content)
    return str(document["Message"]) if "Message" in document else content


def event(kind: str, details: dict[str, Any], **mail: Any) -> dict[str, Any]:
    names = {"DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure"}
    base = {
        "messageId": "m-1",
        "timestamp": "2026-03-02T09:00:00.000Z",
        "destination": ["ada@example.com"],
    }
    return {"eventType": kind, "mail": base | mail, names.get(kind, kind.lower()): details}


def parsed(payload: Any) -> SesEvent:
    events = parse_event(payload)
    assert isinstance(events, list)
    assert len(events) == 1
    return events[0]


def bounce(kind: str, sub: str, **person: str) -> SesEvent:
    person = {"emailAddress": "ada@example.com"} | person
    details = {
        "bounceType": kind,
        "bounceSubType": sub,
        "bouncedRecipients": [person],
        "feedbackId": "f-1",
        "timestamp": "2026-03-02T09:00:05.000Z",
    }
    return parsed(event("Bounce", details))


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_each_sample_event_has_its_right_answer(material: Path, name: str) -> None:
    kind, sub_kind, recipients, effects = ANSWERS[name]
    events = parse_text(sample(material, name))
    assert isinstance(events, list)
    assert {e.kind for e in events} == {kind}
    if recipients:
        assert [e.address for e in events] == recipients
    if sub_kind:
        assert {e.sub_kind for e in events} == {sub_kind}
    for field, value in effects.items():
        assert {getattr(e, field) for e in events} == {value}
    assert all(e.critical == (kind in CRITICAL_KINDS) for e in events)
    assert len({e.key for e in events}) == len(events)


@pytest.mark.parametrize("name", sorted(NO_EVENTS))
def test_each_sample_about_received_mail_is_no_event(material: Path, name: str) -> None:
    answer = parse_text(sample(material, name))
    assert isinstance(answer, Unrecognised)
    assert answer.what is NO_EVENTS[name]


def test_every_sample_file_has_an_answer_here(material: Path) -> None:
    folder = material / "ses-events"
    names = {str(p.relative_to(folder).with_suffix("")) for p in folder.glob("*/*.json")}
    assert names == set(ANSWERS) | set(NO_EVENTS)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("Successfully validated SNS topic for Amazon SES event publishing.", NotAnEvent.SET_UP),
        ("Successfully validated SNS topic for Amazon SES event publishing.\n", NotAnEvent.SET_UP),
        ('{"notificationType":"AmazonSnsSubscriptionSucceeded","message":"x"}', NotAnEvent.SET_UP),
        ("hello", NotAnEvent.FOREIGN),
        ("[]", NotAnEvent.FOREIGN),
        ("null", NotAnEvent.FOREIGN),
        ('{"AlarmName":"cpu"}', NotAnEvent.FOREIGN),
        ('{"eventType":7}', NotAnEvent.FOREIGN),
        ("[" * 100_000, NotAnEvent.FOREIGN),
        ('{"eventType":"Bounce"}', NotAnEvent.BROKEN),
        ('{"eventType":"Bounce","mail":{"messageId":"m"}}', NotAnEvent.BROKEN),
        ('{"eventType":"Complaint","mail":{"messageId":"m"},"complaint":[]}', NotAnEvent.BROKEN),
    ],
)
def test_messages_without_an_event_are_told_apart(text: str, what: NotAnEvent) -> None:
    answer = parse_text(text)
    assert isinstance(answer, Unrecognised)
    assert answer.what is what
    assert answer.sentence.endswith(".")


@pytest.mark.parametrize(
    ("kind", "sub", "fact", "suppress", "giving_up"),
    [
        ("Permanent", "General", Fact.BOUNCED, "bounced", False),
        ("Permanent", "NoEmail", Fact.BOUNCED, "bounced", False),
        ("Permanent", "Suppressed", Fact.BOUNCED, "bounced", False),
        ("Permanent", "SomethingNew", Fact.BOUNCED, "bounced", False),
        ("Permanent", "OnAccountSuppressionList", Fact.PREVENTED, "account_list", False),
        ("Permanent", "OnTenantSuppressionList", Fact.PREVENTED, "account_list", False),
        ("Permanent", "EmailValidationSuppressed", Fact.PREVENTED, "account_list", False),
        ("Transient", "UnsubscribedRecipient", Fact.PREVENTED, "unsubscribed", False),
        ("Transient", "General", Fact.MAYBE_AUTO_REPLY, None, True),
        ("Undetermined", "Undetermined", Fact.MAYBE_AUTO_REPLY, None, True),
        ("Transient", "MailboxFull", Fact.SOFT_BOUNCED, None, True),
        ("Transient", "CustomTimeoutExceeded", Fact.SOFT_BOUNCED, None, True),
        ("Permanent", "CustomTimeoutExceeded", Fact.SOFT_BOUNCED, None, True),
        ("Transient", "MessageTooLarge", Fact.SOFT_BOUNCED, None, False),
        ("Transient", "ContentRejected", Fact.SOFT_BOUNCED, None, False),
        ("Transient", "AttachmentRejected", Fact.SOFT_BOUNCED, None, False),
        ("Temporary", "General", Fact.SOFT_BOUNCED, None, False),
    ],
)
def test_bounce_sub_types_decide_fact_suppression_and_streak(
    kind: str, sub: str, fact: Fact, suppress: str | None, giving_up: bool
) -> None:
    found = bounce(kind, sub)
    assert found.fact is fact
    assert found.suppress == suppress
    assert counts_towards_giving_up(found.reason_code) is giving_up
    assert found.reason
    assert found.reason_code == f"{kind}/{sub}"


def test_bounce_words_carry_the_servers_own_words() -> None:
    found = bounce("Permanent", "NoEmail", diagnosticCode="smtp; 550 5.1.1 no such user")
    assert found.reason == "This address does not exist. It said: 550 5.1.1 no such user"


@pytest.mark.parametrize(
    ("feedback", "sub", "fact", "suppress"),
    [
        ("abuse", None, Fact.COMPLAINED, "complained"),
        ("fraud", None, Fact.COMPLAINED, "complained"),
        ("virus", None, Fact.COMPLAINED, "complained"),
        ("other", None, Fact.COMPLAINED, "complained"),
        (None, None, Fact.COMPLAINED, "complained"),
        ("something-new", None, Fact.COMPLAINED, "complained"),
        ("not-spam", None, Fact.ACCEPTED, None),
        ("auth-failure", None, Fact.ACCEPTED, None),
        ("abuse", "OnAccountSuppressionList", Fact.PREVENTED, "account_list"),
        (None, "OnTenantSuppressionList", Fact.PREVENTED, "account_list"),
    ],
)
def test_complaint_types_decide_fact_and_suppression(
    feedback: str | None, sub: str | None, fact: Fact, suppress: str | None
) -> None:
    details = {
        "complainedRecipients": [{"emailAddress": "ada@example.com"}],
        "complaintFeedbackType": feedback,
        "complaintSubType": sub,
    }
    found = parsed(event("Complaint", details))
    assert (found.fact, found.suppress) == (fact, suppress)


@pytest.mark.parametrize(
    "delay_type",
    [
        "InternalFailure", "General", "MailboxFull", "SpamDetected", "RecipientServerError",
        "IPFailure", "TransientCommunicationFailure", "BYOIPHostNameLookupUnavailable",
        "Undetermined", "SendingDeferral", "SomethingNew",
    ],
)  # fmt: skip
def test_each_delay_type_is_a_delay_with_words(delay_type: str) -> None:
    details = {
        "delayType": delay_type,
        "delayedRecipients": [{"emailAddress": "ada@example.com"}],
        "expirationTime": "2026-03-02T21:00:00.000Z",
    }
    found = parsed(event("DeliveryDelay", details))
    assert found.fact is Fact.DELAYED
    assert found.sub_kind == delay_type
    assert found.delayed_until == datetime(2026, 3, 2, 21, tzinfo=UTC)
    assert str(found.reason).startswith("Not delivered yet, SES goes on trying.")


def test_an_unknown_type_is_kept_under_its_name_and_proves_acceptance() -> None:
    found = parsed(event("Teleported", {"where": "moon"}))
    assert (found.kind, found.fact, found.critical) == ("Teleported", Fact.ACCEPTED, False)


def test_two_different_events_of_an_unknown_type_have_different_keys() -> None:
    one, two = parsed(event("Teleported", {"n": 1})), parsed(event("Teleported", {"n": 2}))
    assert one.key != two.key
    assert parsed(event("Teleported", {"n": 1})).key == one.key


def test_named_addresses_are_parsed_and_compared_as_addresses() -> None:
    found = parsed(event("Send", {}, destination=['"Ada, L." <Ada@Example.COM>']))
    assert found.address == "Ada@Example.COM"
    assert found.destinations == ("ada@example.com",)


def test_the_older_form_of_the_same_bounce_has_the_same_key(material: Path) -> None:
    forms = [parse_text(sample(material, f"django-ses/bounce.{f}")) for f in
             ("eventType", "notificationType")]  # fmt: skip
    keys = [[e.key for e in form] for form in forms if isinstance(form, list)]
    assert keys[0] == keys[1]


def test_tags_are_lists_of_which_the_first_counts() -> None:
    tags = {"bes_install": ["abc", "def"], "bes_recipient": ["7"], "bes_campaign": [],
            "bes_attempt": "no list", "bes_test": [3]}  # fmt: skip
    assert parsed(event("Send", {}, tags=tags)).tags == OurTags("abc", recipient_id=7)


@pytest.mark.parametrize("text", ["", "-1", "1" * 19, "٣", "1.0", "x"])
def test_what_is_no_row_id_counts_as_absent(text: str) -> None:
    tags = {"bes_install": ["abc"], "bes_recipient": [text]}
    assert parsed(event("Send", {}, tags=tags)).tags.recipient_id is None


@pytest.mark.parametrize(
    "text",
    ["2026-03-02T09:00:00.5Z", "2026-03-02T11:00:00.500+02:00", "2026-03-02T09:00:00.5 +0000"],
)
def test_times_are_read_in_every_shape_seen_in_the_wild(text: str) -> None:
    found = parsed(event("Send", {}, timestamp=text))
    assert found.happened_at == datetime(2026, 3, 2, 9, 0, 0, 500000, UTC)


def test_an_unreadable_time_counts_as_absent() -> None:
    assert parsed(event("Send", {}, timestamp="0001-01-01T00:00:00+14:00")).happened_at is None


def test_texts_that_no_database_stores_are_cleaned() -> None:
    found = bounce("Permanent", "General", diagnosticCode="a\0b\ud800c")
    assert str(found.reason).endswith("It said: ab?c")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(kind=st.sampled_from(EventKind), details=_json, mail=_json, destination=_json, tags=_json)
def test_no_shape_of_fields_raises(
    kind: EventKind, details: Any, mail: Any, destination: Any, tags: Any
) -> None:
    payload = event(kind, details, destination=destination, tags=tags, timestamp=mail)
    answer = parse_event(payload)
    assert isinstance(answer, list | Unrecognised)
    assert isinstance(parse_event({**payload, "mail": mail}), list | Unrecognised)


@given(st.text())
def test_packing_gives_back_the_same_text(text: str) -> None:
    assert unpack(pack(text)) == text


def test_the_dictionary_makes_ordinary_events_small(material: Path) -> None:
    text = json.dumps(json.loads(sample(material, "aws-docs-event-publishing/delivery-record")))
    assert len(pack(text)) < len(text) * 0.35


def test_ordinary_events_are_kept_without_the_mails_headers(material: Path) -> None:
    text = sample(material, "aws-docs-event-publishing/delivery-record")
    short = without_repeats(json.loads(text))
    assert '"headers"' not in short
    assert parse_text(short) == parse_text(text)
    assert without_repeats(json.loads(short)) == short


@pytest.mark.parametrize("data", [b"", b"\x63abc", b"\x01\xff\xff\xff"])
def test_bytes_that_are_no_stored_event_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no stored event"):
        unpack(data)
