"""New Campaign and Edit campaign: nothing typed is lost, faults are named with their place."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from database import writing
from domain.starter_templates import starter_templates
from domain.statuses import CampaignStatus
from models import Campaign
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post, words
from web.database import db

MAIL = {
    "name": "Winter hours",
    "subject": "Hello {{ name | default('reader') }}",
    "html": "<p>Dear {{ name }}, <b>welcome</b></p>",
    "text_is_automatic": "y",
    "tracking": "auto",
}


@pytest.fixture
def stored(app: Flask, now: datetime) -> int:
    """A draft with three recipients."""
    with app.app_context(), writing(db.session):
        campaign = add_campaign(db.session, now)
        emails = ["ida@example.com", "maple@example.org", "zoe@example.net"]
        add_recipients(db.session, campaign, emails, now, variables='{"name": "Maple"}')
        return campaign.id


def campaigns(app: Flask) -> list[Campaign]:
    with app.app_context():
        return list(db.session.scalars(select(Campaign)))


def test_the_fields_have_the_names_users_look_for(logged_in: FlaskClient) -> None:
    document = page(logged_in.get("/campaigns/new"))
    for label in ("Campaign name", "Email subject", "Email content"):
        [found] = document.xpath(f"//label[normalize-space()='{label}']")
        assert document.get_element_by_id(found.get("for")).tag in ("input", "textarea")
    assert document.xpath("//main//button[normalize-space()='Save Campaign']")


def test_a_new_campaign_is_saved_with_a_text_part_of_its_own(
    app: Flask, logged_in: FlaskClient
) -> None:
    shown = follow(logged_in, post(logged_in, "/campaigns/new", MAIL))
    assert "Winter hours" in main_words(shown)
    [campaign] = campaigns(app)
    assert campaign.status is CampaignStatus.DRAFT
    assert "Dear {{ name }}, welcome" in campaign.text
    assert campaign.text_is_automatic
    assert campaign.from_email == "news@example.com"


def test_the_same_press_twice_makes_one_campaign(app: Flask, logged_in: FlaskClient) -> None:
    twice = {**MAIL, "once": "a-key-of-the-page"}
    first, second = (post(logged_in, "/campaigns/new", twice) for _ in range(2))
    assert first.headers["Location"] == second.headers["Location"]
    assert len(campaigns(app)) == 1


def test_a_text_part_of_ones_own_is_kept(app: Flask, logged_in: FlaskClient) -> None:
    own = {key: value for key, value in MAIL.items() if key != "text_is_automatic"}
    post(logged_in, "/campaigns/new", {**own, "text": "My own words, {{ name }}"})
    [campaign] = campaigns(app)
    assert campaign.text == "My own words, {{ name }}"
    assert not campaign.text_is_automatic


def test_a_template_fault_is_shown_with_part_line_and_nothing_lost(
    app: Flask, logged_in: FlaskClient
) -> None:
    broken = "<p>one</p>\n<p>two</p>\n<p>{% if name %}three</p>"
    answer = post(logged_in, "/campaigns/new", {**MAIL, "html": broken})
    assert answer.status_code == 400
    said = main_words(answer)
    assert "Email content, line 3" in said
    assert "Nothing was saved yet" in said
    document = page(answer)
    assert document.get_element_by_id("html").text.strip() == broken
    assert document.get_element_by_id("name").get("value") == "Winter hours"
    assert not campaigns(app)


def test_an_empty_name_is_refused_beside_its_field(logged_in: FlaskClient) -> None:
    answer = post(logged_in, "/campaigns/new", {**MAIL, "name": "  "})
    assert answer.status_code == 400
    assert page(answer).get_element_by_id("name").get("aria-invalid") == "true"
    assert "Give the campaign a name" in main_words(answer)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"from_email": "no address"}, "it has no @"),
        ({"window_start": "08:00"}, "Give both times, or neither."),
        ({"window_start": "08:00", "window_end": "18:00"}, "A send window needs a time zone."),
        (
            {"window_start": "08:00", "window_end": "18:00", "window_zone": "Mars/Base"},
            "Choose a time zone from the list",
        ),
        ({"batch_size": "100"}, "Batches need both a size and a pause."),
        ({"cap_per_second": "-1"}, "Write a number from 0.01"),
        ({"subject": "two\nlines"}, "This must be one line."),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(
    app: Flask, logged_in: FlaskClient, fields: dict[str, str], sentence: str
) -> None:
    answer = post(logged_in, "/campaigns/new", {**MAIL, **fields})
    assert answer.status_code == 400
    assert sentence in main_words(answer)
    assert not campaigns(app)


def test_pace_and_hours_are_kept_and_shown_again(app: Flask, logged_in: FlaskClient) -> None:
    pace: dict[str, Any] = {
        "cap_per_second": "2.5",
        "batch_size": "500",
        "batch_pause_minutes": "1.5",
        "window_days": ["0", "4"],
        "window_start": "08:00",
        "window_end": "18:00",
        "window_zone": "Europe/Vienna",
        "tracking": "critical",
        "send_undeliverable": "y",
    }
    post(logged_in, "/campaigns/new", {**MAIL, **pace})
    [campaign] = campaigns(app)
    assert (campaign.cap_per_second, campaign.batch_size) == (2.5, 500)
    assert (campaign.batch_pause_seconds, campaign.window_days) == (90, "0,4")
    assert (campaign.tracking, campaign.send_undeliverable) == ("critical", True)
    document = page(logged_in.get(f"/campaigns/{campaign.id}/edit"))
    assert document.get_element_by_id("batch_pause_minutes").get("value") == "1.5"
    ticked = document.xpath("//input[@name='window_days'][@checked]/@value")
    assert ticked == ["0", "4"]


def test_two_people_who_edit_at_once_are_told_and_lose_nothing(
    app: Flask, logged_in: FlaskClient, stored: int
) -> None:
    address = f"/campaigns/{stored}/edit"
    assert post(logged_in, address, {**MAIL, "content_version": "1"}).status_code == 303
    mine = {**MAIL, "name": "My name", "content_version": "1"}
    answer = post(logged_in, address, mine)
    assert answer.status_code == 409
    assert "Somebody else saved this campaign" in main_words(answer)
    document = page(answer)
    assert document.get_element_by_id("name").get("value") == "My name"
    [button] = document.xpath("//button[@name='overwrite']")
    follow(logged_in, post(logged_in, address, {**mine, "overwrite": button.get("value")}))
    assert campaigns(app)[0].name == "My name"


def test_a_launched_campaign_cannot_be_edited(
    app: Flask, logged_in: FlaskClient, stored: int
) -> None:
    with app.app_context(), writing(db.session):
        db.session.get_one(Campaign, stored).status = CampaignStatus.SENDING
    assert logged_in.get(f"/campaigns/{stored}/edit").status_code == 303
    assert post(logged_in, f"/campaigns/{stored}/edit", MAIL).status_code == 303
    assert campaigns(app)[0].name == "Autumn news"


@pytest.mark.parametrize("starter", starter_templates(), ids=lambda starter: starter.key)
def test_a_starter_fills_the_form_and_saves_nothing(
    app: Flask, logged_in: FlaskClient, starter: Any
) -> None:
    typed = {"name": "Kept", "subject": "", "html": "", "starter": starter.key}
    document = page(post(logged_in, "/campaigns/new", typed))
    assert document.get_element_by_id("name").get("value") == "Kept"
    assert document.get_element_by_id("subject").get("value") == starter.subject
    assert document.get_element_by_id("html").text.strip() == starter.html.strip()
    assert not campaigns(app)
    filled = {**MAIL, "subject": starter.subject, "html": starter.html}
    assert post(logged_in, "/campaigns/new", filled).status_code == 303


def test_the_menu_offers_the_recipients_own_columns_with_examples(
    logged_in: FlaskClient, stored: int
) -> None:
    document = page(logged_in.get(f"/campaigns/{stored}/edit"))
    offered = {
        button.get("data-insert"): words(button)
        for button in document.xpath("//button[@data-insert]")
    }
    assert "for example Maple" in offered["{{ name }}"]
    assert {"{{ email }}", "{{ unsubscribe_url }}", "{{ campaign_name }}"} < set(offered)


def test_the_live_preview_is_a_document_that_can_run_nothing(
    app: Flask, logged_in: FlaskClient, stored: int
) -> None:
    typed = {**MAIL, "html": "<p>Dear {{ name }}</p><script>alert(1)</script>"}
    answer = post(logged_in, f"/campaigns/preview-frame?campaign_id={stored}", typed)
    assert "Dear Maple" in answer.get_data(as_text=True)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-same-origin;" in policy
    assert "script" not in policy
    assert campaigns(app)[0].name == "Autumn news"


def test_the_facts_name_variables_that_no_column_has(logged_in: FlaskClient, stored: int) -> None:
    typed = {**MAIL, "html": "<p>{{ name }} of {{ company }}</p>"}
    said = post(logged_in, f"/campaigns/preview-facts?campaign_id={stored}", typed)
    text = said.get_data(as_text=True)
    assert "No column is called company" in text
    assert "Hello Maple" in text


def test_a_mail_of_a_megabyte_passes_the_form(app: Flask, logged_in: FlaskClient) -> None:
    large = {**MAIL, "html": "<p>ü&amp;</p>" * 70_000}
    assert post(logged_in, "/campaigns/new", large).status_code == 303
    assert len(campaigns(app)[0].html) == len(large["html"])


def test_names_of_every_kind_stay_words(logged_in: FlaskClient) -> None:
    name = "<script>alert('x')</script> شيماء " + "W" * 150
    answer = follow(logged_in, post(logged_in, "/campaigns/new", {**MAIL, "name": name}))
    assert name in main_words(answer)
    assert "<script>alert" not in answer.get_data(as_text=True)
