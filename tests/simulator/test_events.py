"""Events as they arrive through SNS in SQS: AWS's shapes, tags, order of things."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ses_simulator.outcomes import SIMULATOR_DOMAIN
from tests.simulator.conftest import Account, eventually, fetch

# Where AWS's example and today's events differ for good reason.
NEWER = {"isBotEvent", "complaintSubType"}
DOCUMENTED_ELSEWHERE = {"ses:outgoing-ip", "ses:operation"}
OPTIONAL_IN_EXAMPLES = {"ses:source-ip", "ses:from-domain", "ses:caller-identity"}
RECORDS = {
    "send-record.json": ("success", "Send"),
    "delivery-record.json": ("success", "Delivery"),
    "bounce-record.json": ("bounce", "Bounce"),
    "complaint-record.json": ("complaint", "Complaint"),
    "reject-record.json": ("reject", "Reject"),
    "open-record.json": ("open", "Open"),
    "click-record.json": ("click", "Click"),
    "deliverydelay-record.json": ("delay", "DeliveryDelay"),
}
LINK_TAGS = (
    '<a href="https://example.com/b?x=1&amp;y=2" ses:tags="campaign:spring;place:top;">b</a>'
)


def shape(value: Any, path: str = "") -> set[str]:
    """Every path of keys with the type at its end; lists by their first item."""
    if isinstance(value, Mapping):
        found = {f"{path}:dict"}
        for key, inner in value.items():
            found |= shape(inner, f"{path}.{key}")
        return found
    if isinstance(value, list):
        return {f"{path}:list"} | (shape(value[0], f"{path}[]") if value else set())
    return {f"{path}:{type(value).__name__}"}


def without_custom(event: Any) -> Any:
    """The event with our own tags and headers out of the way."""
    tags = event["mail"]["tags"]
    ignored = DOCUMENTED_ELSEWHERE | OPTIONAL_IN_EXAMPLES
    event["mail"]["tags"] = {
        key: value for key, value in tags.items() if key.startswith("ses:") and key not in ignored
    }
    for key in NEWER:
        event.get(event["eventType"].lower(), {}).pop(key, None)
    if event["eventType"] == "Click":
        event["click"]["linkTags"] = {"any": ["value"]}
    return event


@pytest.mark.parametrize("record", RECORDS)
def test_event_has_the_shape_of_the_record_in_the_aws_documentation(
    aws: Account, material: Path, record: str
) -> None:
    local, kind = RECORDS[record]
    path = material / "ses-events" / "aws-docs-event-publishing" / record
    expected = json.loads(path.read_text())
    simple = {"Subject": {"Data": "s"}, "Body": {"Html": {"Data": LINK_TAGS}}}
    aws.send(f"{local}+x@{SIMULATOR_DOMAIN}", Content={"Simple": simple})
    events = (e for _ in range(4) for e in aws.events(1))
    event = next(event for event in events if event["eventType"] == kind)
    assert shape(without_custom(event)) == shape(without_custom(expected))


def test_rendering_failure_has_the_shape_of_its_record(aws: Account, material: Path) -> None:
    folder = material / "ses-events" / "aws-docs-event-publishing"
    expected = json.loads((folder / "rendering-failure-record.json").read_text())
    content = {"TemplateContent": {"Html": "{{x}}"}, "TemplateData": "{}"}
    aws.send(Content={"Template": content})
    (event,) = aws.events(1)
    assert shape(without_custom(event)) == shape(without_custom(expected))


def test_tags_are_lists_and_the_message_id_is_the_one_that_was_answered(aws: Account) -> None:
    message_id = aws.send("Reader <success+7@simulator.amazonses.com>")
    send, delivery = aws.events(2)
    assert [send["eventType"], delivery["eventType"]] == ["Send", "Delivery"]
    for event in (send, delivery):
        assert event["mail"]["messageId"] == message_id
        assert event["mail"]["tags"]["bes_recipient"] == ["17"]
        assert event["mail"]["tags"]["ses:configuration-set"] == ["bes"]
        assert event["mail"]["destination"] == ["success+7@simulator.amazonses.com"]
    assert "ses:outgoing-ip" in delivery["mail"]["tags"]
    assert "ses:outgoing-ip" not in send["mail"]["tags"]


def test_click_names_a_tracked_link_with_its_tags(aws: Account) -> None:
    page = '<a ses:no-track href="https://example.com/u/1">bye</a>' + LINK_TAGS
    simple = {"Subject": {"Data": "s"}, "Body": {"Html": {"Data": page}}}
    aws.send(f"click@{SIMULATOR_DOMAIN}", Content={"Simple": simple})
    click = aws.events(4)[-1]
    assert click["click"]["link"] == "https://example.com/b?x=1&y=2"
    assert click["click"]["linkTags"] == {"campaign": ["spring"], "place": ["top"]}
    assert click["click"]["isBotEvent"] == "Unlikely"


def test_machine_opens_are_marked(aws: Account) -> None:
    aws.send(f"machineopen@{SIMULATOR_DOMAIN}")
    assert aws.events(3)[-1]["open"]["isBotEvent"] == "Likely"


@pytest.mark.parametrize(
    "changes",
    [
        {"Content": {"Simple": {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}}}},
        {
            "ConfigurationOverrides": {
                "Tracking": {
                    "OpenTrackingEnabled": "DISABLED",
                    "ClickTrackingEnabled": "DISABLED",
                }
            }
        },
    ],
)
def test_untracked_mail_has_no_opens_and_clicks(aws: Account, changes: dict[str, Any]) -> None:
    aws.send(f"click@{SIMULATOR_DOMAIN}", **changes)
    aws.send(f"delay@{SIMULATOR_DOMAIN}")
    seen = [event["eventType"] for event in aws.events(5)]
    assert sorted(seen) == ["Delivery", "Delivery", "DeliveryDelay", "Send", "Send"]
    assert aws.simulator.world.stats["event Open"] == 0


def test_bounces_of_one_message_come_in_one_event(aws: Account) -> None:
    to = [f"bounce+{label}@{SIMULATOR_DOMAIN}" for label in "ab"]
    aws.send(Destination={"ToAddresses": to})
    bounce = aws.events(2)[-1]["bounce"]
    assert [recipient["emailAddress"] for recipient in bounce["bouncedRecipients"]] == to


def test_hard_bounce_enters_the_suppression_list_and_the_next_mail_is_not_attempted(
    aws: Account,
) -> None:
    message_id = aws.send("someone@example.org")
    aws.events(2)
    body = json.dumps({"kind": "Bounce", "detail": "Permanent/General"}).encode()
    fetch(f"{aws.simulator.url}/_sim/mails/{message_id}/events", "POST", body)
    aws.events(1)
    found = aws.ses.get_suppressed_destination(EmailAddress="someone@example.org")
    assert found["SuppressedDestination"]["Attributes"]["MessageId"] == message_id
    aws.send("someone@example.org")
    bounce = aws.events(2)[-1]["bounce"]
    assert bounce["bounceSubType"] == "OnAccountSuppressionList"
    assert bounce["reportingMTA"] == "dns; amazonses.com"


def test_simulator_addresses_never_enter_the_suppression_list(aws: Account) -> None:
    aws.send(f"bounce@{SIMULATOR_DOMAIN}")
    assert aws.events(2)[-1]["eventType"] == "Bounce"
    assert aws.ses.list_suppressed_destinations()["SuppressedDestinationSummaries"] == []


def test_no_configuration_set_means_no_events(aws: Account) -> None:
    aws.send(ConfigurationSetName="")
    aws.send()
    assert [event["mail"]["tags"]["ses:configuration-set"] for event in aws.events(2)] == [
        ["bes"],
        ["bes"],
    ]
    assert aws.simulator.world.stats["event Send"] == 2


def test_critical_set_publishes_send_but_no_delivery(aws: Account) -> None:
    aws.send(f"complaint@{SIMULATOR_DOMAIN}", ConfigurationSetName="bes-critical")
    assert [event["eventType"] for event in aws.events(2)] == ["Send", "Complaint"]


def test_eicar_attachment_is_rejected_after_acceptance(aws: Account) -> None:
    eicar = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    simple = {
        "Subject": {"Data": "s"},
        "Body": {"Text": {"Data": "t"}},
        "Attachments": [{"FileName": "a.txt", "RawContent": eicar}],
    }
    aws.send(Content={"Simple": simple})
    seen = aws.events(2)
    assert [event["eventType"] for event in seen] == ["Send", "Reject"]
    assert seen[1]["reject"] == {"reason": "Bad content"}


def test_one_click_unsubscribe_reaches_the_url_in_the_mail(aws: Account) -> None:
    url = f"{aws.simulator.url}/_sim/reset?keep=faults"
    simple = {
        "Subject": {"Data": "s"},
        "Body": {"Text": {"Data": "t"}},
        "Headers": [{"Name": "List-Unsubscribe", "Value": f"<mailto:x@example.com>, <{url}>"}],
    }
    aws.send(f"unsubscribe@{SIMULATOR_DOMAIN}", Content={"Simple": simple})
    # The URL empties the outbox: that it is empty shows that it was called.
    assert eventually(lambda: aws.get("/_sim/stats")["mails"] == 0)
