"""Which state a set of facts amounts to, over every set."""

from itertools import permutations

import pytest

from domain.statuses import (
    EVENT_FACTS,
    FINAL_STATUSES,
    OPEN_STATUSES,
    REPORT_WAIT_SECONDS,
    Fact,
    RecipientStatus,
    has_soft_bounce,
    is_accepted,
    is_final,
    state_of,
)

ALL_SETS = range(sum(Fact) + 1)
RANKED = [
    (Fact.CLAIMED, "sending"),
    (Fact.DOUBTED, "in_doubt"),
    (Fact.ACCEPTED, "sent"),
    (Fact.DELAYED, "delayed"),
    (Fact.RENDERING_FAILED, "failed"),
    (Fact.DELIVERED, "delivered"),
    (Fact.SOFT_BOUNCED, "soft_bounced"),
    (Fact.BOUNCED, "bounced"),
    (Fact.REJECTED, "rejected"),
    (Fact.COMPLAINED, "complained"),
]


def test_no_fact_means_pending():
    assert state_of(0) is RecipientStatus.PENDING


def test_every_set_of_facts_has_a_state():
    assert {state_of(facts) for facts in ALL_SETS} == set(RecipientStatus)


@pytest.mark.parametrize("low", range(len(RANKED)))
@pytest.mark.parametrize("high", range(len(RANKED)))
def test_the_higher_ranked_fact_of_a_pair_names_the_state(low, high):
    (low_fact, _), (high_fact, _) = RANKED[low], RANKED[high]
    assert state_of(low_fact | high_fact) == RANKED[max(low, high)][1]


@pytest.mark.parametrize("off_path", [Fact.SKIPPED, Fact.CANCELLED, Fact.REFUSED])
@pytest.mark.parametrize("event", list(EVENT_FACTS))
def test_an_event_outranks_skipped_cancelled_and_refused(off_path, event):
    assert state_of(off_path | event) == state_of(event)


@pytest.mark.parametrize(
    ("fact", "status"),
    [(Fact.SKIPPED, "skipped"), (Fact.CANCELLED, "cancelled"), (Fact.REFUSED, "failed")],
)
def test_leaving_the_path_outranks_claim_and_doubt(fact, status):
    assert state_of(fact | Fact.CLAIMED | Fact.DOUBTED) == status


def test_an_out_of_office_reply_never_changes_a_delivery():
    facts = (Fact.ACCEPTED, Fact.DELIVERED, Fact.MAYBE_AUTO_REPLY)
    for order in permutations(facts):
        seen = Fact(0)
        for fact in order:
            seen |= fact
        assert state_of(seen) is RecipientStatus.DELIVERED
        assert not has_soft_bounce(seen)


def test_a_general_soft_bounce_without_delivery_is_a_soft_bounce():
    assert state_of(Fact.ACCEPTED | Fact.MAYBE_AUTO_REPLY) is RecipientStatus.SOFT_BOUNCED
    assert has_soft_bounce(Fact.MAYBE_AUTO_REPLY)


def test_only_a_delivery_may_lower_a_state_and_only_from_soft_bounced():
    for facts in ALL_SETS:
        for fact in EVENT_FACTS:
            before, after = state_of(facts), state_of(facts | fact)
            ranks = [state for _, state in RANKED]
            if before in ranks and after in ranks and ranks.index(after) < ranks.index(before):
                lowered = (before, after) == ("soft_bounced", "delivered")
                replaced_refusal = before == "failed" and not facts & Fact.RENDERING_FAILED
                assert lowered or replaced_refusal


def test_a_row_is_accepted_as_soon_as_ses_told_anything():
    assert not is_accepted(Fact.CLAIMED | Fact.DOUBTED | Fact.REFUSED)
    assert all(is_accepted(fact) for fact in EVENT_FACTS)


@pytest.mark.parametrize("status", list(RecipientStatus))
def test_a_state_is_final_open_or_waits_for_a_report(status):
    final = is_final(status, delivery_published=True, seconds_since_sent=0)
    waits = status in (RecipientStatus.SENT, RecipientStatus.DELAYED)
    assert [final, status in OPEN_STATUSES, waits].count(True) == 1
    assert (status in FINAL_STATUSES) == final


def test_sent_is_final_without_delivery_reports_or_after_a_day():
    sent = RecipientStatus.SENT
    assert is_final(sent, delivery_published=False, seconds_since_sent=0)
    assert is_final(sent, delivery_published=True, seconds_since_sent=REPORT_WAIT_SECONDS)
    assert not is_final(sent, delivery_published=True, seconds_since_sent=3600)
