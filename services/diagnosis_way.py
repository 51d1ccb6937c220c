"""Checks of the way that events take: configuration set, topic, subscription, queue, webhook.

Pure like services.diagnosis_checks, which puts them in their order.
"""

from __future__ import annotations

from aws.topology import Subscription
from services.diagnosis_facts import NOT_ASKED, Facts, Finding, fail, ok, warn

#: Events that a configuration set has to publish for the ledger to be true.
_NEEDED = ("SEND", "DELIVERY", "BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE",
           "DELIVERY_DELAY", "SUBSCRIPTION")  # fmt: skip
_LARGE_BACKLOG = 10_000


def configuration_set_check(facts: Facts) -> Finding:
    """The set that every mail names."""
    name = facts.settings.ses_configuration_set
    if not name:
        return warn(
            "SES_CONFIGURATION_SET is not set: SES reports nothing about the mails.",
            "Make a configuration set with an SNS destination and name it (README, AWS set-up).",
        )
    if facts.topology is None:
        return NOT_ASKED
    found = facts.topology.configuration_set
    if found.exists is False:
        return fail(
            f"{name} does not exist in {facts.settings.aws_region}: SES refuses every mail.",
            "Make it in the SES console, or mend SES_CONFIGURATION_SET or AWS_REGION.",
        )
    if found.error:
        return warn(
            f"{name} cannot be read. {found.error}",
            "Allow ses:GetConfigurationSet and ses:GetConfigurationSetEventDestinations in IAM.",
        )
    if found.sending_enabled is False:
        return fail(f"Sending is switched off for {name}.", "Switch it on in the SES console.")
    return ok(f"{name} exists.")


def destinations_check(facts: Facts) -> Finding:
    """It publishes what the ledger needs, to SNS."""
    if facts.topology is None or facts.topology.configuration_set.destinations is None:
        return NOT_ASKED
    found = facts.topology.configuration_set
    step = "Add an event destination of type SNS to the configuration set in the SES console."
    if not found.topics():
        return fail(f"{found.name} publishes no events to SNS.", step)
    missing = [event for event in _NEEDED if not found.topics(event)]
    if {"SEND", "BOUNCE", "COMPLAINT"} & set(missing):
        return fail(f"{found.name} does not publish {_list(missing)}.", step)
    if missing:
        return warn(f"{found.name} does not publish {_list(missing)}.", step)
    return ok("It publishes all events that are needed.")


def topic_check(facts: Facts) -> Finding:
    """The topics can be read."""
    if facts.topology is None or not facts.topology.topics:
        return NOT_ASKED
    unreadable = [topic for topic in facts.topology.topics if topic.error]
    if unreadable:
        missing = "NotFound" in (unreadable[0].error or "")
        finding = f"{unreadable[0].arn} cannot be read. {unreadable[0].error}"
        if missing:
            return fail(finding, "Point the event destination to a topic that exists.")
        return warn(finding, "Allow sns:ListSubscriptionsByTopic in IAM.")
    return ok(_list([topic.arn for topic in facts.topology.topics]))


def subscription_check(facts: Facts) -> Finding:
    """Events reach one of our doors."""
    if facts.topology is None or not facts.topology.topics:
        return NOT_ASKED
    if all(topic.subscriptions is None for topic in facts.topology.topics):
        return NOT_ASKED
    known = [one for topic in facts.topology.topics for one in topic.subscriptions or ()]
    ours = [one for one in known if _is_ours(one, facts)]
    if not ours:
        return fail(
            "The topic has no subscription that leads here.",
            "Subscribe the SQS queue (SQS_QUEUE_URL), or "
            f"{facts.settings.base_url}/sns-notifications, to the topic.",
        )
    waiting = [one for one in ours if not one.confirmed]
    if len(waiting) == len(ours):
        return fail(
            f"The subscription of {ours[0].endpoint} is not confirmed.",
            "Request the confirmation again in the SNS console while the web server runs.",
        )
    if any(one.protocol != "sqs" and one.raw for one in ours):
        return fail(
            "Raw message delivery is on for the webhook: its messages carry no signature.",
            "Switch raw message delivery off for the HTTPS subscription.",
        )
    if any(one.filtered for one in ours):
        return warn("A subscription has a filter policy.", "Check that it lets all events pass.")
    return ok(_list([f"{one.protocol}: {one.endpoint}" for one in ours]))


def _is_ours(one: Subscription, facts: Facts) -> bool:
    if one.protocol == "sqs":
        queue = facts.topology.queue if facts.topology else None
        return queue is not None and one.endpoint == queue.arn
    return one.protocol in ("http", "https") and one.endpoint.endswith("/sns-notifications")


def queue_check(facts: Facts) -> Finding:
    """The queue can be polled and is worked off."""
    if not facts.settings.sqs_queue_url:
        return warn(
            "SQS_QUEUE_URL is not set: events come through the webhook alone, and a mail whose "
            "outcome is unknown waits for a person.",
            "Subscribe an SQS queue to the topic and set SQS_QUEUE_URL.",
        )
    queue = facts.topology.queue if facts.topology else None
    if queue is None:
        return NOT_ASKED
    if queue.error:
        return fail(
            f"The queue cannot be read. {queue.error}",
            "Check SQS_QUEUE_URL, and allow sqs:ReceiveMessage, sqs:DeleteMessage and "
            "sqs:GetQueueAttributes in IAM.",
        )
    waiting = queue.visible or 0
    figures = f"{waiting:,} waiting, {queue.in_flight or 0:,} in flight."
    if waiting > _LARGE_BACKLOG:
        return warn(figures, "Make sure that a scheduler runs: it works the queue off.")
    return ok(figures)


def dead_letter_check(facts: Facts) -> Finding:
    """What nobody could process is kept, and there is none."""
    queue = facts.topology.queue if facts.topology else None
    if not facts.settings.sqs_queue_url:
        return ok("No queue is polled.")
    if queue is None or queue.error:
        return NOT_ASKED
    if not queue.dead_letter_arn:
        return warn(
            "The queue has no dead-letter queue: what cannot be processed is lost in the end.",
            "Give it one with a maximum receive count of 5 or more.",
        )
    dead = facts.topology.dead_letters if facts.topology else None
    if dead is None or dead.error:
        return warn("The dead-letter queue cannot be read.", "Allow sqs:GetQueueAttributes on it.")
    if dead.visible:
        return warn(f"{dead.visible:,} messages lie there.", "See the notification log for why.")
    return ok("Empty.")


def webhook_check(facts: Facts) -> Finding:
    """Which topics the webhook believes."""
    allowed = facts.settings.sns_topic_arn
    topics = set(facts.topology.configuration_set.topics() or ()) if facts.topology else set()
    if not allowed:
        if topics:
            return ok(f"SNS_TOPIC_ARN is empty: the webhook believes {_list(sorted(topics))}.")
        return warn(
            "SNS_TOPIC_ARN is empty and the topics cannot be read: the webhook refuses everything.",
            "Set SNS_TOPIC_ARN to the ARN of the topic.",
        )
    foreign = topics - set(allowed)
    if foreign:
        return fail(
            f"The configuration set publishes to {_list(sorted(foreign))}, which the webhook "
            "refuses.",
            "Add it to SNS_TOPIC_ARN.",
        )
    return ok(f"The webhook believes {_list(sorted(allowed))}.")


def _list(words: list[str]) -> str:
    return ", ".join(words)
