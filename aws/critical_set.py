"""The configuration set for large campaigns: a copy of the full one that reports less.

What is to be done is read and shown first, and done only then. See domain.tracking for when a
campaign is sent with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import why_not
from domain.tracking import CRITICAL_EVENTS, CRITICAL_SUFFIX

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

_OPTION_GROUPS = (
    "TrackingOptions", "DeliveryOptions", "ReputationOptions", "SendingOptions",
    "SuppressionOptions", "VdmOptions", "ArchivingOptions", "Tags",
)  # fmt: skip


class CannotMake(Exception):
    """AWS refused, or the full set is not fit to be copied; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call that changes something, and the sentence that announces it."""

    sentence: str
    call: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CriticalSetPlan:
    """What has to be done so that the set `name` is as it should be; no steps = it is."""

    name: str
    steps: tuple[Step, ...]


def plan_critical_set(ses: SESV2Client, full_set: str) -> CriticalSetPlan:
    """Read both sets and say what is missing; changes nothing. Raises CannotMake."""
    if not full_set:
        raise CannotMake("SES_CONFIGURATION_SET is empty: there is no set to copy.")
    name = full_set + CRITICAL_SUFFIX
    full = _read(ses, full_set)
    if full is None:
        raise CannotMake(f"There is no configuration set {full_set} in this region.")
    wanted = _wanted(full["destinations"])
    if not wanted:
        raise CannotMake(f"{full_set} publishes no bounces to an SNS topic: set that up first.")
    present = _read(ses, name)
    steps = []
    if present is None:
        copied = {group: full["options"][group] for group in _OPTION_GROUPS
                  if full["options"].get(group)}  # fmt: skip
        steps.append(
            Step(
                f"Make the configuration set {name} with the options of {full_set}.",
                "create_configuration_set",
                {"ConfigurationSetName": name, **copied},
            )
        )
    known = present["destinations"] if present else {}
    steps += [
        step
        for place, (topic, events) in wanted.items()
        if (step := _destination_step(name, place, topic, events, known.get(place)))
    ]
    return CriticalSetPlan(name, tuple(steps))


def carry_out(ses: SESV2Client, plan: CriticalSetPlan) -> None:
    """Make the calls of a plan, in order. Raises CannotMake with AWS's words."""
    for step in plan.steps:
        try:
            getattr(ses, step.call)(**step.arguments)
        except (ClientError, BotoCoreError) as error:
            raise CannotMake(f"{step.sentence} {why_not(error)}") from error


def _read(ses: SESV2Client, name: str) -> dict[str, Any] | None:
    """Options and destinations by name; None if there is no such set."""
    try:
        options: dict[str, Any] = dict(ses.get_configuration_set(ConfigurationSetName=name))
        answer: dict[str, Any] = dict(
            ses.get_configuration_set_event_destinations(ConfigurationSetName=name)
        )
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NotFoundException":
            return None
        raise CannotMake(f"{name} cannot be read. {why_not(error)}") from error
    except BotoCoreError as error:
        raise CannotMake(f"{name} cannot be read. {why_not(error)}") from error
    if options.get("ReputationOptions"):
        options["ReputationOptions"].pop("LastFreshStart", None)  # of that set alone
    places = answer.get("EventDestinations") or ()
    return {"options": options, "destinations": {place["Name"]: place for place in places}}


def _wanted(destinations: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    """Topic and events by the destination's name; Send goes along with bounces."""
    wanted = {}
    for name, place in destinations.items():
        topic = (place.get("SnsDestination") or {}).get("TopicArn")
        events = CRITICAL_EVENTS & set(place.get("MatchingEventTypes") or ())
        if topic and place.get("Enabled") and events:
            wanted[name] = (topic, sorted(events | ({"SEND"} if "BOUNCE" in events else set())))
    return wanted if any("BOUNCE" in events for _, events in wanted.values()) else {}


def _destination_step(
    name: str, place: str, topic: str, events: list[str], present: dict[str, Any] | None
) -> Step | None:
    destination = {
        "Enabled": True,
        "MatchingEventTypes": events,
        "SnsDestination": {"TopicArn": topic},
    }
    if present is not None and all(
        sorted(present.get(key) or []) == value if key == "MatchingEventTypes"
        else present.get(key) == value
        for key, value in destination.items()
    ):  # fmt: skip
        return None
    verb = "Make" if present is None else "Change"
    call = "create" if present is None else "update"
    return Step(
        f"{verb} its destination {place}: {', '.join(events)} go to {topic}.",
        f"{call}_configuration_set_event_destination",
        {
            "ConfigurationSetName": name,
            "EventDestinationName": place,
            "EventDestination": destination,
        },
    )
