"""The pages around a campaign in a real browser: no barriers at any width and theme, and alive."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import expect

from database import writing
from domain.statuses import SuppressionReason, Verdict
from domain.unsubscribe_tokens import make_token
from services import jobs, suppression
from services.dead_letters import keep_dead_letter
from services.installation import address_key_secret
from tests.browser.conftest import Visitor
from tests.factories import add_campaign, add_recipients
from web.database import db, wiring

LONG = "m" * 60 + "@" + "a-very-long-domain-name." * 7 + "example.org"


@pytest.fixture
def token(app: Flask, now: datetime) -> str:
    """A campaign with hostile and very long content, and the link of its first recipient."""
    with app.app_context(), writing(db.session):
        name = "<b>Donaudampfschifffahrtsgesellschaftskapitän</b> شيماء " * 2
        found = add_campaign(db.session, now, name=name[:200])
        [row] = add_recipients(
            db.session, found, [LONG], now, variables='{"name": "<i>شيماء</i>"}',
            verdict=Verdict.RISKY, verdict_reason="A mailbox that several people share.", line=2,
        )  # fmt: skip
        suppression.suppress(db.session, f"w{LONG}", SuppressionReason.COMPLAINED, name, None, now)
        keep_dead_letter(db.session, "sqs", "{" * 900, "It is no JSON.", now)
        secret = address_key_secret(db.session)
        return make_token(secret, row.id, found.id, row.address_hash)


@pytest.mark.parametrize("visitor", ["light", "phone dark"], indirect=True)
def test_no_page_has_barriers_or_scrolls_sideways(visitor: Visitor, token: str) -> None:
    paths = [
        "/campaigns/new",
        "/campaigns/1/edit",
        "/campaigns/1/preview",
        "/campaigns/1/preview?view=headers",
        "/campaigns/1/recipients/upload",
        "/campaigns/1/recipients/clear",
        "/campaigns/1/verification",
        "/campaigns/1/test",
        "/suppressions/",
        "/suppressions/add",
        "/suppressions/files",
        "/suppressions/account",
        "/notifications/",
        "/notifications/dead",
        "/diagnostics/",
        f"/u/{token}",
        "/u/unknown",
    ]
    found = {}
    for path in paths:
        visitor.go(path)
        if barriers := visitor.barriers():
            found[path] = barriers
    assert not found
    assert not visitor.faults


@pytest.mark.usefixtures("token")
def test_an_import_is_followed_without_a_reload(
    app: Flask, visitor: Visitor, tmp_path: Path
) -> None:
    file = tmp_path / "members.csv"
    file.write_text("email,city\nida@example.com,Wien\nnobody,Wien\n")
    page = visitor.page
    visitor.go("/campaigns/1/recipients/upload")
    page.get_by_label("Recipient file").set_input_files(file)
    expect(page.locator("[data-chosen]")).to_contain_text("members.csv")
    page.get_by_role("button", name="Upload and import").click()
    expect(page.get_by_text("You may leave this page")).to_be_visible()
    worker = threading.Thread(target=_work, args=(app,))
    worker.start()
    expect(page.locator(".big", has_text="of 2 rows added.")).to_be_visible()
    expect(page.get_by_role("cell", name="nobody")).to_be_visible()
    worker.join()
    assert not visitor.faults


def _work(app: Flask) -> None:
    """Do the queued job, as a scheduler would."""

    def clock() -> datetime:
        return datetime.now(UTC)

    with app.app_context():
        sessions, settings = wiring().sessions, wiring().settings
    with sessions() as session, writing(session):
        job = jobs.claim_job(session, "worker", clock())
    assert job is not None
    made = jobs.Dependencies(settings, lambda: pytest.fail("an import sends no mail"), clock)
    jobs.run_job(sessions, job.id, "worker", made)


@pytest.mark.usefixtures("token")
def test_rows_are_chosen_with_a_count_and_removed_after_a_word(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/suppressions/")
    remove = page.get_by_role("button", name="Remove from list")
    expect(remove).to_be_disabled()
    page.get_by_label("Choose all on this page").check()
    expect(page.get_by_text("1 chosen")).to_be_visible()
    remove.click()
    expect(page.get_by_text("1 person among them said no")).to_be_visible()
    page.get_by_role("button", name="Remove 1 entry").click()
    expect(page.get_by_text("Nobody is on the list yet")).to_be_visible()


@pytest.mark.parametrize("visitor", ["no script"], indirect=True)
def test_a_reader_unsubscribes_and_comes_back_without_script(visitor: Visitor, token: str) -> None:
    page = visitor.page
    visitor.go(f"/u/{token}")
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are unsubscribed")
    assert LONG not in page.content()
