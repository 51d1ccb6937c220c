"""A campaign that takes its recipients from lists and outcomes: fixed once, copied in steps."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Audience, AudiencePart, Contact
from config import Settings
from database import writing
from domain.statuses import (
    AudienceKind,
    CampaignStatus,
    Fact,
    MailOutcome,
    MemberStatus,
    RecipientStatus,
    SuppressionReason,
)
from models import Campaign, Recipient
from sender.housekeeping import Housekeeping
from services import (
    audience_query,
    audiences,
    campaigns,
    erasure,
    lifecycle,
    list_members,
    lists,
    suppression,
)
from services.audiences import Source
from services.installation import address_key_secret
from services.ledger import read_counters
from services.recount import recount
from tests.factories import add_campaign, add_recipients

LIST, OUTCOME = AudienceKind.LIST, AudienceKind.OUTCOME


@pytest.fixture
def readers(session: Session, now: datetime) -> int:
    """A list of twenty; one has left it, one is suppressed."""
    with writing(session):
        found = lists.create_list(session, "Readers", "", now, None)
        for number in range(20):
            fields = {"city": f"City {number}"} if number else {}
            list_members.add_one(session, found.id, f"p{number:02}@example.com", fields, now)
        left = session.scalars(select(Contact.id).where(Contact.address == "p01@example.com")).one()
        list_members.set_status(session, found.id, left, MemberStatus.UNSUBSCRIBED, now)
        bounced = SuppressionReason.BOUNCED
        suppression.suppress(session, "p02@example.com", bounced, "a test", None, now)
        return found.id


@pytest.fixture
def draft(session: Session, now: datetime) -> Campaign:
    with writing(session):
        return add_campaign(session, now)


def choose(session: Session, draft: Campaign, *sources: Source, now: datetime, **how: Any) -> None:
    with writing(session):
        audiences.choose(session, draft.id, sources, now, **how)


def begin(session: Session, draft: Campaign, now: datetime) -> int:
    """Launch as a person does; how many people were fixed."""
    with writing(session):
        session.get_one(Campaign, draft.id).status = CampaignStatus.SENDING
    assert audiences.to_copy(session) == [draft.id]
    return freeze(session, draft, now)


def freeze(session: Session, draft: Campaign, now: datetime) -> int:
    campaign_id = draft.id
    session.rollback()
    return audiences.freeze(sessionmaker(session.get_bind()), campaign_id, now)


def copy(session: Session, draft: Campaign, now: datetime, limit: int = 7) -> int:
    """Copy to the end; the number of steps."""
    secret, steps, more = address_key_secret(session), 0, True
    while more:
        with writing(session):
            more = audiences.copy_step(session, draft.id, secret, now, limit)
        steps += 1
    return steps


def addresses(session: Session, draft: Campaign) -> set[str]:
    session.rollback()
    query = select(Recipient.address).where(Recipient.campaign_id == draft.id)
    return set(session.scalars(query))


def agrees(session: Session, draft: Campaign) -> bool:
    session.rollback()
    return read_counters(session, draft.id) == recount(session, draft.id)


def test_a_list_is_copied_in_steps_with_its_fields(
    session: Session, readers: int, draft: Campaign, now: datetime
) -> None:
    choose(session, draft, Source(LIST, readers), now=now)
    assert audience_query.size(session, draft.id) == 19
    assert session.get_one(Campaign, draft.id).variables == ["name", "city"]
    assert begin(session, draft, now) == 19
    assert copy(session, draft, now) == 3
    assert len(addresses(session, draft)) == 19
    rows = {row.address: row for row in session.scalars(select(Recipient))}
    assert json.loads(rows["p03@example.com"].variables) == {"name": "", "city": "City 3"}
    assert rows["p02@example.com"].status is RecipientStatus.SKIPPED
    assert rows["p03@example.com"].status is RecipientStatus.PENDING
    assert agrees(session, draft)
    assert audiences.to_copy(session) == []


def test_who_comes_or_goes_after_the_launch_changes_nothing(
    session: Session, readers: int, draft: Campaign, now: datetime
) -> None:
    choose(session, draft, Source(LIST, readers), now=now)
    begin(session, draft, now)
    with writing(session):
        list_members.add_one(session, readers, "late@example.com", {}, now)
    assert freeze(session, draft, now) == 0
    assert session.get_one(Audience, draft.id).total == 19
    copy(session, draft, now)
    assert "late@example.com" not in addresses(session, draft)


class Killed(Exception):
    """In the middle of fixing."""


def test_fixing_that_was_cut_off_is_done_anew_as_of_one_moment(
    session: Session, readers: int, draft: Campaign, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(session, draft, Source(LIST, readers), now=now)

    @contextmanager
    def dies(of: Session) -> Iterator[Session]:
        with writing(of):
            yield of
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(audiences, "writing", dies)
        with pytest.raises(Killed):
            begin(session, draft, now)
    copy(session, draft, now)
    assert addresses(session, draft) == set()  # nothing is sent to half an audience
    with writing(session):
        every = session.scalars(select(Contact.id).order_by(Contact.id)).all()
        list_members.remove(session, readers, every[3:13], now)
        list_members.add_one(session, readers, "late@example.com", {}, now)
    assert begin(session, draft, now) == 10
    copy(session, draft, now)
    expected = {f"p{number:02}@example.com" for number in (0, 2, *range(13, 20))}
    assert addresses(session, draft) == expected | {"late@example.com"}
    assert agrees(session, draft)


def test_two_schedulers_do_not_fix_one_audience_together(
    session: Session, readers: int, draft: Campaign, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(session, draft, Source(LIST, readers), now=now)
    read, seen = audiences._persons, list[Any]()

    def meanwhile(of: Session, audience: Audience) -> Any:
        persons = read(of, audience)
        of.rollback()
        if not seen:
            seen.append(persons)
            assert freeze(session, draft, now) == 19  # another, between our look and our write
        return persons

    monkeypatch.setattr(audiences, "_persons", meanwhile)
    assert begin(session, draft, now) == 0
    copy(session, draft, now)
    assert len(addresses(session, draft)) == 19
    assert agrees(session, draft)


def test_steps_go_on_from_one_part_to_the_next_and_leave_nothing_behind(
    session: Session, readers: int, draft: Campaign, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audiences, "_PART", 4)
    choose(session, draft, Source(LIST, readers), now=now)
    begin(session, draft, now)
    assert session.scalar(select(func.count()).select_from(AudiencePart)) == 5
    copy(session, draft, now, 3)
    assert len(addresses(session, draft)) == 19
    assert session.scalar(select(func.count()).select_from(AudiencePart)) == 0
    assert agrees(session, draft)


def test_a_step_that_failed_is_done_again_without_doubles(
    session: Session, readers: int, draft: Campaign, now: datetime
) -> None:
    choose(session, draft, Source(LIST, readers), now=now)
    begin(session, draft, now)
    secret = address_key_secret(session)
    with writing(session):
        assert audiences.copy_step(session, draft.id, secret, now, 8)
    audiences.copy_step(session, draft.id, secret, now, 8)
    session.rollback()
    copy(session, draft, now, 8)
    assert len(addresses(session, draft)) == 19
    assert session.get_one(Audience, draft.id).copied == 19
    assert agrees(session, draft)


def test_a_campaign_is_not_sent_before_all_are_copied(
    session: Session, readers: int, draft: Campaign, now: datetime
) -> None:
    choose(session, draft, Source(LIST, readers), now=now)
    begin(session, draft, now)
    with writing(session):
        assert lifecycle.finish_done(session, now) == []
    told = campaigns.campaign_status(session, draft.id, now)["reason"]
    assert told == "Preparing recipients: 0 of 19 copied."
    copy(session, draft, now)
    assert campaigns.campaign_status(session, draft.id, now)["reason"] is None
    with writing(session):
        session.get_one(Campaign, draft.id).status = CampaignStatus.CANCELLED
    with writing(session):
        campaigns.cancel_pending(session, draft.id, now)
        session.get_one(Campaign, draft.id).status = CampaignStatus.SENDING
    with writing(session):
        assert lifecycle.finish_done(session, now) == [draft.id]


def test_the_housekeeper_copies_and_a_cancelled_campaign_leaves_nobody_unnamed(
    sessions: sessionmaker[Session], session: Session, readers: int, draft: Campaign,
    settings: Settings, now: datetime, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("sender.housekeeping._COPYING_SECONDS", 0)  # as on a machine that is slow
    choose(session, draft, Source(LIST, readers), now=now)
    begin(session, draft, now)
    with writing(session):
        campaigns.cancel(session, draft.id, now, "owner@example.com")
    Housekeeping(settings, sessions).step(now)
    session.rollback()
    counters = read_counters(session, draft.id)
    assert (counters["total"], counters["cancelled"], counters["skipped"]) == (19, 18, 1)
    assert agrees(session, draft)


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        (MailOutcome.EVERYBODY, {"clicked", "opened", "unopened", "soft", "waiting"}),
        (MailOutcome.NOT_OPENED, {"unopened"}),
        (MailOutcome.OPENED, {"opened", "clicked"}),
        (MailOutcome.CLICKED, {"clicked"}),
        (MailOutcome.SOFT_BOUNCED, {"soft"}),
    ],
)
def test_another_campaigns_outcome_is_an_audience(
    outcome: MailOutcome, wanted: set[str], session: Session, draft: Campaign, now: datetime
) -> None:
    delivered = Fact.ACCEPTED | Fact.DELIVERED
    with writing(session):
        earlier = add_campaign(session, now, status=CampaignStatus.SENT, variables=["plan"])
        for name, facts, values in (
            ("clicked", delivered, {"opened_at": now, "clicked_at": now}),
            ("opened", delivered, {"opened_at": now}),
            ("unopened", delivered, {}),
            ("soft", Fact.ACCEPTED | Fact.SOFT_BOUNCED, {}),
            ("waiting", 0, {}),
        ):
            plan = '{"plan": "gold"}'
            add_recipients(session, earlier, [f"{name}@example.com"], now, facts=facts,
                           variables=plan, **values)  # fmt: skip
    choose(session, draft, Source(OUTCOME, earlier.id, outcome), now=now)
    begin(session, draft, now)
    copy(session, draft, now)
    assert addresses(session, draft) == {f"{name}@example.com" for name in wanted}
    rows = session.scalars(select(Recipient).where(Recipient.campaign_id == draft.id)).all()
    assert {json.loads(row.variables)["plan"] for row in rows} == {"gold"}


def test_a_share_by_chance_goes_first_and_the_rest_later(
    session: Session, readers: int, draft: Campaign, now: datetime
) -> None:
    choose(session, draft, Source(LIST, readers), now=now, percent=25.0)
    assert begin(session, draft, now) == 5
    copy(session, draft, now)
    first = addresses(session, draft)
    with writing(session):
        rest = add_campaign(session, now)
    choose(session, rest, Source(LIST, readers), now=now, leave_out=draft.id)
    assert begin(session, rest, now) == 14
    copy(session, rest, now)
    assert not first & addresses(session, rest)
    assert len(first | addresses(session, rest)) == 19


def test_a_person_of_several_sources_gets_one_mail(
    session: Session, readers: int, draft: Campaign, now: datetime
) -> None:
    with writing(session):
        other = lists.create_list(session, "Donors", "", now, None).id
        for email in ("p05@example.com", "zoe@example.com"):
            list_members.add_one(session, other, email, {}, now)
        earlier = add_campaign(session, now, status=CampaignStatus.SENT)
        add_recipients(session, earlier, ["p06@example.com", "bo@example.com"], now)
        add_recipients(session, draft, ["p07@example.com"], now)
    sources = (Source(LIST, readers), Source(LIST, other), Source(OUTCOME, earlier.id))
    choose(session, draft, *sources, now=now)
    assert begin(session, draft, now) == 21
    copy(session, draft, now)
    assert len(addresses(session, draft)) == 21
    assert agrees(session, draft)


def test_who_is_erased_while_it_is_copied_gets_no_row(
    sessions: sessionmaker[Session], session: Session, readers: int, draft: Campaign, now: datetime
) -> None:
    choose(session, draft, Source(LIST, readers), now=now)
    begin(session, draft, now)
    gone = session.scalars(select(Contact.id).where(Contact.address == "p09@example.com")).one()
    erasure.erase(sessions, gone, now, keep_out=False)
    copy(session, draft, now)
    assert "p09@example.com" not in addresses(session, draft)
    assert len(addresses(session, draft)) == 18


def test_the_launch_counts_who_comes_from_lists(
    session: Session, readers: int, draft: Campaign, settings: Settings, now: datetime
) -> None:
    with writing(session):
        empty = lists.create_list(session, "Empty", "", now, None).id
    choose(session, draft, Source(LIST, empty), now=now)
    campaign = session.get_one(Campaign, draft.id)
    assert campaigns.launch_problems(session, campaign, settings) == [
        "The chosen lists, segments and outcomes have nobody in them at present."
    ]
    choose(session, draft, Source(LIST, readers), now=now)
    assert campaigns.launch_problems(session, campaign, settings) == []
    with writing(session):
        launched = campaigns.launch(session, draft.id, settings, now, "owner@example.com")
    assert launched.status is CampaignStatus.SENDING
    with writing(session), pytest.raises(campaigns.Refused, match="launched"):
        audiences.choose(session, draft.id, [], now)


def test_a_deleted_list_stands_against_the_launch(
    sessions: sessionmaker[Session], session: Session, readers: int, draft: Campaign,
    settings: Settings, now: datetime,
) -> None:  # fmt: skip
    choose(session, draft, Source(LIST, readers), now=now)
    lists.delete_list(sessions, readers)
    campaign = session.get_one(Campaign, draft.id)
    [problem] = campaigns.launch_problems(session, campaign, settings)
    assert "is deleted" in problem
    choose(session, draft, now=now)
    [problem] = campaigns.launch_problems(session, campaign, settings)
    assert "no recipients yet" in problem
