"""The list of campaigns, a campaign's page in every state, its live part and its recipients."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from database import writing
from domain.statuses import (
    CampaignStatus,
    EventStatus,
    Fact,
    JobKind,
    JobStatus,
    RecipientStatus,
    SuppressionReason,
)
from models import Bucket, Campaign, Event, Job, RateSample
from services import suppression
from services.lifecycle import THE_PRODUCT
from tests.factories import add_campaign, add_recipients, add_sending
from tests.web.forms import main_words, page, words
from web.database import db

SENT = Fact.CLAIMED | Fact.ACCEPTED
OUTCOMES = {
    "delivered": SENT | Fact.DELIVERED,
    "bounced": SENT | Fact.BOUNCED,
    "complained": SENT | Fact.DELIVERED | Fact.COMPLAINED,
    "failed": Fact.CLAIMED | Fact.REFUSED,
    "skipped": Fact.SKIPPED,
    "pending": Fact(0),
}
Make = Callable[..., int]


@pytest.fixture
def make(app: Flask, now: datetime) -> Make:
    """Makes a campaign with `recipients` (outcome -> number); its id."""

    def _make(recipients: dict[str, int] | None = None, **values: object) -> int:
        with app.app_context(), writing(db.session()):
            campaign = add_campaign(db.session(), now, **values)
            for outcome, number in (recipients or {}).items():
                emails = [f"{outcome}{i:04}@example.com" for i in range(number)]
                add_recipients(db.session(), campaign, emails, now, facts=OUTCOMES[outcome])
            return campaign.id

    return _make


def test_list_shows_progress_and_filters_by_state(logged_in: FlaskClient, make: Make) -> None:
    make({"delivered": 3, "pending": 1}, name="Running", status=CampaignStatus.SENDING)
    make(name="Just written")
    text = main_words(logged_in.get("/campaigns/"))
    assert "All 2" in text
    assert "3 of 4 done" in text
    text = main_words(logged_in.get("/campaigns/?state=draft"))
    assert "Just written" in text
    assert "Running" not in text


def test_list_has_pages_and_counts_all_campaigns(
    app: Flask, logged_in: FlaskClient, make: Make
) -> None:
    for number in range(51):
        make(name=f"Draft {number}")
    make(name="Paused one", status=CampaignStatus.PAUSED)
    first = logged_in.get("/campaigns/")
    assert "All 52" in main_words(first)
    assert len(page(first).xpath("//main//tbody/tr")) == 50
    [older] = page(first).xpath("//a[@rel='next']/@href")
    second = logged_in.get(older)
    assert len(page(second).xpath("//main//tbody/tr")) == 2
    assert "Draft 0" in main_words(second)
    assert page(second).xpath("//a[@rel='prev']/@href") == ["/campaigns/"]
    [live] = page(second).xpath("//div[@data-live]/@data-live")
    assert len(page(logged_in.get(live)).xpath("//tbody/tr")) == 2
    drafts = logged_in.get("/campaigns/?state=draft")
    [older] = page(drafts).xpath("//a[@rel='next']/@href")
    assert len(page(logged_in.get(older)).xpath("//main//tbody/tr")) == 1


def test_list_without_campaigns_says_what_a_campaign_is(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/campaigns/")
    assert "No campaign yet" in main_words(answer)
    assert page(answer).xpath("//main//a[@href='/campaigns/new']")


def test_unknown_campaign_is_not_found(logged_in: FlaskClient) -> None:
    answer = logged_in.get("/campaigns/99")
    assert answer.status_code == 404
    assert "There is no campaign 99." in main_words(answer)


@pytest.mark.parametrize(
    ("status", "values", "buttons", "sentence"),
    [
        ("draft", {}, {"Schedule", "Start Sending"}, "Ready to start"),
        ("scheduled", {"scheduled_zone": "Europe/Berlin"}, {"Start Sending", "Pause", "Cancel"},
         "(Europe/Berlin)"),
        ("sending", {}, {"Pause", "Cancel"}, "recipients done"),
        ("paused", {"paused_by": "ann@example.com", "reason": "Paused by ann@example.com."},
         {"Resume", "Cancel"}, "Paused by ann@example.com."),
        ("paused", {"paused_by": THE_PRODUCT, "reason": "Too many mails bounced."},
         {"Resume", "Cancel"}, "It stopped itself"),
        ("sent", {}, {"Retry failed"}, "1 of 3 sent"),
        ("cancelled", {"reason": "Cancelled by ann@example.com."}, {"Retry failed"},
         "cannot be called back"),
    ],
)  # fmt: skip
def test_page_offers_what_its_state_allows(
    logged_in: FlaskClient,
    make: Make,
    now: datetime,
    status: str,
    values: dict[str, object],
    buttons: set[str],
    sentence: str,
) -> None:
    if status == "scheduled":
        values = {**values, "scheduled_at": now + timedelta(days=3650)}
    rows = {"pending": 2} if status in ("draft", "scheduled") else dict.fromkeys(OUTCOMES, 1)
    campaign_id = make(rows, status=CampaignStatus(status), **values)
    answer = logged_in.get(f"/campaigns/{campaign_id}")
    row = page(answer).xpath("//main//div[@class='page-head']//div[@class='btn-row']")[0]
    offered = {words(element) for element in row.xpath("./a | ./button")}
    assert offered == buttons
    assert sentence in main_words(answer)


def test_figures_of_the_page_are_those_of_the_ledger(logged_in: FlaskClient, make: Make) -> None:
    campaign_id = make(
        {"delivered": 1200, "bounced": 4, "pending": 30, "skipped": 7},
        status=CampaignStatus.SENDING,
    )
    document = page(logged_in.get(f"/campaigns/{campaign_id}"))
    legend = [words(item) for item in document.xpath("//ul[@class='legend']/li")]
    assert legend == ["Delivered1,200", "Bounced4", "Skipped7", "Pending30"]
    done = words(document.xpath("//section[@aria-label='Progress']//div[@class='big']")[0])
    assert done == "1,211 of 1,241 recipients done, 97.6%"


def test_critical_campaign_says_that_delivery_is_not_tracked_and_never_zero_percent(
    app: Flask, logged_in: FlaskClient, make: Make, now: datetime
) -> None:
    critical = {
        "tracking_in_force": "critical",
        "tracking_reason": "Events come through the webhook alone.",
        "delivery_published": False,
    }
    campaign_id = make(status=CampaignStatus.SENT, finished_at=now, **critical)
    with app.app_context(), writing(db.session()):
        campaign = db.session.get_one(Campaign, campaign_id)
        add_recipients(db.session(), campaign, ["ada@example.com"], now, facts=SENT, sent_at=now)
    text = main_words(logged_in.get(f"/campaigns/{campaign_id}"))
    assert "Critical events only, delivery not tracked." in text
    assert "Events come through the webhook alone." in text
    assert "Opened by peoplenot tracked" in text
    assert "Delivery is not tracked in this campaign." in text
    for address in ("/", "/campaigns/"):
        row = page(logged_in.get(address)).xpath("//main//table//tbody/tr")[0]
        cells = [words(cell) for cell in row.xpath("./td")]
        assert "not tracked" in cells
        delivered = cells[3 if address == "/" else 4]
        assert delivered == "not tracked"


def test_page_says_the_level_in_force_and_why(logged_in: FlaskClient, make: Make) -> None:
    begun = make({"delivered": 1}, status=CampaignStatus.SENDING)
    assert "Tracking not decided yet." in main_words(logged_in.get(f"/campaigns/{begun}"))
    full = {"tracking_in_force": "full", "tracking_reason": "Events come through the queue."}
    decided = make({"delivered": 1}, status=CampaignStatus.SENDING, **full)
    text = main_words(logged_in.get(f"/campaigns/{decided}"))
    assert "Full tracking. Events come through the queue." in text
    assert "not tracked" not in text
    draft = make({"pending": 1}, tracking="critical")
    assert "Critical events only" in main_words(logged_in.get(f"/campaigns/{draft}"))


@pytest.mark.parametrize(("hours", "silent"), [(1, False), (25, True)])
def test_mail_without_a_report_for_a_day_says_so(
    app: Flask, logged_in: FlaskClient, make: Make, hours: int, silent: bool
) -> None:
    campaign_id = make(status=CampaignStatus.SENT)
    at = datetime.now(UTC) - timedelta(hours=hours)
    with app.app_context(), writing(db.session()):
        campaign = db.session.get_one(Campaign, campaign_id)
        add_recipients(db.session(), campaign, ["ada@example.com"], at, facts=SENT, sent_at=at)
    text = main_words(logged_in.get(f"/campaigns/{campaign_id}"))
    assert ("no delivery report came" in text) is silent


def test_first_paint_and_refresh_are_the_same_fragment(logged_in: FlaskClient, make: Make) -> None:
    campaign_id = make({"delivered": 2, "pending": 1}, status=CampaignStatus.SENT)
    query = "?state=delivered"
    whole = page(logged_in.get(f"/campaigns/{campaign_id}{query}")).xpath("//div[@data-live]")[0]
    address = whole.get("data-live")
    assert address == f"/campaigns/{campaign_id}/live{query}"
    part = page(logged_in.get(address)).xpath("//div[@data-live]")[0]
    assert words(part) == words(whole)


def test_many_pages_of_a_campaign_share_a_fragment_for_a_moment(
    app: Flask, logged_in: FlaskClient, make: Make
) -> None:
    campaign_id = make({"delivered": 2}, status=CampaignStatus.SENDING)
    address = f"/campaigns/{campaign_id}/live"
    app.config["LIVE_KEPT_SECONDS"] = 60
    first = logged_in.get(address)
    with app.app_context(), writing(db.session()):
        db.session.get_one(Campaign, campaign_id).name = "Another name"
    again = logged_in.get(address)
    assert (again.data, again.headers["ETag"]) == (first.data, first.headers["ETag"])
    assert again.headers["X-Next-In"] == first.headers["X-Next-In"]
    etag = {"If-None-Match": first.headers["ETag"]}
    assert logged_in.get(address, headers=etag).status_code == 304
    assert "Another name" in words(page(logged_in.get(f"{address}?state=delivered")))
    assert app.test_client().get(address, headers={"X-Live": "1"}).status_code == 401


def test_unchanged_fragment_is_answered_304_and_a_change_is_seen(
    app: Flask, logged_in: FlaskClient, make: Make, now: datetime
) -> None:
    campaign_id = make({"delivered": 2}, status=CampaignStatus.SENT)
    first = logged_in.get(f"/campaigns/{campaign_id}/live")
    etag = first.headers["ETag"]
    again = logged_in.get(f"/campaigns/{campaign_id}/live", headers={"If-None-Match": etag})
    assert again.status_code == 304
    assert again.data == b""
    assert again.headers["X-Next-In"]
    with app.app_context(), writing(db.session()):
        campaign = db.session.get_one(Campaign, campaign_id)
        add_recipients(db.session(), campaign, ["late@example.com"], now, facts=int(SENT))
    changed = logged_in.get(f"/campaigns/{campaign_id}/live", headers={"If-None-Match": etag})
    assert changed.status_code == 200


@pytest.mark.parametrize(
    ("status", "rows", "sent_ago", "pause"),
    [
        ("draft", {"pending": 1}, None, "0"),
        ("sending", {"pending": 1}, 5, "2"),
        ("sent", {"delivered": 1, "bounced": 1}, 5, "0"),
        ("sent", {"accepted": 1}, 5, "30"),
        ("sent", {"accepted": 1}, 600, "30"),
        ("sent", {"accepted": 1}, 25 * 3600, "0"),
        ("paused", {"pending": 1}, 600, "30"),
    ],
)
def test_page_asks_again_only_as_long_as_something_can_change(
    app: Flask,
    logged_in: FlaskClient,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    now: datetime,
    status: str,
    rows: dict[str, int],
    sent_ago: int | None,
    pause: str,
) -> None:
    monkeypatch.setitem(OUTCOMES, "accepted", SENT)
    last = datetime.now(now.tzinfo) - timedelta(seconds=sent_ago) if sent_ago else None
    campaign_id = make(rows, status=CampaignStatus(status), last_sent_at=last)
    assert logged_in.get(f"/campaigns/{campaign_id}/live").headers["X-Next-In"] == pause


def test_running_import_shows_its_progress_and_keeps_the_draft_live(
    app: Flask, logged_in: FlaskClient, make: Make, now: datetime
) -> None:
    campaign_id = make()
    with app.app_context(), writing(db.session()):
        db.session.add(Job(kind=JobKind.IMPORT, campaign_id=campaign_id, created_at=now,
                           status=JobStatus.RUNNING, done=1200, total=5000))  # fmt: skip
    answer = logged_in.get(f"/campaigns/{campaign_id}")
    assert "1,200 of 5,000 rows read" in main_words(answer)
    assert page(answer).xpath("//div[@data-live]/@data-next") == ["2"]


def test_rate_and_its_curve_come_from_the_samples(
    app: Flask, logged_in: FlaskClient, make: Make
) -> None:
    campaign_id = make({"pending": 900}, status=CampaignStatus.SENDING)
    slot = int(time.time()) // 5
    with app.app_context(), writing(db.session()):
        for back in range(12):
            db.session.add(RateSample(campaign_id=campaign_id, slot=slot - back, accepted=45))
    answer = logged_in.get(f"/campaigns/{campaign_id}")
    tile = page(answer).xpath("//div[@class='stat'][dt='Sending rate']//span[@class='value']")[0]
    assert words(tile) == "9.0 /s"
    assert page(answer).xpath("//*[local-name()='svg'][@class='spark']")
    assert "Finishes about" in main_words(answer)


def test_reason_of_the_limit_stands_open_below_the_rate(
    app: Flask, logged_in: FlaskClient, make: Make, now: datetime
) -> None:
    campaign_id = make({"pending": 900}, status=CampaignStatus.SENDING)
    reason = "MAX_EMAILS_PER_SECOND is 10; the SES account would allow 50 a second."
    with app.app_context(), writing(db.session()):
        bucket = db.session.get_one(Bucket, "send")
        bucket.rate_reason, bucket.account_read_at = reason, now
    answer = logged_in.get(f"/campaigns/{campaign_id}")
    [sentence] = page(answer).xpath("//p[@data-limit]")
    assert reason in words(sentence)
    assert not sentence.xpath("ancestor::details")


def _rows(client: FlaskClient, address: str) -> list[str]:
    return [str(a.text) for a in page(client.get(address)).xpath("//tbody//a[@class='cut']")]


def _link(client: FlaskClient, address: str, rel: str) -> str | None:
    found = page(client.get(address)).xpath(f"//a[@rel='{rel}']/@href")
    return str(found[0]) if found else None


def test_pages_of_recipients_follow_one_another_without_gap_or_repeat(
    logged_in: FlaskClient, make: Make
) -> None:
    campaign_id = make({"pending": 120, "bounced": 3})
    address: str | None = f"/campaigns/{campaign_id}?state=pending"
    seen: list[str] = []
    while address:
        seen += _rows(logged_in, address)
        last, address = address, _link(logged_in, address, "next")
    assert seen == [f"pending{i:04}@example.com" for i in range(120)]
    back = _link(logged_in, last, "prev")
    assert back
    assert _rows(logged_in, back) == seen[50:100]
    first = _link(logged_in, back, "prev")
    assert first
    assert _rows(logged_in, first) == seen[:50]
    assert _link(logged_in, first, "prev") is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("bounced0", ["bounced0000@example.com", "bounced0001@example.com"]),
        ("BOUNCED0001@Example.com", ["bounced0001@example.com"]),
        ("@example.com", ["bounced0000@example.com", "bounced0001@example.com",
                          "delivered0000@example.com"]),
        ("nobody", []),
        ("100%_", []),
    ],
)  # fmt: skip
def test_search_finds_by_the_start_of_an_address_or_by_domain(
    logged_in: FlaskClient, make: Make, query: str, found: list[str]
) -> None:
    campaign_id = make({"bounced": 2, "delivered": 1}, status=CampaignStatus.SENT)
    address = f"/campaigns/{campaign_id}?{urlencode({'q': query})}"
    assert sorted(_rows(logged_in, address)) == found
    if not found:
        assert "Nobody here" in main_words(logged_in.get(address))


def test_opened_recipient_tells_its_story_in_order(
    app: Flask, logged_in: FlaskClient, make: Make, now: datetime
) -> None:
    campaign_id = make(status=CampaignStatus.SENT)
    with app.app_context(), writing(db.session()):
        campaign = db.session.get_one(Campaign, campaign_id)
        [row] = add_sending(db.session(), campaign, ["ann@example.com"], now)
        row.line, row.variables = 4118, '{"first_name": "Ann <b>"}'
        for seconds, kind, sub_kind in ((5, "Bounce", "Permanent/General"), (1, "Send", None)):
            db.session.add(Event(
                key=bytes([seconds]) * 16, kind=kind, sub_kind=sub_kind, door="sqs",
                status=EventStatus.APPLIED, received_at=now, recipient_id=row.id,
                happened_at=now + timedelta(seconds=seconds), attempt_id=row.attempt_id,
            ))  # fmt: skip
        suppression.suppress(
            db.session(), "ann@example.com", SuppressionReason.BOUNCED, "A bounce of SES.",
            campaign_id, now + timedelta(seconds=6),
        )  # fmt: skip
        recipient_id = row.id
    answer = logged_in.get(f"/campaigns/{campaign_id}?r={recipient_id}")
    titles = [str(s.text) for s in page(answer).xpath("//ol[@class='timeline']//strong")]
    assert titles == ["Imported", "Handed to SES", "Sent", "Bounced", "On the suppression list"]
    assert "Row 4,118 of the uploaded file." in main_words(answer)
    assert "Ann <b>" in main_words(answer)


def test_recipient_of_another_campaign_is_not_opened(logged_in: FlaskClient, make: Make) -> None:
    other = make({"delivered": 1})
    campaign_id = make({"pending": 1})
    assert page(logged_in.get(f"/campaigns/{other}?r=1")).xpath(
        "//*[@aria-label='Opened recipient']"
    )
    closed = page(logged_in.get(f"/campaigns/{campaign_id}?r=1"))
    assert not closed.xpath("//*[@aria-label='Opened recipient']")


@pytest.mark.parametrize("query", ["r=x", "after=-1", "before=99999999999999999999", "state=odd"])
def test_odd_addresses_show_the_page(logged_in: FlaskClient, make: Make, query: str) -> None:
    campaign_id = make({"pending": 1})
    assert logged_in.get(f"/campaigns/{campaign_id}?{query}").status_code == 200


def test_every_state_of_a_recipient_can_be_shown(
    app: Flask, logged_in: FlaskClient, make: Make, now: datetime
) -> None:
    campaign_id = make({"pending": 1}, status=CampaignStatus.SENDING)
    for status in RecipientStatus:
        assert logged_in.get(f"/campaigns/{campaign_id}?state={status}").status_code == 200
