"""What waits, what is over, what is derived afresh, and what a person tries again."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from itertools import permutations

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DataError

from database import writing
from domain.statuses import EventStatus, RecipientStatus
from doors.event_applier import EventApplier
from models import DeadLetter, Event, Recipient, SoftBounceStreak, Suppression
from services import delivery_events, event_effects, soft_bounces
from services.dead_letters import MOST_KEPT, keep_dead_letter, try_again
from services.delivery_events import store
from services.event_replay import has_purged_events, replay_step
from services.ledger import read_counters
from services.recount import recount
from tests.factories import add_campaign, add_sending
from tests.ses_messages import MailEvents, incoming, mail_events


@pytest.fixture
def row(session, now):
    with writing(session):
        (recipient,) = add_sending(session, add_campaign(session, now), ["ada@example.com"], now)
    return recipient


@pytest.fixture
def mail(session, row, now):
    return mail_events(session, row, now)


@pytest.fixture
def take(session, now):
    def take(*texts, at=now, **options):
        with writing(session):
            return store(session, incoming(texts, **options), at).new

    return take


@pytest.fixture
def clock(now):
    """A clock that stands at `now` and can be moved."""
    return [now]


@pytest.fixture
def applier(settings, sessions, clock):
    return EventApplier(settings, sessions, clock=lambda: clock[0])


def event_status(session):
    session.rollback()
    return session.scalars(select(Event.status)).one()


def test_the_applier_works_off_what_was_deferred(session, row, mail, take, applier):
    take(mail.send(), mail.delivery(), mail.opened(), at_once=False)
    assert applier.apply_waiting() == 3
    assert applier.apply_waiting() == 0
    session.rollback()
    assert session.get(Recipient, row.id).status is RecipientStatus.DELIVERED
    assert read_counters(session, row.campaign_id) == recount(session, row.campaign_id)


def test_the_applier_runs_until_it_is_told_to_stop(session, mail, take, applier):
    take(mail.delivery(), at_once=False)
    stop = threading.Event()
    thread = threading.Thread(target=applier.run, args=(stop,))
    thread.start()
    for _ in range(6000):
        if event_status(session) is EventStatus.APPLIED:
            break
        stop.wait(0.01)
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert event_status(session) is EventStatus.APPLIED


def test_one_event_that_fails_becomes_dead_and_the_others_go_on(
    session, row, mail, take, applier, monkeypatch
):
    take(mail.send(), mail.delivery(), mail.event("Teleported", {}), at_once=False)
    real = event_effects.apply_matched

    def fail_on_unknown(session, matched, rows, now):
        if any(item.event.kind == "Teleported" for item in matched):
            raise KeyError("moon")
        real(session, matched, rows, now)

    with monkeypatch.context() as patched:
        patched.setattr(delivery_events, "apply_matched", fail_on_unknown)
        applier.apply_waiting()
    session.rollback()
    found = dict(session.execute(select(Event.kind, Event.status)).all())
    assert found == {
        "Send": EventStatus.APPLIED,
        "Delivery": EventStatus.APPLIED,
        "Teleported": EventStatus.DEAD,
    }
    assert session.scalars(select(Event.verdict).where(Event.kind == "Teleported")).one() == (
        "KeyError: 'moon'"
    )


def test_an_event_that_the_database_refuses_does_not_hold_up_the_others(
    session, row, mail, take, applier, monkeypatch
):
    take(mail.send(), mail.bounce(), at_once=False)

    def refuse(*arguments):
        raise DataError("INSERT", {}, Exception("value too long"))

    with monkeypatch.context() as patched:
        patched.setattr(event_effects, "suppress", refuse)
        applier.apply_waiting()
    session.rollback()
    found = dict(session.execute(select(Event.kind, Event.status)).all())
    assert found == {"Send": EventStatus.APPLIED, "Bounce": EventStatus.DEAD}


def test_a_parked_event_is_matched_again_when_its_row_has_the_id(session, row, take, applier, now):
    take(MailEvents(None, row, now, message_id="m-late").delivery())
    assert applier.match_parked() == 0
    with writing(session):
        session.execute(update(Recipient).values(message_id="m-late"))
    assert applier.match_parked() == 1
    assert event_status(session) is EventStatus.APPLIED


def test_a_parked_event_expires_after_a_day(session, row, take, applier, clock, now):
    take(MailEvents(None, row, now, message_id="m-unknown").delivery())
    clock[0] = now + timedelta(hours=23)
    applier.tidy()
    assert event_status(session) is EventStatus.PARKED
    clock[0] = now + timedelta(hours=25)
    applier.tidy()
    assert event_status(session) is EventStatus.EXPIRED


def test_raw_events_are_purged_by_age_and_critical_ones_later(
    session, mail, take, applier, clock, now
):
    take(mail.delivery(), mail.bounce())
    kept = {}
    for days in (29, 31, 399, 401):
        clock[0] = now + timedelta(days=days)
        applier.tidy()
        session.rollback()
        kept[days] = sorted(session.scalars(select(Event.kind).where(Event.raw.is_not(None))))
    assert kept == {29: ["Bounce", "Delivery"], 31: ["Bounce"], 399: ["Bounce"], 401: []}
    assert sorted(session.scalars(select(Event.sub_kind).where(Event.kind == "Bounce"))) == [
        "Permanent/General"
    ]


def test_what_still_waits_is_never_purged(session, mail, take, applier, clock, now):
    take(mail.delivery(), at_once=False)
    clock[0] = now + timedelta(days=500)
    applier.tidy()
    session.rollback()
    assert session.scalars(select(Event.raw)).one() is not None


def _replay(session, campaign_id, now, **options):
    last = changed = 0
    while True:
        with writing(session):
            step = replay_step(session, campaign_id, last, now, **options)
        if step.last_id is None:
            return changed
        last, changed = step.last_id, changed + step.changed


def _ledger(session):
    session.rollback()
    columns = [c for c in Recipient.__table__.columns if c.name != "updated_at"]
    return [tuple(row) for row in session.execute(select(*columns).order_by(Recipient.id))]


@pytest.fixture
def mixed(session, now, take):
    """A campaign with every kind of outcome."""
    with writing(session):
        campaign = add_campaign(session, now)
        emails = [f"p{n}@example.com" for n in range(60)]
        rows = add_sending(session, campaign, emails, now)
    for number, row in enumerate(rows):
        mail = mail_events(session, row, now)
        outcomes = [
            [mail.delivery(), mail.opened(), mail.clicked(), mail.complaint()],
            [mail.bounce()],
            [mail.delay(), mail.bounce("Transient/MailboxFull", after=900)],
            [mail.delivery(), mail.bounce("Transient/General")],
            [mail.reject()],
            [mail.subscription(), mail.delivery()],
        ]
        take(mail.send(), *outcomes[number % 6])
    return campaign


@pytest.mark.parametrize("raise_only", [False, True])
def test_a_replay_gives_the_identical_state(session, mixed, now, raise_only):
    before, counters = _ledger(session), read_counters(session, mixed.id)
    assert _replay(session, mixed.id, now, raise_only=raise_only) == 0
    assert _ledger(session) == before
    assert read_counters(session, mixed.id) == counters == recount(session, mixed.id)


def test_a_replay_mends_states_that_were_derived_falsely(session, mixed, now):
    before = _ledger(session)
    with writing(session):
        session.execute(
            update(Recipient)
            .where(Recipient.status == RecipientStatus.BOUNCED)
            .values(facts=Recipient.facts - 2048 + 8192, complained_at=now)
        )
    assert _replay(session, mixed.id, now, raise_only=False) == 10
    assert _ledger(session) == before


def test_a_replay_that_only_raises_takes_nothing_back(session, mixed, now):
    with writing(session):
        session.execute(
            update(Recipient)
            .where(Recipient.status == RecipientStatus.DELIVERED)
            .values(facts=Recipient.facts.bitwise_or(8192))
        )
    _replay(session, mixed.id, now, raise_only=True)
    session.rollback()
    kept = session.scalars(select(Recipient).where(Recipient.facts.bitwise_and(8192) != 0)).all()
    assert {row.status for row in kept} == {RecipientStatus.COMPLAINED}
    assert len(kept) == 30


def test_purged_events_are_noticed_before_a_replay(session, mixed, now):
    assert not has_purged_events(session, mixed.id)
    with writing(session):
        key = session.scalars(select(Event.key).limit(1)).one()
        session.execute(update(Event).where(Event.key == key).values(raw=None))
    assert has_purged_events(session, mixed.id)


def test_a_dead_letter_is_kept_once_and_succeeds_when_its_cause_is_gone(session, row, mail, now):
    with writing(session):
        keep_dead_letter(session, "sqs", mail.bounce(), "a bug", now)
        keep_dead_letter(session, "sqs", mail.bounce(), "a bug", now)
    letter = session.scalars(select(DeadLetter)).one()
    with writing(session):
        assert try_again(session, letter.id, now) is None
    assert session.scalars(select(DeadLetter)).all() == []
    assert session.get(Recipient, row.id).status is RecipientStatus.BOUNCED


def test_a_dead_letter_that_still_cannot_be_read_says_why(session, now):
    text = json.dumps({"eventType": "Bounce", "mail": {"messageId": "m\0"}}) + "\0"
    with writing(session):
        keep_dead_letter(session, "http", text, "first", now)
    letter = session.scalars(select(DeadLetter)).one()
    with writing(session):
        reason = try_again(session, letter.id, now)
    assert reason == "The Bounce event names no recipient."
    assert (letter.tries, letter.reason) == (2, reason)


def test_the_dead_letter_list_is_bounded(session, now):
    with writing(session):
        for number in range(MOST_KEPT + 5):
            keep_dead_letter(session, "http", f"letter {number}", "why", now)
    bodies = session.scalars(select(DeadLetter.body).order_by(DeadLetter.id)).all()
    assert (len(bodies), bodies[-1]) == (MOST_KEPT, f"letter {MOST_KEPT + 4}")


class TestSoftBouncesInARow:
    """Three campaigns in a row without a delivery end in a suppression."""

    @pytest.fixture
    def bounce(self, session, now, take):
        """Another campaign to the same address, with these outcomes, `days` later."""

        def bounce(*codes, days=0.0, delivered=None):
            at = now + timedelta(days=days)
            with writing(session):
                campaign = add_campaign(session, at)
                (row,) = add_sending(session, campaign, ["ada@example.com"], at)
            mail = mail_events(session, row, at)
            for code in codes:
                take(mail.bounce(code))
            if delivered is not None:
                take(mail.delivery(after=delivered))
            return mail

        return bounce

    def suppressed(self, session):
        session.rollback()
        return [r.value for r in session.scalars(select(Suppression.reason))]

    def test_three_in_a_row_suppress(self, session, bounce):
        bounce("Transient/MailboxFull")
        bounce("Transient/General", days=1)
        assert self.suppressed(session) == []
        bounce("Undetermined/Undetermined", days=2)
        assert self.suppressed(session) == ["soft_bounces"]

    def test_the_same_campaign_counts_once(self, session, bounce, take):
        mail = bounce("Transient/MailboxFull")
        take(mail.bounce("Transient/MailboxFull", after=50), mail.bounce("Transient/General"))
        assert self.suppressed(session) == []

    @pytest.mark.parametrize(
        "code", ["Transient/MessageTooLarge", "Transient/ContentRejected",
                 "Transient/AttachmentRejected"]
    )  # fmt: skip
    def test_what_is_the_mails_fault_never_counts(self, session, bounce, code):
        for day in range(4):
            bounce(code, days=day)
        assert self.suppressed(session) == []

    def test_a_delivery_in_between_resets(self, session, bounce):
        bounce("Transient/MailboxFull")
        bounce("Transient/MailboxFull", days=1)
        bounce(days=2, delivered=2)
        bounce("Transient/MailboxFull", days=3)
        assert self.suppressed(session) == []

    def test_any_order_of_bounces_and_a_delivery_ends_the_same(self, session, now, take):
        """One address for each order of three bounces and the delivery between them."""
        orders = list(permutations(range(4)))
        people = [f"p{number}@example.com" for number in range(len(orders))]
        rows = []
        for day in range(4):
            with writing(session):
                campaign = add_campaign(session, now)
                at = now + timedelta(days=day)
                rows.append((add_sending(session, campaign, people, at), at))
        for person, order in enumerate(orders):
            for day in order:
                row, at = rows[day][0][person], rows[day][1]
                mail = mail_events(session, row, at)
                take(mail.delivery() if day == 2 else mail.bounce("Transient/MailboxFull"))
        assert self.suppressed(session) == []
        newest = rows[3][0][0].campaign_id
        streaks = [s.bounces for s in session.scalars(select(SoftBounceStreak))]
        assert [[campaign for campaign, _ in streak] for streak in streaks] == [[newest]] * 24

    def test_a_delivery_before_them_all_resets_nothing_whenever_it_is_told(
        self, session, now, bounce, take
    ):
        with writing(session):
            (row,) = add_sending(session, add_campaign(session, now), ["ada@example.com"], now)
        for day in (1, 2, 3):
            bounce("Transient/MailboxFull", days=day)
        take(mail_events(session, row, now).delivery())
        assert self.suppressed(session) == ["soft_bounces"]

    def test_bounces_further_apart_than_ninety_days_do_not_add_up(self, session, bounce):
        bounce("Transient/MailboxFull")
        bounce("Transient/MailboxFull", days=50)
        bounce("Transient/MailboxFull", days=91)
        assert self.suppressed(session) == []

    def test_an_automatic_reply_takes_its_suppression_back(self, session, bounce, take):
        bounce("Transient/MailboxFull")
        bounce("Transient/MailboxFull", days=1)
        mail = bounce("Transient/General", days=2)
        assert self.suppressed(session) == ["soft_bounces"]
        take(mail.delivery())
        assert self.suppressed(session) == []

    def test_a_deleted_campaign_is_remembered(self, session, bounce, now):
        mail = bounce("Transient/MailboxFull")
        with writing(session):
            session.delete(session.get(Recipient, mail.row.id))
        bounce("Transient/MailboxFull", days=1)
        bounce("Transient/MailboxFull", days=2)
        assert self.suppressed(session) == ["soft_bounces"]
        assert len(session.scalars(select(SoftBounceStreak)).one().bounces) == 3

    def test_an_address_without_bounces_leaves_no_streak(self, session, row, now):
        with writing(session):
            soft_bounces.review(session, [(row.address_hash, row.address)], now)
        assert session.scalars(select(SoftBounceStreak)).all() == []
