"""Which events a campaign is sent with: all of them, or only those that must never be missed.

With the webhook alone a large campaign would make SNS flood the web server with opens and
deliveries, so it is sent with the configuration set `<set>-critical`, which publishes Send,
Bounce, Complaint, Reject, Rendering Failure and Subscription. Where a queue is polled, volume
is no trouble and everything is tracked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: What the critical set is called beside the full one.
CRITICAL_SUFFIX = "-critical"
#: What it publishes, in the spelling of SES's API.
CRITICAL_EVENTS = frozenset(
    {"SEND", "BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE", "SUBSCRIPTION"}
)
#: More events than this through the HTTP door in an hour count as a flood, where the
#: subscriptions of the topic cannot be read.
HTTP_FLOOD_PER_HOUR = 1000


class Tracking(StrEnum):
    """How much of what happens to a campaign is reported."""

    AUTO = "auto"
    FULL = "full"
    CRITICAL = "critical"


@dataclass(frozen=True)
class TrackingFacts:
    """What is known when a campaign starts.

    `https_flood` None: the subscriptions could not be read. `critical_set_exists` None: could
    not be read, which counts as missing. `delivery_published` is what the full set does; None,
    where it cannot be read, counts as yes.
    """

    recipients: int
    threshold: int
    full_set: str
    polls_queue: bool
    https_flood: bool | None
    http_events_last_hour: int
    critical_set_exists: bool | None
    delivery_published: bool | None = None


@dataclass(frozen=True)
class TrackingDecision:
    """The level in force, the configuration set to send with, and why, for a person."""

    level: Tracking
    configuration_set: str
    delivery_published: bool
    reason: str


def decide_tracking(choice: Tracking, facts: TrackingFacts) -> TrackingDecision:
    """The tracking level of a campaign, from a person's choice and what is known."""
    wanted, why = _wanted(choice, facts)
    if not facts.full_set:
        return TrackingDecision(
            Tracking.FULL, "", True, "No configuration set is named: SES reports no events."
        )
    critical_set = facts.full_set + CRITICAL_SUFFIX
    if wanted is Tracking.CRITICAL and facts.critical_set_exists:
        return TrackingDecision(Tracking.CRITICAL, critical_set, False, why)
    if wanted is Tracking.CRITICAL:
        why = _without(critical_set, facts)
    delivery = facts.delivery_published is not False
    if not delivery:
        why += f" The configuration set {facts.full_set} publishes no deliveries, though."
    return TrackingDecision(Tracking.FULL, facts.full_set, delivery, why)


def _without(critical_set: str, facts: TrackingFacts) -> str:
    """Why everything is tracked although less was wanted."""
    wish = f"Fewer events were wanted ({_why_fewer(facts)}), but the configuration set"
    if facts.critical_set_exists is None:
        return f"Everything is tracked. {wish} {critical_set} could not be read from AWS."
    return (
        f"Everything is tracked. {wish} {critical_set} does not exist. Make it for the next "
        "campaign: flask --app app aws critical-set"
    )


def _wanted(choice: Tracking, facts: TrackingFacts) -> tuple[Tracking, str]:
    if choice is Tracking.FULL:
        return Tracking.FULL, "Everything is tracked: you chose so."
    if choice is Tracking.CRITICAL:
        return Tracking.CRITICAL, (
            "Deliveries, opens and clicks are not tracked, only what must not be missed: you "
            "chose so."
        )
    if facts.polls_queue and not _floods(facts):
        return Tracking.FULL, "Everything is tracked: events come through the queue."
    if facts.recipients <= facts.threshold:
        return (
            Tracking.FULL,
            f"Everything is tracked: the campaign has no more than {facts.threshold} recipients.",
        )
    return Tracking.CRITICAL, (
        f"Deliveries, opens and clicks are not tracked: {_why_fewer(facts)}, and the campaign "
        f"has more than {facts.threshold} recipients."
    )


def _why_fewer(facts: TrackingFacts) -> str:
    if facts.polls_queue and not _floods(facts):
        return "you chose so"
    if facts.polls_queue:
        return "an HTTPS subscription without a filter gets every event beside the queue"
    return "events come through the webhook alone"


def _floods(facts: TrackingFacts) -> bool:
    if facts.https_flood is None:
        return facts.http_events_last_hour > HTTP_FLOOD_PER_HOUR
    return facts.https_flood
