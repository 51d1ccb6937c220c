"""The steps of an import in a real browser: wide and narrow, light and dark, with and without
scripts."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import expect

from database import writing
from tests.browser.conftest import Visitor
from tests.browser.test_pages_around import _work
from tests.factories import add_campaign
from web.database import db

ROWS = "".join(
    f"reader{n}@example.com,Reader {n},Harbour,2026-03-3{n % 2},subscribed,rang\n"
    for n in range(40)
)
HEADER = "Email Address,FNAME,Größe der Familie und noch ein langer Titel,Card expires,Status,NOTES"
BAD = "no-at.example.com,Ida,,,,\na b@example.com,Ida,,,,\n,Nobody,,,,\nreader5@example.com,,,,,\n"
FILE = f"Exported on a Tuesday\n\n{HEADER}\n{ROWS}{BAD}"


@pytest.mark.parametrize(
    "visitor", ["light", "dark", "phone light", "phone dark", "no script"], indirect=True
)
def test_a_file_goes_through_all_steps_without_barriers(
    app: Flask,
    visitor: Visitor,
    tmp_path: Path,
    now: datetime,
    request: pytest.FixtureRequest,
) -> None:
    with app.app_context(), writing(db.session):
        add_campaign(db.session, now, variables=[], html="<p>{{ first_name }}, {{ city }}</p>")
    file, page = tmp_path / "members-october.csv", visitor.page
    file.write_text(FILE, encoding="utf-8")
    scripts = "no script" not in request.node.name
    found: dict[str, list[str]] = {}

    def look_for_barriers(step: str) -> None:
        if scripts and (barriers := visitor.barriers()):
            found[step] = barriers

    visitor.go("/campaigns/1/recipients/upload")
    page.get_by_label("Recipient file").set_input_files(file)
    page.get_by_role("button", name="Upload and look first").click()
    expect(page.get_by_label("The headers are in line 3")).to_be_checked()
    look_for_barriers("look")
    page.get_by_role("button", name="Map columns").click()
    own = page.get_by_label("Own name for column Card expires")
    expect(own).to_be_hidden()
    page.get_by_label("Use column Card expires as").select_option("own")
    own.fill("card valid until")
    look_for_barriers("columns")
    page.get_by_role("button", name="Start dry run").click()
    expect(page.get_by_text("you may leave this page")).to_be_visible()
    look_for_barriers("waiting")
    _do_job(app)
    expect(page.locator(".big", has_text="would be added.")).to_be_visible()
    expect(page.get_by_text("no column gives it").first).to_be_visible()
    look_for_barriers("dry run")
    page.get_by_role("button", name="Import 40 recipients").click()
    expect(page.get_by_text("You may leave this page")).to_be_visible()
    _do_job(app)
    expect(page.locator(".big", has_text="of 44 rows added.")).to_be_visible()
    expect(page.get_by_text("{{ card_valid_until }}")).to_be_visible()
    look_for_barriers("import")
    assert not found
    assert not visitor.faults


def _do_job(app: Flask) -> None:
    worker = threading.Thread(target=_work, args=(app,))
    worker.start()
    worker.join()


def test_a_large_file_shows_how_far_it_is_and_leads_on(
    app: Flask, visitor: Visitor, tmp_path: Path, now: datetime
) -> None:
    with app.app_context(), writing(db.session):
        add_campaign(db.session, now, variables=[])
    file, page = tmp_path / "large.csv", visitor.page
    lines = "".join(f"reader{n}@example.com,{'x' * 4000}\n" for n in range(600))
    file.write_text(f"email,remark\n{lines}")
    visitor.go("/campaigns/1/recipients/upload")
    expect(page.locator("progress")).to_be_hidden()
    page.get_by_label("Recipient file").set_input_files(file)
    shown = page.evaluate(
        """() => new Promise((tell) => {
          const bar = document.querySelector("progress");
          new MutationObserver(() => tell(!bar.hidden)).observe(bar, { attributes: true });
          document.querySelector("button[value=look]").click();
        })"""
    )
    assert shown
    expect(page.get_by_role("heading", name="Does it read right?")).to_be_visible()
    assert not visitor.faults
