"""SESv2 apart from sending: account, configuration sets, identities, suppression, templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from tests.simulator.conftest import Account


def test_account_is_in_production_with_a_generous_quota(aws: Account) -> None:
    account = aws.ses.get_account()
    assert account["ProductionAccessEnabled"] is True
    assert account["SendingEnabled"] is True
    assert account["EnforcementStatus"] == "HEALTHY"
    assert account["SendQuota"] == {
        "Max24HourSend": 50_000_000.0,
        "MaxSendRate": 20_000.0,
        "SentLast24Hours": 0.0,
    }
    assert account["SuppressionAttributes"]["SuppressedReasons"] == ["BOUNCE", "COMPLAINT"]


def test_sent_mails_count_in_the_quota_but_not_those_to_the_simulator(aws: Account) -> None:
    aws.send("one@example.org")
    aws.send("bounce@simulator.amazonses.com")
    assert aws.ses.get_account()["SendQuota"]["SentLast24Hours"] == 1.0


def test_sending_of_the_account_can_be_switched(aws: Account) -> None:
    aws.ses.put_account_sending_attributes(SendingEnabled=False)
    with pytest.raises(aws.ses.exceptions.SendingPausedException):
        aws.send()
    aws.ses.put_account_sending_attributes(SendingEnabled=True)
    assert aws.send()


def test_default_configuration_sets_publish_to_the_default_topic(aws: Account) -> None:
    assert aws.ses.list_configuration_sets()["ConfigurationSets"] == ["bes", "bes-critical"]
    full, critical = (
        aws.ses.get_configuration_set_event_destinations(ConfigurationSetName=name)[
            "EventDestinations"
        ][0]
        for name in ("bes", "bes-critical")
    )
    assert full["SnsDestination"]["TopicArn"] == aws.simulator.topic_arn
    assert len(full["MatchingEventTypes"]) == 10
    assert set(full["MatchingEventTypes"]) - set(critical["MatchingEventTypes"]) == {
        "DELIVERY",
        "OPEN",
        "CLICK",
        "DELIVERY_DELAY",
    }


def test_configuration_set_is_made_changed_and_deleted(aws: Account) -> None:
    aws.ses.create_configuration_set(
        ConfigurationSetName="own",
        TrackingOptions={"CustomRedirectDomain": "click.example.com"},
        Tags=[{"Key": "a", "Value": "b"}],
    )
    with pytest.raises(aws.ses.exceptions.AlreadyExistsException):
        aws.ses.create_configuration_set(ConfigurationSetName="own")
    aws.ses.put_configuration_set_delivery_options(
        ConfigurationSetName="own", TlsPolicy="REQUIRE", MaxDeliverySeconds=600
    )
    aws.ses.put_configuration_set_sending_options(ConfigurationSetName="own", SendingEnabled=False)
    found = aws.ses.get_configuration_set(ConfigurationSetName="own")
    assert found["TrackingOptions"] == {"CustomRedirectDomain": "click.example.com"}
    assert found["DeliveryOptions"] == {"TlsPolicy": "REQUIRE", "MaxDeliverySeconds": 600}
    assert found["SendingOptions"] == {"SendingEnabled": False}
    assert found["Tags"] == [{"Key": "a", "Value": "b"}]
    with pytest.raises(aws.ses.exceptions.SendingPausedException):
        aws.send(ConfigurationSetName="own")
    aws.ses.delete_configuration_set(ConfigurationSetName="own")
    with pytest.raises(aws.ses.exceptions.NotFoundException):
        aws.ses.get_configuration_set(ConfigurationSetName="own")


def test_event_destination_is_changed_and_deleted(aws: Account) -> None:
    change = {"Enabled": False, "MatchingEventTypes": ["SEND"]}
    where = {"ConfigurationSetName": "bes", "EventDestinationName": "events"}
    aws.ses.update_configuration_set_event_destination(**where, EventDestination=change)
    (found,) = aws.ses.get_configuration_set_event_destinations(ConfigurationSetName="bes")[
        "EventDestinations"
    ]
    assert (found["Enabled"], found["MatchingEventTypes"]) == (False, ["SEND"])
    assert found["SnsDestination"]["TopicArn"] == aws.simulator.topic_arn
    aws.send()
    aws.ses.delete_configuration_set_event_destination(**where)
    with pytest.raises(aws.ses.exceptions.NotFoundException):
        aws.ses.delete_configuration_set_event_destination(**where)
    assert aws.events(1, timeout=0.2) == []


@pytest.mark.parametrize(
    "destination",
    [
        {"MatchingEventTypes": ["SENT"]},
        {"MatchingEventTypes": []},
        {
            "MatchingEventTypes": ["SEND"],
            "SnsDestination": {"TopicArn": "arn:aws:sns:us-east-1:000000000000:nowhere"},
        },
    ],
)
def test_bad_event_destination_is_refused(aws: Account, destination: dict[str, object]) -> None:
    with pytest.raises(aws.ses.exceptions.BadRequestException):
        aws.ses.create_configuration_set_event_destination(
            ConfigurationSetName="bes", EventDestinationName="x", EventDestination=destination
        )


def test_identities_are_verified_at_once(aws: Account) -> None:
    made = aws.ses.create_email_identity(EmailIdentity="example.com", ConfigurationSetName="bes")
    assert (made["IdentityType"], made["VerifiedForSendingStatus"]) == ("DOMAIN", True)
    aws.ses.create_email_identity(EmailIdentity="news+x@example.org")
    listed = aws.ses.list_email_identities()["EmailIdentities"]
    assert [(i["IdentityName"], i["IdentityType"]) for i in listed] == [
        ("example.com", "DOMAIN"),
        ("news+x@example.org", "EMAIL_ADDRESS"),
    ]
    found = aws.ses.get_email_identity(EmailIdentity="example.com")
    assert found["DkimAttributes"]["Status"] == "SUCCESS"
    assert found["ConfigurationSetName"] == "bes"
    aws.ses.put_email_identity_mail_from_attributes(
        EmailIdentity="example.com", MailFromDomain="bounce.example.com"
    )
    found = aws.ses.get_email_identity(EmailIdentity="example.com")
    assert found["MailFromAttributes"]["MailFromDomain"] == "bounce.example.com"
    aws.ses.delete_email_identity(EmailIdentity="news+x@example.org")
    assert len(aws.ses.list_email_identities()["EmailIdentities"]) == 1


def test_suppression_list_is_filled_read_by_page_and_emptied(aws: Account) -> None:
    for number in range(5):
        aws.ses.put_suppressed_destination(
            EmailAddress=f"r+{number}@example.org", Reason="BOUNCE" if number else "COMPLAINT"
        )
    first = aws.ses.list_suppressed_destinations(PageSize=3)
    second = aws.ses.list_suppressed_destinations(PageSize=3, NextToken=first["NextToken"])
    pages = first["SuppressedDestinationSummaries"] + second["SuppressedDestinationSummaries"]
    assert [entry["EmailAddress"] for entry in pages] == [f"r+{n}@example.org" for n in range(5)]
    assert "NextToken" not in second
    complaints = aws.ses.list_suppressed_destinations(Reasons=["COMPLAINT"])
    assert len(complaints["SuppressedDestinationSummaries"]) == 1
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    later = aws.ses.list_suppressed_destinations(StartDate=tomorrow)
    assert later["SuppressedDestinationSummaries"] == []
    found = aws.ses.get_suppressed_destination(EmailAddress="r+0@example.org")
    assert found["SuppressedDestination"]["Reason"] == "COMPLAINT"
    aws.ses.delete_suppressed_destination(EmailAddress="r+0@example.org")
    with pytest.raises(aws.ses.exceptions.NotFoundException):
        aws.ses.get_suppressed_destination(EmailAddress="r+0@example.org")


def test_suppressed_address_is_accepted_and_told_by_event(aws: Account) -> None:
    aws.ses.put_suppressed_destination(EmailAddress="b@example.org", Reason="BOUNCE")
    aws.ses.put_suppressed_destination(EmailAddress="c@example.org", Reason="COMPLAINT")
    aws.send("b@example.org")
    aws.send("c@example.org")
    seen = {event["eventType"]: event for event in aws.events(4)}
    assert seen["Bounce"]["bounce"]["bounceSubType"] == "OnAccountSuppressionList"
    assert seen["Complaint"]["complaint"]["complaintSubType"] == "OnAccountSuppressionList"
    assert "Delivery" not in seen
    assert aws.ses.get_account()["SendQuota"]["SentLast24Hours"] == 2


def test_configuration_set_can_switch_suppression_off(aws: Account) -> None:
    aws.ses.put_suppressed_destination(EmailAddress="b@example.org", Reason="BOUNCE")
    aws.ses.put_configuration_set_suppression_options(
        ConfigurationSetName="bes", SuppressedReasons=[]
    )
    aws.send("b@example.org")
    assert [event["eventType"] for event in aws.events(2)] == ["Send", "Delivery"]


def test_account_decides_which_reasons_suppress(aws: Account) -> None:
    aws.ses.put_account_suppression_attributes(SuppressedReasons=["COMPLAINT"])
    aws.ses.put_suppressed_destination(EmailAddress="b@example.org", Reason="BOUNCE")
    aws.send("b@example.org")
    assert [event["eventType"] for event in aws.events(2)] == ["Send", "Delivery"]


def test_templates_are_made_rendered_changed_and_deleted(aws: Account) -> None:
    aws.ses.create_email_template(
        TemplateName="hello", TemplateContent={"Subject": "Hi {{n}}", "Html": "<p>{{n}}</p>"}
    )
    rendered = aws.ses.test_render_email_template(TemplateName="hello", TemplateData='{"n": "A&B"}')
    assert rendered["RenderedTemplate"].endswith("<p>A&B</p>")
    with pytest.raises(ClientError, match="Attribute 'n' is not present"):
        aws.ses.test_render_email_template(TemplateName="hello", TemplateData="{}")
    aws.ses.update_email_template(TemplateName="hello", TemplateContent={"Text": "new"})
    found = aws.ses.get_email_template(TemplateName="hello")
    assert found["TemplateContent"] == {"Text": "new"}
    assert [t["TemplateName"] for t in aws.ses.list_email_templates()["TemplatesMetadata"]] == [
        "hello"
    ]
    aws.ses.delete_email_template(TemplateName="hello")
    with pytest.raises(aws.ses.exceptions.NotFoundException):
        aws.ses.get_email_template(TemplateName="hello")


@pytest.mark.parametrize(
    ("address", "verdict"),
    [("ann@example.org", "HIGH"), ("risky1@example.org", "MEDIUM"), ("bounce@example.org", "LOW")],
)
def test_address_insights_judge_by_the_local_part(aws: Account, address: str, verdict: str) -> None:
    found = aws.ses.get_email_address_insights(EmailAddress=address)["MailboxValidation"]
    assert found["IsValid"]["ConfidenceVerdict"] == verdict
    assert found["Evaluations"]["MailboxExists"]["ConfidenceVerdict"] == verdict


def test_unknown_operation_is_an_error_not_silence(aws: Account) -> None:
    with pytest.raises(ClientError, match="no such operation"):
        aws.ses.list_contact_lists()
