"""Sending through boto3: what is accepted, what is refused and in which words."""

from __future__ import annotations

import json
from email.message import EmailMessage
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.simulator.conftest import SUCCESS, Account

NAMES = {"Subject": "Hi {{name}}", "Html": "<p>{{{name}}} &amp; {{ a.b }}</p>", "Text": "{{name}}"}


def mail(aws: Account, message_id: str) -> Any:
    """The mail as the simulator keeps it."""
    return aws.get(f"/_sim/mails/{message_id}.json")


def bulk(aws: Account, entries: list[dict[str, Any]], **changes: Any) -> list[dict[str, Any]]:
    call = {
        "FromEmailAddress": "News <news@example.com>",
        "DefaultContent": {
            "Template": {
                "TemplateContent": NAMES,
                "TemplateData": json.dumps({"name": "reader", "a": {"b": "c"}}),
                "Headers": [{"Name": "X-Kept", "Value": "1"}, {"Name": "X-Own", "Value": "old"}],
            }
        },
        "DefaultEmailTags": [{"Name": "bes_campaign", "Value": "3"}],
        "BulkEmailEntries": entries,
        "ConfigurationSetName": "bes",
    } | changes
    return list(aws.ses.send_bulk_email(**call)["BulkEmailEntryResults"])


def entry(to: str, **data: Any) -> dict[str, Any]:
    template = {"ReplacementTemplateData": json.dumps(data)}
    return {
        "Destination": {"ToAddresses": [to]},
        "ReplacementEmailContent": {"ReplacementTemplate": template},
    }


def test_simple_mail_is_kept_with_both_parts_headers_and_tags(aws: Account) -> None:
    headers = [{"Name": "List-Unsubscribe", "Value": "<https://example.com/u/1>"}]
    simple = {
        "Subject": {"Data": "Grüße"},
        "Body": {"Html": {"Data": "<p>ü</p>"}, "Text": {"Data": "ü"}},
        "Headers": headers,
    }
    kept = mail(aws, aws.send(Content={"Simple": simple}, ReplyToAddresses=["reply@example.com"]))
    assert (kept["subject"], kept["html"], kept["text"]) == ("Grüße", "<p>ü</p>", "ü")
    assert kept["headers"] == [{"name": "List-Unsubscribe", "value": "<https://example.com/u/1>"}]
    assert kept["tags"] == {"bes_recipient": "17"}
    assert (kept["to"], kept["reply_to"]) == ([SUCCESS], ["reply@example.com"])


def test_raw_mail_takes_recipients_and_parts_from_its_mime(aws: Account) -> None:
    message = EmailMessage()
    message["From"] = "Raw <raw@example.com>"
    message["To"] = "One <one@example.org>"
    message["Subject"] = "Grüße"
    message["X-Own"] = "yes"
    message.set_content("plain")
    message.add_alternative("<p>html</p>", subtype="html")
    answer = aws.ses.send_email(Content={"Raw": {"Data": message.as_bytes()}})
    kept = mail(aws, answer["MessageId"])
    assert (kept["from"], kept["to"]) == ("Raw <raw@example.com>", ["One <one@example.org>"])
    assert (kept["subject"], kept["html"].strip()) == ("Grüße", "<p>html</p>")
    assert kept["headers"] == [{"name": "X-Own", "value": "yes"}]


@pytest.mark.parametrize("named", [True, False])
def test_template_is_rendered_without_escaping(aws: Account, named: bool) -> None:
    content: dict[str, Any] = {"TemplateContent": NAMES}
    if named:
        aws.ses.create_email_template(TemplateName="hello", TemplateContent=NAMES)
        content = {"TemplateName": "hello"}
    data = json.dumps({"name": "<Ann>", "a": {"b": 5}})
    kept = mail(aws, aws.send(Content={"Template": content | {"TemplateData": data}}))
    assert (kept["subject"], kept["html"]) == ("Hi <Ann>", "<p><Ann> &amp; 5</p>")


def test_missing_template_variable_is_accepted_and_told_by_event(aws: Account) -> None:
    message_id = aws.send(Content={"Template": {"TemplateContent": NAMES, "TemplateData": "{}"}})
    (event,) = aws.events(1)
    assert event["eventType"] == "Rendering Failure"
    assert event["mail"]["messageId"] == message_id
    assert event["failure"]["errorMessage"] == (
        "Attribute 'name' is not present in the rendering data."
    )


def test_bulk_entries_get_their_own_data_headers_and_tags(aws: Account) -> None:
    first = entry("one@example.org", name="One") | {
        "ReplacementHeaders": [{"Name": "x-own", "Value": "new"}],
        "ReplacementTags": [{"Name": "bes_recipient", "Value": "1"}],
    }
    results = bulk(aws, [first, {"Destination": {"ToAddresses": ["two@example.org"]}}])
    assert [result["Status"] for result in results] == ["SUCCESS", "SUCCESS"]
    one, two = (mail(aws, result["MessageId"]) for result in results)
    assert (one["subject"], one["html"]) == ("Hi One", "<p>One &amp; c</p>")
    assert one["headers"] == [{"name": "X-Kept", "value": "1"}, {"name": "x-own", "value": "new"}]
    assert one["tags"] == {"bes_campaign": "3", "bes_recipient": "1"}
    assert (two["subject"], two["tags"]) == ("Hi reader", {"bes_campaign": "3"})
    assert two["headers"][1] == {"name": "X-Own", "value": "old"}


def test_a_bad_bulk_entry_fails_alone(aws: Account) -> None:
    results = bulk(aws, [entry("no address"), entry("two@example.org", name="2")])
    assert [result["Status"] for result in results] == ["INVALID_PARAMETER", "SUCCESS"]
    assert aws.get("/_sim/counts.json")["counts"] == {"two@example.org": 1}


def test_bulk_names_a_missing_configuration_set_or_template_per_entry(aws: Account) -> None:
    entries = [entry("one@example.org"), entry("two@example.org")]
    results = bulk(aws, entries, ConfigurationSetName="other")
    assert [result["Status"] for result in results] == ["CONFIGURATION_SET_NOT_FOUND"] * 2
    content = {"Template": {"TemplateName": "other", "TemplateData": "{}"}}
    assert bulk(aws, entries, DefaultContent=content)[0]["Status"] == "TEMPLATE_NOT_FOUND"
    assert aws.get("/_sim/outbox.json")["total"] == 0


def test_bulk_takes_fifty_entries_and_no_more(aws: Account) -> None:
    entries = [entry(f"r{number}@example.org") for number in range(51)]
    assert len(bulk(aws, entries[:50])) == 50
    with pytest.raises(aws.ses.exceptions.BadRequestException):
        bulk(aws, entries)
    assert aws.get("/_sim/outbox.json")["total"] == 50


@pytest.mark.parametrize("html", ["{{#if a}}x{{/if}}", "a {{ b c }}", "{{"])
def test_inline_template_takes_simple_substitutions_only(aws: Account, html: str) -> None:
    content = {"Template": {"TemplateContent": {"Html": html}, "TemplateData": "{}"}}
    with pytest.raises(aws.ses.exceptions.BadRequestException):
        aws.send(Content=content)
    assert bulk(aws, [entry("a@example.org")], DefaultContent=content)[0]["Status"] == (
        "INVALID_PARAMETER"
    )


def test_braces_in_data_are_not_rendered_again(aws: Account) -> None:
    (result,) = bulk(aws, [entry("a@example.org", name="{{a.b}} {{#x}}")])
    kept = mail(aws, result["MessageId"])
    assert kept["text"] == "{{a.b}} {{#x}}"


def test_inline_template_over_one_megabyte_is_refused(aws: Account) -> None:
    large = {"Template": {"TemplateContent": {"Html": "x" * 1_100_000}, "TemplateData": "{}"}}
    assert bulk(aws, [entry("a@example.org")], DefaultContent=large)[0]["Status"] == (
        "INVALID_PARAMETER"
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"ConfigurationSetName": "other"}, "NotFoundException"),
        ({"Destination": {"ToAddresses": ["no-at-sign"]}}, "BadRequestException"),
        ({"Destination": {"ToAddresses": ["jürgen@example.org"]}}, "BadRequestException"),
        ({"Destination": {"ToAddresses": ["a b@example.org"]}}, "BadRequestException"),
        ({"Destination": {}}, "BadRequestException"),
        (
            {"Destination": {"ToAddresses": [f"r{n}@example.org" for n in range(51)]}},
            "BadRequestException",
        ),
        ({"EmailTags": [{"Name": "a", "Value": "b@c"}]}, "BadRequestException"),
        ({"FromEmailAddress": ""}, "BadRequestException"),
    ],
)
def test_bad_calls_are_refused_with_the_modelled_error(
    aws: Account, changes: dict[str, Any], error: str
) -> None:
    with pytest.raises(ClientError) as caught:
        aws.send(**changes)
    assert isinstance(caught.value, getattr(aws.ses.exceptions, error))
    assert aws.get("/_sim/outbox.json")["total"] == 0


@pytest.mark.parametrize(
    "header",
    [
        {"Name": "Subject", "Value": "x"},
        {"Name": "X Y", "Value": "x"},
        {"Name": "X-Y", "Value": "ü"},
        {"Name": "X-Y", "Value": "x" * 996},
    ],
)
def test_bad_headers_are_refused(aws: Account, header: dict[str, str]) -> None:
    simple = {"Subject": {"Data": "s"}, "Body": {"Text": {"Data": "t"}}, "Headers": [header]}
    with pytest.raises(aws.ses.exceptions.BadRequestException):
        aws.send(Content={"Simple": simple})


def test_regions_are_accounts_of_their_own(aws: Account) -> None:
    abroad = Account(aws.simulator, "eu-central-1")
    abroad.ses.delete_configuration_set(ConfigurationSetName="bes")
    with pytest.raises(abroad.ses.exceptions.NotFoundException):
        abroad.send()
    aws.send()
    assert aws.ses.get_account()["SendQuota"]["SentLast24Hours"] == 0
    aws.send("someone@example.org")
    assert aws.ses.get_account()["SendQuota"]["SentLast24Hours"] == 1
    assert abroad.ses.get_account()["SendQuota"]["SentLast24Hours"] == 0
    abroad.close()
