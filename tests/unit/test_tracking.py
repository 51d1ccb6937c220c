"""Which tracking level a campaign gets, and the sentence that explains it."""

from dataclasses import replace

import pytest

from domain.tracking import HTTP_FLOOD_PER_HOUR, Tracking, TrackingFacts, decide_tracking

QUEUE = TrackingFacts(
    recipients=50_000,
    threshold=100,
    full_set="bes",
    polls_queue=True,
    https_flood=False,
    http_events_last_hour=0,
    critical_set_exists=True,
)
WEBHOOK = replace(QUEUE, polls_queue=False, https_flood=True)


def test_with_a_queue_everything_is_tracked():
    decision = decide_tracking(Tracking.AUTO, QUEUE)
    assert (decision.level, decision.configuration_set) == ("full", "bes")
    assert decision.delivery_published


def test_with_the_webhook_alone_a_large_campaign_is_critical_only():
    decision = decide_tracking(Tracking.AUTO, WEBHOOK)
    assert (decision.level, decision.configuration_set) == ("critical", "bes-critical")
    assert not decision.delivery_published
    assert "webhook alone" in decision.reason


@pytest.mark.parametrize(("recipients", "level"), [(100, "full"), (101, "critical")])
def test_the_threshold_itself_is_still_fully_tracked(recipients, level):
    facts = replace(WEBHOOK, recipients=recipients)
    assert decide_tracking(Tracking.AUTO, facts).level == level


def test_an_unfiltered_https_subscription_beside_the_queue_counts_as_a_flood():
    assert decide_tracking(Tracking.AUTO, replace(QUEUE, https_flood=True)).level == "critical"


@pytest.mark.parametrize(
    ("events", "level"), [(HTTP_FLOOD_PER_HOUR, "full"), (HTTP_FLOOD_PER_HOUR + 1, "critical")]
)
def test_unreadable_subscriptions_are_judged_by_what_came_through_the_webhook(events, level):
    facts = replace(QUEUE, https_flood=None, http_events_last_hour=events)
    assert decide_tracking(Tracking.AUTO, facts).level == level


@pytest.mark.parametrize(
    ("exists", "words"), [(False, "aws critical-set"), (None, "could not be read")]
)
@pytest.mark.parametrize("choice", [Tracking.AUTO, Tracking.CRITICAL])
def test_without_the_critical_set_the_full_one_is_used_and_the_reason_says_so(
    exists, words, choice
):
    decision = decide_tracking(choice, replace(WEBHOOK, critical_set_exists=exists))
    assert (decision.level, decision.configuration_set) == ("full", "bes")
    assert words in decision.reason


@pytest.mark.parametrize(("published", "expected"), [(True, True), (None, True), (False, False)])
def test_a_full_set_without_deliveries_makes_no_promise_of_them(published, expected):
    decision = decide_tracking(Tracking.AUTO, replace(QUEUE, delivery_published=published))
    assert decision.level == "full"
    assert decision.delivery_published is expected
    assert ("no deliveries" in decision.reason) is not expected


def test_a_persons_choice_wins_over_what_is_known():
    assert decide_tracking(Tracking.FULL, WEBHOOK).level == "full"
    assert decide_tracking(Tracking.CRITICAL, QUEUE).level == "critical"


def test_without_a_configuration_set_nothing_is_promised():
    decision = decide_tracking(Tracking.AUTO, replace(QUEUE, full_set=""))
    assert decision.configuration_set == ""
    assert "no events" in decision.reason
