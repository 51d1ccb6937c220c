"""Writing a mail in a real browser: live preview, variables, saving; also without script."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest
from flask import Flask
from playwright.sync_api import Dialog, expect

from database import writing
from tests.browser.conftest import Visitor
from tests.factories import add_campaign, add_recipients
from web.database import db

#: The picture that is shown; the next one loads beside it.
FRAME = "[data-stage] iframe:not(.is-coming)"


@pytest.fixture
def campaign(app: Flask, now: datetime) -> int:
    """A draft with two recipients."""
    with app.app_context(), writing(db.session):
        found = add_campaign(db.session, now, html="<p>Hello {{ name }}</p>\n" * 80)
        for email, name in (("anna@example.com", "Anna"), ("bela@example.com", "Béla")):
            add_recipients(db.session, found, [email], now, variables=f'{{"name": "{name}"}}')
        return found.id


@pytest.fixture
def mail(visitor: Visitor, campaign: int) -> Iterator[Visitor]:
    """A person before the editor of that draft; nothing may have gone wrong at the end."""
    visitor.go(f"/campaigns/{campaign}/edit")
    yield visitor
    assert not visitor.faults


def test_the_preview_follows_what_is_typed_for_the_chosen_person(mail: Visitor) -> None:
    page = mail.page
    frame = page.frame_locator(FRAME)
    expect(frame.locator("p").first).to_have_text("Hello Anna")
    page.get_by_label("Email content").fill("<h1>Dear {{ name }}</h1>")
    page.get_by_label("Email subject").fill("For {{ name }}")
    expect(frame.locator("h1")).to_have_text("Dear Anna")
    expect(page.locator("[data-facts]")).to_contain_text("For Anna")
    page.get_by_label("Preview as").select_option(index=1)
    expect(frame.locator("h1")).to_have_text("Dear Béla")
    expect(page.locator("[data-stage] iframe")).to_have_count(1)


def test_a_preview_leaves_no_trace_in_the_history(mail: Visitor) -> None:
    page = mail.page
    before = page.evaluate("history.length")
    for number in range(3):
        page.get_by_label("Email content").fill(f"<h1>Round {number}</h1>")
        shown = page.frame_locator(FRAME).locator("h1")
        expect(shown).to_have_text(f"Round {number}")
    assert page.evaluate("history.length") == before


def test_a_fault_is_named_while_typing(mail: Visitor) -> None:
    mail.page.get_by_label("Email content").fill("<p>one</p>\n{% if name %}")
    expect(mail.page.locator("[data-facts]")).to_contain_text("Email content, line 2")


def test_a_variable_goes_where_the_caret_was(mail: Visitor) -> None:
    page = mail.page
    page.get_by_label("Email subject").fill("News for ")
    page.get_by_text("Insert variable").click()
    page.get_by_role("button", name="{{ name }}").click()
    expect(page.get_by_label("Email subject")).to_have_value("News for {{ name }}")
    expect(page.get_by_role("button", name="{{ name }}")).to_be_hidden()


def test_the_coloured_copy_says_exactly_what_is_typed(mail: Visitor) -> None:
    source = (
        "<a href=\"{{ unsubscribe_url }}\" data-x='<b>'>x</a><!-- {{ no }} -->{% if a < b %}\n< p"
    )
    mail.page.get_by_label("Email content").fill(source)
    copy = mail.page.locator(".part-html .code pre")
    expect(copy.locator(".t-var")).to_have_count(2)
    assert copy.evaluate("element => element.textContent") == source + "\n"


def test_the_text_part_is_shown_and_can_be_taken_over(mail: Visitor) -> None:
    page = mail.page
    page.get_by_label("Email content").fill("<p>Only {{ name }}</p>")
    page.get_by_text("Plain text", exact=True).click()
    expect(page.locator("[data-made-text]")).to_contain_text("Only {{ name }}")
    page.get_by_label("Write it from the HTML").uncheck()
    expect(page.get_by_label("Plain text part", exact=True)).to_have_value("Only {{ name }}\n")


def test_ctrl_s_saves_and_leaving_unsaved_asks_first(mail: Visitor, campaign: int) -> None:
    page = mail.page
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_label("Campaign name").fill("A new name")
    page.get_by_role("link", name="Campaigns").first.click()
    page.wait_for_timeout(100)
    assert asked == ["beforeunload"]
    page.keyboard.press("Control+s")
    expect(page.get_by_role("heading", level=1)).to_have_text("A new name")
    assert asked == ["beforeunload"]


def test_the_phone_and_the_desktop_are_a_press_apart(mail: Visitor) -> None:
    frame = mail.page.locator("[data-stage] iframe").last
    narrow = frame.bounding_box()
    mail.page.get_by_text("Desktop", exact=True).click()
    wide = frame.bounding_box()
    assert narrow is not None
    assert wide is not None
    assert narrow["width"] < wide["width"]


@pytest.mark.parametrize("visitor", ["no script"], indirect=True)
def test_without_script_everything_can_be_written_previewed_and_saved(mail: Visitor) -> None:
    page = mail.page
    page.get_by_label("Email content").fill("<h1>Plainly, {{ name }}</h1>")
    page.get_by_role("button", name="Preview").click()
    expect(page.frame_locator(FRAME).locator("h1")).to_have_text("Plainly, Anna")
    page.get_by_label("Email content").fill("{% if %}")
    page.get_by_role("button", name="Save Campaign").click()
    expect(page.get_by_role("alert")).to_contain_text("Email content, line 1")
    page.get_by_label("Email content").fill("<p>Right now</p>")
    page.get_by_role("button", name="Save Campaign").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Autumn news")
