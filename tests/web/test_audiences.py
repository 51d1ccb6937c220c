"""Choosing lists and outcomes as a campaign's recipients, through the pages, to the last mail."""

from __future__ import annotations

import random
from datetime import datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

import rate_limiter
from audience_models import Contact
from database import writing
from domain.statuses import CampaignStatus, Fact, Risk, Verdict
from models import Campaign, Recipient
from sender.housekeeping import Housekeeping
from services import audience_query, list_members, lists
from tests.factories import add_campaign, add_recipients
from tests.web.forms import follow, main_words, page, post
from web.database import db, wiring


@pytest.fixture
def made(app: Flask, now: datetime) -> tuple[int, int, int]:
    """A draft, a list of three, and an earlier campaign that two got and one opened."""
    with app.app_context(), writing(db.session):
        earlier = add_campaign(db.session, now, name="Spring", status=CampaignStatus.SENT)
        facts = Fact.ACCEPTED | Fact.DELIVERED
        add_recipients(db.session, earlier, ["ana@example.com"], now, facts=facts, opened_at=now)
        add_recipients(db.session, earlier, ["bo@example.com"], now, facts=facts)
        readers = lists.create_list(db.session, "Readers", "", now, None)
        for name in ("ana", "cy", "dee"):
            list_members.add_one(db.session, readers.id, f"{name}@example.com", {}, now)
        return add_campaign(db.session, now).id, readers.id, earlier.id


def choose(client: FlaskClient, draft: int, **fields: object) -> str:
    filled = {"of_campaign": 0, "outcome": "everybody", "percent": 100, "leave_out": 0, **fields}
    return main_words(follow(client, post(client, f"/campaigns/{draft}/audience/", filled)))


def recipients_of(app: Flask, campaign_id: int) -> set[str]:
    with app.app_context():
        query = select(Recipient.email).where(Recipient.campaign_id == campaign_id)
        return set(db.session.scalars(query))


def test_an_outcome_without_its_campaign_is_named(
    logged_in: FlaskClient, made: tuple[int, int, int]
) -> None:
    filled = {"of_campaign": 0, "outcome": "clicked", "percent": 100, "leave_out": 0}
    answer = post(logged_in, f"/campaigns/{made[0]}/audience/", filled)
    assert answer.status_code == 400
    assert "Choose the campaign that this is about." in main_words(answer)


def test_lists_and_an_outcome_become_the_recipients_when_sending_begins(
    app: Flask, logged_in: FlaskClient, made: tuple[int, int, int], now: datetime
) -> None:
    draft, readers, earlier = made
    said = choose(logged_in, draft, lists=readers, of_campaign=earlier, outcome="not_opened")
    assert "Saved." in said
    assert "4 people" in said
    assert "List Readers" in said
    assert "Campaign Spring: delivered, but not opened" in said
    shown = main_words(logged_in.get(f"/campaigns/{draft}"))
    assert "4 recipients from lists" in shown
    assert "Ready to start" in shown
    decision = main_words(logged_in.get(f"/campaigns/{draft}/start"))
    assert "of 4 recipients uploaded and from lists" in decision
    started = main_words(follow(logged_in, post(logged_in, f"/campaigns/{draft}/start")))
    assert "Preparing recipients" in started
    wired = wiring(app)
    Housekeeping(wired.settings, wired.sessions).step(now)
    names = {"ana", "bo", "cy", "dee"}
    assert recipients_of(app, draft) == {f"{name}@example.com" for name in names}
    assert "Preparing recipients" not in main_words(logged_in.get(f"/campaigns/{draft}"))
    late = logged_in.get(f"/campaigns/{draft}/audience/")
    assert (late.status_code, late.headers["Location"]) == (303, f"/campaigns/{draft}")


def test_people_of_lists_count_for_the_end_before_they_are_copied(
    app: Flask, logged_in: FlaskClient, made: tuple[int, int, int]
) -> None:
    draft, readers, _ = made
    with app.app_context(), writing(db.session):
        rate_limiter.ensure_bucket(db.session(), rate_limiter.SEND, 10.0)
    facts = "//dt[.='{}']/following-sibling::dd[1]/text()"
    assert page(logged_in.get(f"/campaigns/{draft}")).xpath(facts.format("Finishes about")) == ["–"]
    choose(logged_in, draft, lists=readers)
    shown = page(logged_in.get(f"/campaigns/{draft}"))
    assert shown.xpath(facts.format("From lists")) == ["3"]
    assert shown.xpath(facts.format("Finishes about")) != ["–"]
    assert "takes about" in main_words(logged_in.get(f"/campaigns/{draft}/start"))


def test_the_form_remembers_and_can_be_emptied(
    logged_in: FlaskClient, made: tuple[int, int, int]
) -> None:
    draft, readers, earlier = made
    said = choose(logged_in, draft, lists=readers, percent=50, leave_out=earlier)
    assert "50% of them, by chance" in said
    assert "nobody of Spring" in said
    form = page(logged_in.get(f"/campaigns/{draft}/audience/"))
    assert form.xpath("//input[@name='lists']/@checked")
    assert form.xpath("//input[@name='percent']/@value") == ["50"]
    assert form.xpath("//select[@name='leave_out']/option[@selected]/@value") == [str(earlier)]
    assert "Nothing is chosen" in choose(logged_in, draft)
    shown = main_words(logged_in.get(f"/campaigns/{draft}"))
    assert "or lists that you keep" in shown


def test_a_share_that_is_none_is_refused(
    logged_in: FlaskClient, made: tuple[int, int, int]
) -> None:
    draft, readers, _ = made
    fields = {"lists": readers, "of_campaign": 0, "outcome": "everybody", "percent": 400,
              "leave_out": 0}  # fmt: skip
    answer = post(logged_in, f"/campaigns/{draft}/audience/", fields)
    assert answer.status_code == 400
    assert "at most 100" in main_words(answer)


def test_a_size_that_takes_long_is_estimated_first_and_exact_later(
    app: Flask, logged_in: FlaskClient, made: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    draft, readers, earlier = made
    choose(logged_in, draft, lists=[readers], of_campaign=earlier, outcome="opened")
    monkeypatch.setattr("services.audience_query.within", lambda *_: None)
    answer = logged_in.get(f"/campaigns/{draft}/audience/")
    [part] = page(answer).xpath("//*[@data-live]/@data-live")
    assert "≈ 4 people" in main_words(answer), "ana is on the list and in the campaign"
    exact = logged_in.get(part).get_data(as_text=True)
    assert "≈" not in exact
    assert ">3 <" in exact
    assert "≈ 4 people" in main_words(logged_in.get(f"/campaigns/{draft}"))


def test_before_a_launch_whoever_a_check_found_undeliverable_is_left_out(
    app: Flask, logged_in: FlaskClient, made: tuple[int, int, int]
) -> None:
    draft, readers, _ = made
    choose(logged_in, draft, lists=[readers])
    with app.app_context(), writing(db.session):
        people = {one.email: one for one in db.session.scalars(select(Contact))}
        people["cy@example.com"].verdict = Verdict.UNDELIVERABLE
        people["dee@example.com"].verdict = Verdict.RISKY
        people["dee@example.com"].risks = int(Risk.ROLE)
        campaign = db.session.get_one(Campaign, draft)
        told = audience_query.to_come(db.session, campaign, random.Random(1))
        assert (told.people, told.undeliverable, told.doubted) == (3, 1, 0)
        campaign.skip_risks, campaign.send_undeliverable = int(Risk.ROLE), True
        told = audience_query.to_come(db.session, campaign, random.Random(1))
        assert (told.people, told.undeliverable, told.doubted) == (3, 0, 1)
