"""The frame and a campaign's pages in a real browser: no barriers, live, and without script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from playwright.sync_api import Request, expect

from database import writing
from domain.statuses import CampaignStatus, Fact
from models import Campaign, RateSample
from services import notices
from tests.browser.conftest import Visitor
from tests.factories import add_campaign, add_recipients
from web.database import db

SENT = Fact.CLAIMED | Fact.ACCEPTED
LONG = "members+lighthouse-keepers-reading-circle-of-the-northern-bay@a-very-long-domain.example"


@dataclass(frozen=True)
class Seeded:
    """Ids of a draft and of a campaign that is sending, and of a recipient in doubt."""

    draft: int
    sending: int
    doubtful: int


@pytest.fixture
def seeded(app: Flask) -> Seeded:
    """Campaigns in several states, with every outcome and an address that is far too long."""
    now = datetime.now(UTC)
    with app.app_context(), writing(db.session):
        s = db.session()
        draft = add_campaign(s, now, name="Autumn news, with a name that is long enough to wrap")
        add_recipients(s, draft, [LONG, *(f"p{i}@example.com" for i in range(70))], now)
        sending = add_campaign(s, now, name="October", status=CampaignStatus.SENDING,
                               first_sent_at=now, last_sent_at=now)  # fmt: skip
        outcomes = [
            Fact(0), Fact.SKIPPED, Fact.CLAIMED | Fact.REFUSED, SENT, SENT | Fact.DELAYED,
            SENT | Fact.DELIVERED, SENT | Fact.BOUNCED, SENT | Fact.SOFT_BOUNCED,
            SENT | Fact.REJECTED, SENT | Fact.DELIVERED | Fact.COMPLAINED,
        ]  # fmt: skip
        for number, facts in enumerate(outcomes):
            add_recipients(s, sending, [f"o{number}@example.com"], now, facts=facts, line=number)
        doubt = Fact.CLAIMED | Fact.DOUBTED
        [row] = add_recipients(s, sending, ["doubt@example.com"], now, facts=doubt,
                               submitted_at=now)  # fmt: skip
        row.attempt_id = "d" * 32
        for back in range(1, 30):
            slot = int(now.timestamp()) // 5 - back
            s.add(RateSample(campaign_id=sending.id, slot=slot, accepted=back % 7))
        add_campaign(s, now, name="Done", status=CampaignStatus.SENT, finished_at=now)
        add_campaign(s, now, name="Next", status=CampaignStatus.SCHEDULED,
                     scheduled_at=now + timedelta(days=2), scheduled_zone="UTC")  # fmt: skip
        add_campaign(s, now, name="Stopped", status=CampaignStatus.PAUSED, reason="Why.",
                     paused_by="the product")  # fmt: skip
        notices.raise_notice(s, "sns-topic", "warn", "A topic was refused. Allow it.", now)
        return Seeded(draft.id, sending.id, row.id)


@pytest.mark.parametrize("visitor", ["", "phone dark"], indirect=True)
def test_no_page_has_a_barrier_or_scrolls_sideways(visitor: Visitor, seeded: Seeded) -> None:
    draft, sending = f"/campaigns/{seeded.draft}", f"/campaigns/{seeded.sending}"
    barriers = {}
    for path in (
        "/", "/campaigns/", draft, f"{draft}/start", f"{draft}/schedule", f"{draft}/delete",
        sending, f"{sending}?state=in_doubt&r={seeded.doubtful}", f"{sending}?q=nobody",
        f"{sending}/cancel", f"{sending}/retry", f"{sending}/doubt/again",
    ):  # fmt: skip
        visitor.go(path)
        if found := visitor.barriers():
            barriers[path] = found
    assert barriers == {}
    assert visitor.faults == []


@pytest.mark.parametrize("visitor", ["", "phone dark"], indirect=True)
def test_pages_for_strangers_have_no_barrier(visitor: Visitor) -> None:
    visitor.page.context.clear_cookies()
    barriers = {}
    for path in ("/login", "/nowhere"):
        visitor.go(path)
        if found := visitor.barriers():
            barriers[path] = found
    assert barriers == {}


def _deliver(app: Flask, campaign_id: int, number: int) -> None:
    with app.app_context(), writing(db.session):
        campaign = db.session.get_one(Campaign, campaign_id)
        emails = [f"new{number}-{i}@example.com" for i in range(number)]
        add_recipients(
            db.session(), campaign, emails, datetime.now(UTC), facts=SENT | Fact.DELIVERED
        )


def test_figures_change_in_place_and_what_a_person_does_stays(
    app: Flask, visitor: Visitor, seeded: Seeded
) -> None:
    visitor.go(f"/campaigns/{seeded.sending}")
    page = visitor.page
    delivered = page.locator(".legend .st-delivered b")
    expect(delivered).to_have_text("1")
    delivered.evaluate("node => { node.kept = true; }")
    page.get_by_label("More actions").click()
    page.get_by_label("Search recipients").fill("o1")
    _deliver(app, seeded.sending, 40)
    expect(delivered).to_have_text("41")
    assert delivered.evaluate("node => node.kept") is True
    expect(page.get_by_role("button", name="Duplicate")).to_be_visible()
    expect(page.get_by_label("Search recipients")).to_have_value("o1")
    expect(page.get_by_label("Search recipients")).to_be_focused()
    assert visitor.faults == []


def test_a_hidden_tab_asks_for_nothing(visitor: Visitor, seeded: Seeded) -> None:
    visitor.page.add_init_script(
        "Object.defineProperty(document, 'hidden', { get: () => window.away === true });"
    )
    visitor.go(f"/campaigns/{seeded.sending}")
    page = visitor.page
    asked: list[str] = []

    def note(request: Request) -> None:
        if "/live" in request.url:
            asked.append(request.url)

    page.on("request", note)
    with page.expect_request("**/live*"):
        pass
    page.evaluate("window.away = true")
    page.wait_for_timeout(300)
    asked.clear()
    page.wait_for_timeout(4500)
    assert asked == []
    with page.expect_request("**/live*"):
        page.evaluate("window.away = false")


def test_a_signed_out_page_asks_to_sign_in_again(visitor: Visitor, seeded: Seeded) -> None:
    visitor.go(f"/campaigns/{seeded.sending}")
    visitor.page.context.clear_cookies()
    expect(visitor.page).to_have_url(re.compile(r"/login\?next=/campaigns/"))
    expect(visitor.page.get_by_label("Password")).to_be_visible()


def test_two_quick_presses_do_it_once(app: Flask, visitor: Visitor, seeded: Seeded) -> None:
    visitor.go(f"/campaigns/{seeded.draft}")
    visitor.page.get_by_label("More actions").click()
    visitor.page.get_by_role("button", name="Duplicate").dblclick()
    expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("(copy)")
    visitor.page.go_back()
    with app.app_context():
        copies = db.session.query(Campaign).filter(Campaign.name.endswith("(copy)")).count()
    assert copies == 1


@pytest.mark.parametrize("visitor", ["phone no script"], indirect=True)
def test_without_script_a_campaign_is_started_paused_and_resumed(
    visitor: Visitor, seeded: Seeded
) -> None:
    page = visitor.page
    visitor.go(f"/campaigns/{seeded.draft}")
    page.get_by_role("link", name="Start Sending").click()
    page.get_by_role("button", name="Start Sending").click()
    state = page.locator("main .page-title .state")
    expect(state).to_have_text("Sending")
    page.get_by_role("button", name="Pause").click()
    expect(state).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("Sending")
    page.get_by_label("Menu", exact=True).click()
    page.get_by_role("button", name="Theme: system").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
    page.get_by_label("Menu", exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_the_keyboard_reaches_the_content_first_and_closes_menus(
    visitor: Visitor, seeded: Seeded
) -> None:
    visitor.go(f"/campaigns/{seeded.draft}")
    page = visitor.page
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.get_by_label("More actions").press("Enter")
    expect(page.get_by_role("link", name="Delete draft")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Delete draft")).to_be_hidden()
    expect(page.get_by_label("More actions")).to_be_focused()


def test_times_are_shown_in_the_zone_of_the_browser(visitor: Visitor, seeded: Seeded) -> None:
    visitor.page.context.add_cookies([{"name": "tz", "value": "Asia/Tokyo", "url": visitor.site}])
    visitor.go("/")
    expect(visitor.page.locator("main .meta").first).to_contain_text("Times in Asia/Tokyo")
