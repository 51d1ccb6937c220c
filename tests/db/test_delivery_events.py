"""Every SES event counts once, in any order, for the row it belongs to and no other."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from database import writing
from domain.statuses import EventStatus, RecipientStatus
from models import CampaignCounters, Event, PastAttempt, Recipient, Suppression, TestMail
from services.delivery_events import apply_parked, apply_stored, count_unapplied, store, store_dead
from services.ledger import read_counters, return_to_pending
from services.recount import recount
from tests.factories import add_campaign, add_sending
from tests.ses_messages import MailEvents, incoming, mail_events


@pytest.fixture
def row(session, now):
    """A submitted recipient of a fresh campaign."""
    with writing(session):
        campaign = add_campaign(session, now)
        (recipient,) = add_sending(session, campaign, ["ada@example.com"], now)
    return recipient


@pytest.fixture
def mail(session, row, now):
    """The events of that recipient's mail."""
    return mail_events(session, row, now)


@pytest.fixture
def take(session, now):
    """Store and apply events, as a door does; gives how many were new."""

    def take(*texts, **options):
        with writing(session):
            return store(session, incoming(texts, **options), now).new

    return take


def fresh(session, row):
    session.expire_all()
    return session.get(Recipient, row.id)


def suppressions(session):
    rows = session.execute(select(Suppression.address, Suppression.reason)).all()
    return {address: reason.value for address, reason in rows}


def statuses(session):
    return [status.value for status in session.scalars(select(Event.status))]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("send", "sent"),
        ("delivery", "delivered"),
        ("delay", "delayed"),
        ("bounce", "bounced"),
        ("complaint", "complained"),
        ("reject", "rejected"),
        ("rendering_failure", "failed"),
        ("opened", "sent"),
        ("clicked", "sent"),
        ("subscription", "sent"),
    ],
)
def test_each_type_of_event_by_itself_settles_a_row(session, row, mail, take, event, status):
    assert take(getattr(mail, event)()) == 1
    after = fresh(session, row)
    assert (after.status.value, after.message_id) == (status, mail.message_id)
    assert after.sent_at == mail.accepted_at
    assert read_counters(session, row.campaign_id) == recount(session, row.campaign_id)


def test_bounce_after_delivery_marks_bounced_with_words(session, row, mail, take):
    take(mail.send(), mail.delivery())
    take(mail.bounce("Permanent/NoEmail"))
    after = fresh(session, row)
    assert after.status is RecipientStatus.BOUNCED
    assert after.reason_code == "Permanent/NoEmail"
    assert after.reason == "This address does not exist. Status 5.1.1."
    assert suppressions(session) == {"ada@example.com": "bounced"}


def test_an_automatic_reply_changes_nothing_in_either_order(session, row, mail, take):
    take(mail.bounce("Transient/General"))
    assert fresh(session, row).status is RecipientStatus.SOFT_BOUNCED
    take(mail.delivery())
    after = fresh(session, row)
    assert (after.status, after.bounced_at) == (RecipientStatus.DELIVERED, None)
    assert read_counters(session, row.campaign_id)["reached_soft_bounced"] == 0


def test_an_echo_of_a_suppression_list_is_no_new_bounce(session, row, mail, take):
    take(mail.bounce("Permanent/OnAccountSuppressionList"))
    counters = read_counters(session, row.campaign_id)
    assert (counters["bounced"], counters["reached_bounced"]) == (1, 0)
    assert suppressions(session) == {"ada@example.com": "account_list"}


def test_not_spam_is_no_complaint(session, row, mail, take):
    take(mail.delivery(), mail.complaint("not-spam"))
    assert fresh(session, row).status is RecipientStatus.DELIVERED
    assert suppressions(session) == {}


def test_simulator_addresses_are_never_suppressed(session, now, take):
    with writing(session):
        campaign = add_campaign(session, now)
        (row,) = add_sending(session, campaign, ["bounce+x@simulator.amazonses.com"], now)
    take(mail_events(session, row, now).bounce())
    assert fresh(session, row).status is RecipientStatus.BOUNCED
    assert suppressions(session) == {}


def test_the_rows_address_is_suppressed_not_the_one_it_forwards_to(session, row, mail, take):
    take(mail.bounce(address="someone-else@example.net"))
    assert suppressions(session) == {"ada@example.com": "bounced"}


def test_an_unsubscribe_through_ses_counts_and_suppresses(session, row, mail, take):
    take(mail.subscription(left=False))
    assert read_counters(session, row.campaign_id)["unsubscribed"] == 0
    take(mail.subscription(after=500))
    assert read_counters(session, row.campaign_id)["unsubscribed"] == 1
    assert suppressions(session) == {"ada@example.com": "unsubscribed"}


def test_a_delay_keeps_the_time_when_ses_gives_up(session, row, mail, take, now):
    take(mail.delay(after=60), mail.delay(after=600))
    assert fresh(session, row).delayed_until == now + timedelta(seconds=600 + 43_200)


def test_the_same_event_through_both_doors_counts_once(session, row, mail, take):
    assert take(mail.opened(), door="http") == 1
    assert take(mail.opened(), mail.opened(), door="sqs") == 0
    assert fresh(session, row).opens == 1


def test_people_and_machines_are_counted_apart(session, row, mail, take):
    take(mail.delivery(), mail.opened(after=10, bot="Likely"), mail.opened(after=300))
    take(mail.clicked(after=310), mail.clicked("https://example.com/b", after=20, bot="Likely"))
    after = fresh(session, row)
    assert (after.opens, after.machine_opens, after.clicks, after.machine_clicks) == (1, 1, 1, 1)
    counters = read_counters(session, row.campaign_id)
    assert [counters[n] for n in ("opened", "opened_machine", "clicked", "clicked_machine")] == [
        1, 1, 1, 1]  # fmt: skip
    assert counters == recount(session, row.campaign_id)


def test_a_late_delivery_takes_back_an_open_that_came_too_soon(session, row, mail, take):
    take(mail.opened(after=3, bot=None))
    assert read_counters(session, row.campaign_id)["opened"] == 1
    take(mail.delivery(after=2))
    after = fresh(session, row)
    assert (after.opens, after.opened_at, after.machine_opens) == (0, None, 1)
    assert read_counters(session, row.campaign_id)["opened"] == 0


def _all_state(session, row):
    session.expire_all()
    recipient = session.get(Recipient, row.id)
    skipped = {"updated_at"}
    return (
        {c.name: getattr(recipient, c.name) for c in Recipient.__table__.columns
         if c.name not in skipped},
        read_counters(session, row.campaign_id),
        suppressions(session),
    )  # fmt: skip


def _start_again(session, row):
    """The row as it was before any event."""
    with writing(session):
        for table in (Event, Suppression):
            session.execute(delete(table))
        blank = {
            c.name: None for c in Recipient.__table__.columns
            if c.name.endswith("_at") and c.name not in ("updated_at", "submitted_at")
        }  # fmt: skip
        zero = dict.fromkeys(("opens", "machine_opens", "clicks", "machine_clicks"), 0)
        session.execute(
            update(Recipient).values(
                status="sending", facts=1, message_id=None, reason=None, reason_code=None,
                delayed_until=None, **blank, **zero,
            )
        )  # fmt: skip
        names = [c.name for c in CampaignCounters.__table__.columns if c.name != "campaign_id"]
        start = {**dict.fromkeys(names, 0), "sending": 1, "total": 1}
        session.execute(update(CampaignCounters).values(start))


def _everything(mail):
    return [
        mail.send(), mail.delivery(), mail.delay(), mail.delay(after=120, kind="General"),
        mail.bounce(), mail.bounce("Permanent/NoEmail", after=7),
        mail.bounce("Transient/General"), mail.bounce("Transient/MailboxFull"),
        mail.bounce("Permanent/OnAccountSuppressionList"),
        mail.complaint(), mail.complaint("not-spam"), mail.reject(), mail.rendering_failure(),
        mail.opened(after=3, bot=None), mail.opened(), mail.opened(bot="Likely", after=12),
        *(mail.clicked(f"https://example.com/{n}", after=9 + n, bot=None) for n in range(3)),
        mail.subscription(), mail.event("Teleported", {"to": "moon"}),
    ]  # fmt: skip


@settings(
    max_examples=15, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(data=st.data())
def test_any_order_and_repetition_of_one_mails_events_ends_the_same(session, row, mail, now, data):
    chosen = data.draw(st.lists(st.sampled_from(_everything(mail)), min_size=2, unique=True))
    shuffled = data.draw(st.permutations(chosen + data.draw(st.lists(st.sampled_from(chosen)))))
    cuts = data.draw(st.lists(st.integers(1, 5), min_size=len(shuffled), max_size=len(shuffled)))
    ends = []
    for texts in (chosen, shuffled):
        _start_again(session, row)
        left = list(texts)
        for size in cuts:
            batch, left = left[:size], left[size:]
            with writing(session):
                store(session, incoming(batch), now)
        ends.append(_all_state(session, row))
        assert read_counters(session, row.campaign_id) == recount(session, row.campaign_id)
    assert ends[0] == ends[1]


def test_every_order_of_the_common_events_ends_the_same(session, row, mail, now):
    texts = [mail.send(), mail.delivery(), mail.bounce("Transient/General"), mail.opened()]
    ends = []
    for order in permutations(texts):
        _start_again(session, row)
        for text in order:
            with writing(session):
                store(session, incoming([text]), now)
        ends.append(_all_state(session, row))
    assert all(end == ends[0] for end in ends)


def test_an_event_of_another_address_does_not_touch_the_row(session, row, mail, take):
    text = mail.event("Send", destination=["bob@example.com"])
    take(text)
    assert fresh(session, row).status is RecipientStatus.SENDING
    assert statuses(session) == ["ignored"]


def test_destinations_are_compared_as_addresses(session, row, mail, take):
    take(mail.event("Send", destination=["Ada L. <ADA@Example.com>"]))
    assert fresh(session, row).status is RecipientStatus.SENT


def test_another_installations_event_touches_nothing(session, row, now, take):
    take(MailEvents("another-install", row, now).bounce())
    assert fresh(session, row).status is RecipientStatus.SENDING
    assert suppressions(session) == {}
    assert statuses(session) == ["ignored"]


def test_an_untagged_event_finds_its_row_by_message_id(session, row, mail, take, now):
    take(mail.send())
    legacy = MailEvents(None, row, now, message_id=mail.message_id)
    text = legacy.bounce().replace('"eventType"', '"notificationType"')
    assert take(text) == 1
    assert fresh(session, row).status is RecipientStatus.BOUNCED


def test_an_early_untagged_event_waits_for_its_send(session, row, mail, take, now):
    legacy = MailEvents(None, row, now, message_id="m-early")
    take(legacy.delivery())
    assert statuses(session) == ["parked"]
    assert fresh(session, row).status is RecipientStatus.SENDING
    with writing(session):
        session.execute(update(Recipient).values(message_id="m-early"))
        assert apply_parked(session, ["m-early"], now) == 1
    assert fresh(session, row).status is RecipientStatus.DELIVERED
    assert statuses(session) == ["applied"]


def test_an_unknown_mail_is_parked_but_its_bounce_suppresses_at_once(session, row, now, take):
    take(MailEvents(None, row, now, message_id="m-unknown").bounce(address="Eve <EVE@example.org>"))
    assert statuses(session) == ["parked"]
    assert suppressions(session) == {"eve@example.org": "bounced"}


def test_a_late_event_of_an_older_attempt_counts_one_duplicate(session, row, mail, take, now):
    old = row.attempt_id
    with writing(session):
        return_to_pending(session, [(row.id, old)], "send again", now, was_submitted=True)
        session.execute(update(Recipient).values(status="sending", facts=1, attempt_id="f" * 32))
    take(mail.delivery())
    take(mail.opened(), mail.send())
    after = fresh(session, row)
    assert (after.status, after.duplicates) == (RecipientStatus.SENDING, 1)
    assert read_counters(session, row.campaign_id)["duplicates"] == 1
    assert session.scalar(select(PastAttempt.facts)) & 256
    assert statuses(session) == ["applied"] * 3


def test_opens_of_a_replaced_attempt_do_not_count_for_the_next(session, row, mail, take, now):
    old = row.attempt_id
    take(mail.send(), mail.opened())
    assert session.scalars(select(Event.attempt_id)).all() == [None, None]
    with writing(session):
        return_to_pending(session, [(row.id, old)], "send again", now, was_submitted=True)
        session.execute(update(Recipient).values(status="sending", facts=1, attempt_id="f" * 32))
    fresh(session, row)
    again = mail_events(session, row, now, message_id="m-again")
    take(again.opened(after=400), again.clicked(after=410))
    after = fresh(session, row)
    assert (after.opens, after.clicks) == (1, 1)
    told = session.execute(select(Event.kind, Event.attempt_id)).all()
    assert sorted(told, key=str) == [
        ("Click", None), ("Open", old), ("Open", None), ("Send", old),
    ]  # fmt: skip


def test_a_bounce_of_an_older_attempt_still_suppresses(session, row, mail, take, now):
    with writing(session):
        return_to_pending(session, [(row.id, row.attempt_id)], "again", now, was_submitted=True)
    take(mail.bounce())
    assert suppressions(session) == {"ada@example.com": "bounced"}


def test_a_doubted_attempt_that_was_sent_is_taken_back_while_the_row_waits(
    session, row, mail, take, now
):
    attempt = row.attempt_id
    with writing(session):
        session.execute(update(Recipient).values(status="in_doubt", facts=3))
        session.execute(update(CampaignCounters).values(sending=0, in_doubt=1))
        return_to_pending(session, [(row.id, attempt)], "silence", now, was_submitted=True)
    take(mail.send(), mail.delivery())
    after = fresh(session, row)
    assert (after.status, after.attempt_id) == (RecipientStatus.DELIVERED, attempt)
    assert after.duplicates == 0
    assert session.scalar(select(PastAttempt.attempt_id)) is None
    assert read_counters(session, row.campaign_id) == recount(session, row.campaign_id)


def test_a_retried_rejection_is_not_taken_back(session, row, mail, take, now):
    take(mail.reject())
    with writing(session):
        return_to_pending(session, [(row.id, row.attempt_id)], "retry", now, was_submitted=True)
    take(mail.send())
    assert fresh(session, row).status is RecipientStatus.PENDING


def test_events_of_test_mails_show_on_the_test_mail_alone(session, row, mail, take, now):
    with writing(session):
        session.add(
            TestMail(campaign_id=row.campaign_id, email="me@example.com", attempt_id="t" * 32,
                     status="sent", created_at=now)
        )  # fmt: skip
    install = mail.tags["bes_install"]
    tags = {"bes_install": install, "bes_test": ["t" * 32]}
    details = {"timestamp": mail.at(2), "recipients": ["me@example.com"]}
    destination = ["me@example.com"]
    take(mail.event("Delivery", details, tags=tags, destination=destination))
    take(mail.event("Send", tags=tags, destination=destination))
    assert session.scalar(select(TestMail.status)) == "delivered"
    assert fresh(session, row).status is RecipientStatus.SENDING
    assert set(statuses(session)) == {"ignored"}


def test_a_deferred_event_is_stored_and_applied_later(session, row, mail, take, now):
    take(mail.delivery(), mail.opened(), at_once=False)
    assert fresh(session, row).status is RecipientStatus.SENDING
    assert count_unapplied(session) == 2
    with writing(session):
        assert apply_stored(session, session.scalars(select(Event.key)).all(), now) == 2
    after = fresh(session, row)
    assert (after.status, after.opens) == (RecipientStatus.DELIVERED, 1)
    assert count_unapplied(session) == 0


def test_a_dead_event_succeeds_when_tried_again(session, row, mail, now):
    with writing(session):
        store_dead(session, incoming([mail.bounce()])[0], "KeyError: 'x'", now)
    assert statuses(session) == ["dead"]
    with writing(session):
        assert apply_stored(session, session.scalars(select(Event.key)).all(), now) == 1
    assert fresh(session, row).status is RecipientStatus.BOUNCED


def test_a_stored_event_that_cannot_be_read_any_more_becomes_dead(session, row, mail, take, now):
    take(mail.delivery(), at_once=False)
    with writing(session):
        session.execute(update(Event).values(raw=b"\x01garbage"))
        apply_stored(session, session.scalars(select(Event.key)).all(), now)
    assert statuses(session) == ["dead"]


def test_several_people_of_one_bounce_are_separate_events(session, now, take):
    with writing(session):
        campaign = add_campaign(session, now)
        people = add_sending(session, campaign, ["ada@example.com", "bob@example.com"], now)
    texts = []
    for person in people:
        mail = mail_events(session, person, now)
        text = json.loads(mail.bounce())
        text["mail"]["destination"] = ["ada@example.com", "bob@example.com"]
        text["bounce"]["bouncedRecipients"] = [
            {"emailAddress": "ada@example.com"}, {"emailAddress": "bob@example.com"}]  # fmt: skip
        texts.append(json.dumps(text))
    take(*texts)
    assert [fresh(session, p).status.value for p in people] == ["bounced", "bounced"]


def test_events_of_many_rows_in_one_batch_reach_each_its_own(session, now, take):
    with writing(session):
        campaign = add_campaign(session, now)
        rows = add_sending(session, campaign, [f"p{n}@example.com" for n in range(40)], now)
    texts = []
    for number, row in enumerate(rows):
        mail = mail_events(session, row, now)
        texts += [mail.send(), mail.bounce() if number % 4 == 0 else mail.delivery()]
    random.Random(7).shuffle(texts)
    assert take(*texts) == 80
    counters = read_counters(session, campaign.id)
    assert (counters["bounced"], counters["delivered"]) == (10, 30)
    assert counters == recount(session, campaign.id)
    assert set(statuses(session)) == {EventStatus.APPLIED.value}
