"""The one place that changes states: attempts, order, counters, and going back to pending."""

from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select

from database import writing
from domain.statuses import Fact, RecipientStatus
from models import PastAttempt, Recipient
from services.ledger import (
    FactChange,
    apply_changes,
    counter_names,
    read_counters,
    return_to_pending,
)
from services.recount import recount
from tests.factories import add_campaign, add_recipients, add_sending


@pytest.fixture
def row(session, now):
    """A submitted recipient of a fresh campaign."""
    with writing(session):
        campaign = add_campaign(session, now)
        (recipient,) = add_sending(session, campaign, ["ada@example.com"], now)
    return recipient


def change(row, fact, at, **values):
    return FactChange(row.id, row.attempt_id, fact, at, **values)


def snapshot(session, row):
    session.expire_all()
    fresh = session.get(Recipient, row.id)
    names = [c.name for c in Recipient.__table__.columns if c.name != "updated_at"]
    return {name: getattr(fresh, name) for name in names}


def apply(session, changes, now):
    with writing(session):
        return apply_changes(session, changes, now)


def test_an_accepted_mail_becomes_sent_with_its_message_id(session, row, now):
    apply(session, [change(row, Fact.ACCEPTED, now, message_id="m-1")], now)
    after = snapshot(session, row)
    assert (after["status"], after["message_id"], after["sent_at"]) == ("sent", "m-1", now)
    assert after["lease_until"] is None


def test_counters_equal_a_recount_after_every_change(session, row, now):
    steps = [Fact.ACCEPTED, Fact.DELAYED, Fact.MAYBE_AUTO_REPLY, Fact.DELIVERED, Fact.COMPLAINED]
    for fact in steps:
        apply(session, [change(row, fact, now)], now)
        assert read_counters(session, row.campaign_id) == recount(session, row.campaign_id)
    counters = read_counters(session, row.campaign_id)
    assert (counters["complained"], counters["reached_delivered"]) == (1, 1)
    assert counters["reached_soft_bounced"] == 0
    assert sum(counters[str(status)] for status in RecipientStatus) == counters["total"]


def test_a_change_of_an_older_attempt_is_stale_and_changes_nothing(session, row, now):
    before = snapshot(session, row)
    old = FactChange(row.id, "f" * 32, Fact.BOUNCED, now)
    outcome = apply(session, [old], now)
    assert outcome.stale == [old]
    assert snapshot(session, row) == before


def test_a_change_of_a_deleted_row_is_stale(session, row, now):
    gone = FactChange(row.id + 1000, "f" * 32, Fact.BOUNCED, now)
    assert apply(session, [gone], now).stale == [gone]


def test_every_order_of_the_same_events_ends_the_same(session, now):
    minute = timedelta(minutes=1)
    facts: list[tuple[Fact, int, dict[str, Any]]] = [
        (Fact.ACCEPTED, 0, {}),
        (Fact.MAYBE_AUTO_REPLY, 5, {"reason_code": "general", "reason": "soft, general"}),
        (Fact.SOFT_BOUNCED, 8, {"reason_code": "full", "reason": "mailbox full"}),
        (Fact.DELIVERED, 2, {}),
        (Fact.DELAYED, 1, {"reason_code": "delay", "latest": {"delayed_until": now + minute}}),
    ]
    orders = list(permutations(facts))
    with writing(session):
        emails = [f"p{number}@example.com" for number in range(len(orders))]
        rows = add_sending(session, add_campaign(session, now), emails, now)
    for step in zip(*orders, strict=True):  # one row for each order
        session.scalars(select(Recipient)).all()
        changes = [
            change(row, fact, now + minutes * minute, **values)
            for row, (fact, minutes, values) in zip(rows, step, strict=True)
        ]
        apply(session, changes, now)
    identity = ("id", "email", "address", "address_hash", "attempt_id")
    ends = [{k: v for k, v in snapshot(session, row).items() if k not in identity} for row in rows]
    assert all(end == ends[0] for end in ends)
    assert ends[0]["status"] is RecipientStatus.SOFT_BOUNCED
    assert ends[0]["reason"] == "mailbox full"


def test_a_repeated_event_changes_nothing_more(session, row, now):
    bounce = change(row, Fact.BOUNCED, now, reason_code="general", reason="no such mailbox")
    apply(session, [bounce], now)
    first = snapshot(session, row)
    outcome = apply(session, [bounce, bounce], now + timedelta(hours=1))
    assert snapshot(session, row) == first
    assert outcome.transitions[0].status_before == outcome.transitions[0].status_after


def test_a_delivery_takes_back_the_reason_of_an_out_of_office_reply(session, row, now):
    soft = change(row, Fact.MAYBE_AUTO_REPLY, now, reason_code="general", reason="out of office")
    apply(session, [soft], now)
    assert snapshot(session, row)["bounced_at"] == now
    apply(session, [change(row, Fact.DELIVERED, now)], now)
    after = snapshot(session, row)
    assert (after["status"], after["bounced_at"], after["reason"]) == ("delivered", None, None)


def test_opens_keep_the_first_and_the_last_time_and_count(session, row, now):
    for hours in (5, 1, 3):
        at = now + timedelta(hours=hours)
        opened = change(
            row, Fact(0), at, earliest={"opened_at": at}, latest={"last_opened_at": at},
            increments={"opens": 1},
        )  # fmt: skip
        apply(session, [opened], now)
    after = snapshot(session, row)
    assert after["opened_at"] == now + timedelta(hours=1)
    assert after["last_opened_at"] == now + timedelta(hours=5)
    assert after["opens"] == 3
    assert read_counters(session, row.campaign_id)["opened"] == 1


def test_going_back_to_pending_keeps_the_old_attempt_where_its_events_find_it(session, row, now):
    apply(session, [change(row, Fact.DOUBTED, now)], now)
    attempt = row.attempt_id
    with writing(session):
        changed = return_to_pending(
            session, [(row.id, attempt)], "presumed unsent", now, was_submitted=True
        )
    assert changed == [row.id]
    after = snapshot(session, row)
    assert (after["status"], after["facts"], after["attempt_id"]) == ("pending", 0, None)
    past = session.scalars(select(PastAttempt)).one()
    assert (past.attempt_id, past.facts) == (attempt, int(Fact.CLAIMED | Fact.DOUBTED))
    assert read_counters(session, row.campaign_id) == recount(session, row.campaign_id)


def test_a_row_that_has_a_newer_attempt_does_not_go_back(session, row, now):
    with writing(session):
        changed = return_to_pending(session, [(row.id, "0" * 32)], "x", now, was_submitted=False)
    assert changed == []
    assert snapshot(session, row)["status"] is RecipientStatus.SENDING


def test_many_rows_of_two_campaigns_change_in_one_call(session, now):
    with writing(session):
        rows = [
            row
            for campaign in (add_campaign(session, now), add_campaign(session, now))
            for row in add_sending(
                session, campaign, [f"p{n}@example.com" for n in range(600)], now
            )
        ]
        campaign_ids = {row.campaign_id for row in rows}
    session.scalars(select(Recipient)).all()  # all at once, not one after another
    apply(session, [change(row, Fact.ACCEPTED, now, message_id=f"m{row.id}") for row in rows], now)
    for campaign_id in campaign_ids:
        counters = read_counters(session, campaign_id)
        assert (counters["sent"], counters["sending"]) == (600, 0)
        assert counters == recount(session, campaign_id)


def test_every_counter_is_recounted(session, now):
    with writing(session):
        campaign = add_campaign(session, now)
        for fact in Fact:
            add_recipients(session, campaign, [f"f{int(fact)}@example.com"], now, facts=fact,
                           duplicates=1)  # fmt: skip
    counted = recount(session, campaign.id)
    assert list(counted) == counter_names()
    assert counted == read_counters(session, campaign.id)
    assert counted["total"] == len(Fact) == counted["duplicates"]
