"""What a person may do with a campaign in which state, and the status document."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from database import writing
from domain.rendering import TemplateProblem
from domain.statuses import CampaignStatus, Fact, RecipientStatus
from models import Campaign, RateSample
from services import campaigns
from services.campaigns import CampaignContent, EditConflict, NotFound, Refused
from services.ledger import read_counters
from services.recount import recount
from tests.factories import add_campaign, add_recipients

CONTENT = CampaignContent(
    name="Autumn", subject="Hello {{ name }}", html="<p>Hello {{ name }}</p><p>Bye</p>"
)


def create(session, settings, now, content=CONTENT):
    with writing(session):
        return campaigns.create_campaign(session, content, settings, now, "owner@example.com")


def ready(session, now, **values):
    with writing(session):
        campaign = add_campaign(session, now, **values)
        add_recipients(session, campaign, [f"p{n}@example.com" for n in range(5)], now)
    return campaign


def in_state(session, now, status):
    return ready(session, now, status=status)


def test_a_new_campaign_is_a_draft_with_a_text_part_and_zero_counters(session, settings, now):
    campaign = create(session, settings, now)
    assert campaign.status is CampaignStatus.DRAFT
    assert "Hello {{ name }}" in campaign.text
    assert "<p>" not in campaign.text
    assert campaign.from_email == settings.sender_email
    assert campaign.from_name == settings.sender_name
    assert set(read_counters(session, campaign.id).values()) == {0}


def test_a_template_error_is_told_at_save_and_nothing_is_stored(session, settings, now):
    broken = CampaignContent(name="x", subject="s", html="<p>\n{{ name</p>")
    with pytest.raises(TemplateProblem) as caught:
        create(session, settings, now, broken)
    assert caught.value.line == 2
    assert session.query(Campaign).count() == 0


@pytest.mark.parametrize("name", ["", "   ", "x" * 201])
def test_a_campaign_needs_a_name_of_reasonable_length(session, settings, now, name):
    with pytest.raises(Refused, match="name"):
        create(session, settings, now, CampaignContent(name=name, subject="s", html="h"))


@pytest.mark.parametrize("field", ["subject", "from_name", "from_email", "reply_to"])
def test_what_ends_in_a_header_is_one_line(session, settings, now, field):
    values: dict[str, Any] = {field: "news@example.com\r\nBcc: other@example.com"}
    forged = replace(CONTENT, **values)
    with pytest.raises(Refused, match="one line"):
        create(session, settings, now, forged)
    assert session.query(Campaign).count() == 0


@pytest.mark.parametrize("field", ["from_email", "reply_to"])
def test_sender_and_reply_to_must_be_addresses(session, settings, now, field):
    values: dict[str, Any] = {field: "newsroom"}
    with pytest.raises(Refused, match="no e-mail address"):
        create(session, settings, now, replace(CONTENT, **values))


def test_a_text_part_written_by_hand_is_kept(session, settings, now):
    content = CampaignContent(
        name="x", subject="s", html="<p>a</p>", text="by hand", text_is_automatic=False
    )
    campaign = create(session, settings, now, content)
    assert (campaign.text, campaign.text_is_automatic) == ("by hand", False)


def test_two_people_who_edit_the_same_campaign_are_told(session, settings, now):
    campaign = create(session, settings, now)
    with writing(session):
        campaigns.update_campaign(session, campaign.id, CONTENT, settings, now, expected_version=1)
    with pytest.raises(EditConflict), writing(session):
        campaigns.update_campaign(session, campaign.id, CONTENT, settings, now, expected_version=1)


def test_a_campaign_without_recipients_cannot_be_launched(session, settings, now):
    campaign = create(session, settings, now)
    with pytest.raises(Refused, match="no recipients"), writing(session):
        campaigns.launch(session, campaign.id, settings, now, "owner")


def test_a_launch_starts_once_and_says_so_the_second_time(session, settings, now):
    campaign = ready(session, now)
    with writing(session):
        campaigns.launch(session, campaign.id, settings, now, "owner")
    assert campaigns.get_campaign(session, campaign.id).status is CampaignStatus.SENDING
    with pytest.raises(Refused, match="only once"), writing(session):
        campaigns.launch(session, campaign.id, settings, now, "owner")


def test_a_launch_at_a_later_time_is_a_schedule_that_can_be_taken_back(session, settings, now):
    campaign = ready(session, now)
    later = now + timedelta(days=1)
    with writing(session):
        campaigns.launch(
            session, campaign.id, settings, now, "owner", at=later, zone="Europe/Madrid"
        )
    scheduled = campaigns.get_campaign(session, campaign.id)
    assert (scheduled.status, scheduled.scheduled_at) == ("scheduled", later)
    with writing(session):
        campaigns.unschedule(session, campaign.id, now)
    assert campaigns.get_campaign(session, campaign.id).status is CampaignStatus.DRAFT


def test_a_time_in_the_past_is_refused(session, settings, now):
    campaign = ready(session, now)
    with pytest.raises(Refused, match="over already"), writing(session):
        campaigns.launch(session, campaign.id, settings, now, "owner", at=now)


ALLOWED = {
    "pause": {"scheduled", "sending"},
    "resume": {"paused"},
    "cancel": {"scheduled", "sending", "paused"},
    "delete_draft": {"draft"},
    "unschedule": {"scheduled"},
}


def do(session, deed, campaign_id, now):
    extra = {"pause": {"by": "owner"}, "cancel": {"by": "owner"}}.get(deed, {})
    arguments = () if deed == "delete_draft" else (now,)
    with writing(session):
        getattr(campaigns, deed)(session, campaign_id, *arguments, **extra)


@pytest.mark.parametrize("status", list(CampaignStatus))
@pytest.mark.parametrize("deed", list(ALLOWED))
def test_each_deed_is_possible_in_its_states_and_refused_in_all_others(session, now, deed, status):
    campaign = in_state(session, now, status)
    if status in ALLOWED[deed]:
        do(session, deed, campaign.id, now)
    else:
        with pytest.raises(Refused):
            do(session, deed, campaign.id, now)
        assert campaigns.get_campaign(session, campaign.id).status is status


def test_a_campaign_paused_before_its_time_waits_for_it_again(session, now):
    campaign = ready(
        session, now, status=CampaignStatus.PAUSED, scheduled_at=now + timedelta(hours=1)
    )
    do(session, "resume", campaign.id, now)
    assert campaigns.get_campaign(session, campaign.id).status is CampaignStatus.SCHEDULED


def test_resuming_clears_the_reason(session, now):
    campaign = in_state(session, now, CampaignStatus.SENDING)
    do(session, "pause", campaign.id, now)
    assert "Resume" in (campaigns.get_campaign(session, campaign.id).reason or "")
    do(session, "resume", campaign.id, now)
    assert campaigns.get_campaign(session, campaign.id).reason is None


def test_cancelling_turns_the_waiting_rows_and_keeps_the_sent_ones(session, now):
    campaign = in_state(session, now, CampaignStatus.SENDING)
    with writing(session):
        add_recipients(session, campaign, ["sent@example.com"], now, facts=Fact.ACCEPTED)
    do(session, "cancel", campaign.id, now)
    with writing(session):
        assert campaigns.cancel_pending(session, campaign.id, now, limit=3) == 3
    with writing(session):
        assert campaigns.cancel_pending(session, campaign.id, now, limit=3) == 2
    counters = read_counters(session, campaign.id)
    assert (counters["cancelled"], counters["sent"], counters["pending"]) == (5, 1, 0)
    assert counters == recount(session, campaign.id)


def test_the_status_document_adds_up(session, now):
    campaign = in_state(session, now, CampaignStatus.SENDING)
    with writing(session):
        add_recipients(session, campaign, ["a@example.org"], now, facts=Fact.DELIVERED)
        slot = int(now.timestamp()) // campaigns.RATE_SLOT_SECONDS - 1
        session.add(RateSample(campaign_id=campaign.id, slot=slot, accepted=50))
    status = campaigns.campaign_status(session, campaign.id, now)
    assert set(status) == {
        "id", "status", "reason", "waiting_until", "total", "counts", "reached", "opened",
        "clicked", "opened_machine", "clicked_machine", "unsubscribed", "duplicates", "rate",
    }  # fmt: skip
    assert set(status["counts"]) == {str(s) for s in RecipientStatus}
    assert sum(status["counts"].values()) == status["total"] == 6
    assert set(status["reached"]) == {
        "accepted", "delivered", "delayed", "soft_bounced", "bounced", "complained",
    }  # fmt: skip
    assert status["reached"]["accepted"] == status["reached"]["delivered"] == 1
    assert status["rate"] == 5.0


def test_a_campaign_that_does_not_exist_is_named(session, now):
    with pytest.raises(NotFound, match="no campaign 99"):
        campaigns.campaign_status(session, 99, now)


def test_a_duplicate_takes_the_content_and_no_recipients(session, now):
    source = ready(session, now, cap_per_second=2.5)
    with writing(session):
        copy = campaigns.duplicate_campaign(session, source.id, now, "owner")
    assert (copy.name, copy.html, copy.cap_per_second) == (
        "Autumn news (copy)", source.html, 2.5,
    )  # fmt: skip
    assert read_counters(session, copy.id)["total"] == 0
