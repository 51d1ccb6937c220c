"""Which links of a campaign were clicked, people and machines apart."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from database import is_sqlite, writing
from models import Campaign, Event
from services import link_clicks
from services.delivery_events import store
from services.link_clicks import LinkClicks
from tests.factories import add_campaign, add_sending
from tests.ses_messages import incoming, mail_events

NEWS = "https://example.com/news?a=1&b=2"
SHOP = "https://example.com/shop"


@pytest.fixture
def campaign(session: Session, now: datetime) -> Campaign:
    """Two people, of whom one clicked twice; a machine followed what it was sent; links differ."""
    html = (
        f'<p><a href="{NEWS.replace("&", "&amp;")}">News</a> <a href="{{{{ own }}}}">Yours</a></p>'
    )
    with writing(session):
        campaign = add_campaign(session, now, html=html)
        names = ("ana", "bo", "scanner")
        people = add_sending(session, campaign, [f"{name}@example.com" for name in names], now)
        other = add_campaign(session, now, name="Another")
        (stranger,) = add_sending(session, other, ["ana@example.com"], now)
    ana, bo, scanner = (mail_events(session, row, now) for row in people)
    told = [
        ana.clicked(NEWS, after=100),
        ana.clicked(NEWS, after=200),
        bo.clicked(NEWS, after=150),
        bo.clicked(SHOP, after=160, bot="Likely"),
        ana.clicked("https://example.com/for-ana", after=170),
        scanner.clicked(NEWS, after=1, bot="Likely"),
        mail_events(session, stranger, now).clicked(SHOP, after=100),
    ]
    with writing(session):
        store(session, incoming(told), now)
    return session.get_one(Campaign, campaign.id)


def test_links_say_how_many_people_clicked_and_how_often(
    session: Session, campaign: Campaign, now: datetime
) -> None:
    found = link_clicks.of_campaign(session, campaign, 10)
    own = "https://example.com/for-ana"
    assert [(one.link, one.people, one.clicks, one.machine_clicks) for one in found] == [
        (NEWS, 2, 3, 1), (own, 1, 1, 0), (SHOP, 0, 0, 1),
    ]  # fmt: skip
    first, last = found[0].first, found[0].last
    assert first
    assert last
    assert last - first == timedelta(seconds=100)
    assert found[2].first is None, "no person clicked it"
    assert len(link_clicks.of_campaign(session, campaign, 2)) == 2


def test_a_link_of_the_template_is_known_when_raw_events_are_purged(
    session: Session, campaign: Campaign
) -> None:
    with writing(session):
        session.execute(update(Event).values(raw=None))
    found: list[LinkClicks] = link_clicks.of_campaign(session, campaign, 10)
    assert [(one.link, one.people) for one in found] == [(NEWS, 2), (None, 1), (None, 0)]


def test_the_small_index_of_clicks_answers(session: Session, campaign: Campaign) -> None:
    statement = link_clicks.tallies(campaign.id, 10)
    compiled = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
    explain = "EXPLAIN QUERY PLAN " if is_sqlite(session) else "EXPLAIN "
    if not is_sqlite(session):
        session.execute(text("SET LOCAL enable_seqscan = off"))
    plan = str(session.execute(text(explain + str(compiled).replace(":", "\\:"))).all())
    assert "ix_events_clicks" in plan


@pytest.mark.parametrize("html", ["", " ", "<p>No link", "<!-- only a comment -->", "\x00<a href>"])
def test_templates_without_links_have_none(html: str) -> None:
    assert list(link_clicks.links_in(html)) == []
