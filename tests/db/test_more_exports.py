"""Exports of contacts, of events, and of a part of the recipients, on both databases."""

from __future__ import annotations

from datetime import datetime

import pytest
from sqlalchemy.orm import Session, sessionmaker

from audience_models import ContactTag, Tag
from database import writing
from domain.segments import Conditions, FieldCondition, FieldTest
from domain.statuses import EventStatus, MemberStatus, SuppressionReason, Verdict
from domain.suppression_patterns import Pattern, parse_pattern
from models import Event
from services import (
    contact_export,
    event_export,
    exports,
    list_members,
    lists,
    suppression,
)
from services.campaigns import NotFound
from services.event_log import LogFilter
from tests.factories import add_campaign, add_recipients

Sessions = sessionmaker[Session]


@pytest.fixture
def people(session: Session, now: datetime) -> tuple[int, int]:
    """Two lists: News with three people, Offers with one of them."""
    with writing(session):
        news = lists.create_list(session, "News", "", now, None)
        offers = lists.create_list(session, "Offers", "", now, None)
        for email, fields in {
            "Ana@example.com": {"name": "=Ana", "tags": "t"},
            "bo@example.org": {"name": "Bo"},
            "cy@example.net": {},
        }.items():
            list_members.add_one(session, news.id, email, fields, now)
        list_members.add_one(session, offers.id, "bo@example.org", {"size": "L"}, now)
        bo = list_members.contact_ids(session, [suppression.hash_of(session, "bo@example.org")])
        [bo_id] = bo.values()
        list_members.set_status(session, news.id, bo_id, MemberStatus.UNSUBSCRIBED, now)
        session.add(Tag(id=1, name="vip"))
        session.flush()
        session.add(ContactTag(tag_id=1, contact_id=bo_id))
        suppression.suppress(
            session, "ana@example.com", SuppressionReason.BOUNCED, "a test", None, now
        )
        pattern = parse_pattern("example.net")
        assert isinstance(pattern, Pattern)
        suppression.suppress_pattern(session, pattern, SuppressionReason.MANUAL, "a test", now)
    return news.id, offers.id


@pytest.mark.usefixtures("people")
def test_all_contacts_come_with_lists_tags_and_why_they_get_nothing(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "_CHUNK", 2)
    monkeypatch.setattr(contact_export, "_STEP", 2)
    rows = [list(row) for row in contact_export.contact_rows(sessions)]
    assert rows[0] == [
        *contact_export.COLUMNS, "name", "var_tags", "size", "other_fields"
    ]  # fmt: skip
    at = "2026-03-02T09:00:00Z"
    assert rows[1:] == [
        ["Ana@example.com", "News", "", "bounced", at, "", "", "", "=Ana", "t", "", ""],
        ["bo@example.org", "Offers", "vip", "", at, "", "", "", "Bo", "", "L", ""],
        ["cy@example.net", "News", "", "domain", at, "", "", "", "", "", "", ""],
    ]


def test_a_list_is_exported_with_its_members_states(
    sessions: Sessions, people: tuple[int, int]
) -> None:
    rows = list(contact_export.contact_rows(sessions, list_id=people[0]))
    assert rows[0][8:] == ["status", "added_at", "name", "var_tags", "other_fields"]
    assert [row[8] for row in rows[1:]] == ["subscribed", "unsubscribed", "subscribed"]
    assert rows[2][-1] == '{"size": "L"}'
    gone = contact_export.contact_rows(
        sessions, list_id=people[0], status=MemberStatus.UNSUBSCRIBED
    )
    assert [row[0] for row in gone] == ["email", "bo@example.org"]


@pytest.mark.usefixtures("people")
def test_who_matches_a_segment_is_exported(sessions: Sessions) -> None:
    conditions = Conditions(fields=(FieldCondition("name", FieldTest.IS, "bo"),))
    rows = contact_export.contact_rows(sessions, conditions=conditions)
    assert [row[0] for row in rows] == ["email", "bo@example.org"]


@pytest.fixture
def events(session: Session, now: datetime) -> int:
    """A campaign of two recipients with three events, and one event of nobody."""
    with writing(session):
        campaign = add_campaign(session, now)
        rows = add_recipients(
            session, campaign, ["ana@example.com", "bo@example.com"], now,
            attempt_id="a" * 32, message_id="m-1",
        )  # fmt: skip
        for number, owner in enumerate((1, 0, 1, None)):
            row = None if owner is None else rows[owner]
            session.add(
                Event(key=bytes([number]) * 16, kind="Send" if number < 2 else "Delivery",
                      status=EventStatus.APPLIED, door="sqs", happened_at=now, received_at=now,
                      recipient_id=row and row.id, campaign_id=row and campaign.id)
            )  # fmt: skip
    return campaign.id


def test_a_campaigns_events_come_recipient_by_recipient(sessions: Sessions, events: int) -> None:
    header, *rows = event_export.campaign_event_rows(sessions, events)
    assert tuple(header) == event_export.COLUMNS
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(one["email"], one["event"]) for one in found] == [
        ("ana@example.com", "Send"), ("bo@example.com", "Send"), ("bo@example.com", "Delivery"),
    ]  # fmt: skip
    assert {(one["message_id"], one["attempt_id"]) for one in found} == {("m-1", "a" * 32)}
    assert found[0]["happened_at"] == "2026-03-02T09:00:00Z"
    with pytest.raises(NotFound):
        event_export.campaign_event_rows(sessions, 99)


@pytest.mark.usefixtures("events")
def test_the_log_is_exported_as_it_is_filtered(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_export, "_EVENTS", 3)
    assert len(list(event_export.event_rows(sessions))) == 1 + 4
    mine = list(event_export.event_rows(sessions, LogFilter(text="bo@example.com")))
    assert [row[4] for row in mine] == ["email", "bo@example.com", "bo@example.com"]
    assert len(list(event_export.event_rows(sessions, LogFilter(EventStatus.DEAD)))) == 1


def test_recipients_are_exported_by_verdict_and_by_what_is_searched(
    sessions: Sessions, session: Session, now: datetime
) -> None:
    with writing(session):
        campaign = add_campaign(session, now)
        add_recipients(
            session, campaign, ["ana@example.com", "anton@example.org"], now, verdict=Verdict.RISKY
        )
        add_recipients(session, campaign, ["bo@example.com"], now)

    def found(**wanted: Verdict | str) -> list[str]:
        rows = exports.recipient_rows(sessions, campaign.id, **wanted)  # type: ignore[arg-type]
        return [row[0] for row in rows][1:]

    assert found(verdict=Verdict.RISKY) == ["ana@example.com", "anton@example.org"]
    assert found(text="AN") == ["ana@example.com", "anton@example.org"]
    assert found(text="@Example.com") == ["ana@example.com", "bo@example.com"]
    assert found(text="@example.com", verdict=Verdict.RISKY) == ["ana@example.com"]


def test_one_reason_of_the_suppression_list_is_exported(
    sessions: Sessions, people: tuple[int, int]
) -> None:
    assert [row[0] for row in exports.suppression_rows(sessions)] == [
        "email", "ana@example.com", "*@example.net",
    ]  # fmt: skip
    one = exports.suppression_rows(sessions, SuppressionReason.MANUAL)
    assert [row[0] for row in one] == ["email", "*@example.net"]
