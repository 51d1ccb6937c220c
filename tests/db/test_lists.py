"""Lists: filled from files and by hand, never bringing back who said no; looked through, undone."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact, ContactList, ListMember
from database import writing
from domain.statuses import JobStatus, MemberStatus, SuppressionReason
from models import Job
from services import job_queue, list_imports, list_members, lists, suppression
from services.campaigns import Refused
from services.recipients import ImportReport


@pytest.fixture
def readers(session: Session, now: datetime) -> int:
    with writing(session):
        return lists.create_list(session, "Readers", "who read", now, "owner@example.com").id


def upload(
    sessions: sessionmaker[Session], list_id: int, folder: Path, text: str, now: datetime
) -> ImportReport:
    path = folder / "people.csv"
    path.write_text(text)
    return list_imports.import_file(sessions, list_id, path, path.name, clock=lambda: now)


def fields(session: Session, address: str) -> dict[str, str]:
    session.rollback()
    query = select(Contact.variables).where(Contact.address == address)
    found: dict[str, str] = json.loads(session.scalars(query).one())
    return found


def counted(session: Session, list_id: int) -> bool:
    """Whether the list's figure equals a count of its members."""
    session.rollback()
    subscribed = select(func.count()).where(
        ListMember.list_id == list_id, ListMember.status == MemberStatus.SUBSCRIBED
    )
    return session.scalar(subscribed) == lists.get_list(session, list_id).members


def test_a_file_fills_a_list_with_the_answer_of_every_import(
    sessions: sessionmaker[Session], session: Session, readers: int, tmp_path: Path, now: datetime
) -> None:
    with writing(session):
        suppression.suppress(
            session, "bo@example.com", SuppressionReason.BOUNCED, "a test", None, now
        )
    text = "email,First Name\nAna@Example.com,Ana\nbo@example.com,Bo\nana@example.com,A\nno,x\n"
    report = upload(sessions, readers, tmp_path, text, now)
    counts = report.counts
    assert (counts.rows, counts.added, counts.suppressed) == (4, 1, 1)
    assert (counts.duplicates, counts.refused_total) == (1, 1)
    assert report.refused[0].line == 5
    found = lists.get_list(session, readers)
    assert (found.members, found.variables) == (2, ["first_name"])
    assert fields(session, "ana@example.com") == {"first_name": "Ana"}
    assert counted(session, readers)


def test_a_later_file_completes_fields_and_brings_nobody_back(
    sessions: sessionmaker[Session], session: Session, readers: int, tmp_path: Path, now: datetime
) -> None:
    upload(sessions, readers, tmp_path, "email,name,city\nana@example.com,Ana,Bonn\n", now)
    contact_id = session.scalars(select(Contact.id)).one()
    with writing(session):
        left = MemberStatus.UNSUBSCRIBED
        assert list_members.set_status(session, readers, contact_id, left, now)
    again = upload(sessions, readers, tmp_path, "email,name,city\nana@example.com,Anna,\n", now)
    assert (again.counts.added, again.counts.duplicates) == (0, 1)
    assert fields(session, "ana@example.com") == {"name": "Anna", "city": "Bonn"}
    with writing(session):
        assert not list_members.add_one(session, readers, "ana@example.com", {}, now)
        assert list_members.remove(session, readers, [contact_id], now) == 0
    assert session.scalars(select(ListMember.status)).one() is MemberStatus.UNSUBSCRIBED
    assert counted(session, readers)


def test_a_file_that_says_unsubscribed_is_believed(
    sessions: sessionmaker[Session], session: Session, readers: int, tmp_path: Path, now: datetime
) -> None:
    upload(sessions, readers, tmp_path, "email\nana@example.com\n", now)
    text = "email,status\nana@example.com,unsubscribed\nbo@example.com,unsubscribed\n"
    upload(sessions, readers, tmp_path, text, now)
    session.rollback()
    assert set(session.scalars(select(ListMember.status))) == {MemberStatus.UNSUBSCRIBED}
    assert suppression.find(session, "bo@example.com") is not None
    assert lists.get_list(session, readers).members == 0


def test_a_file_that_the_database_breaks_off_leaves_who_was_there_before(
    sessions: sessionmaker[Session], session: Session, readers: int, tmp_path: Path, now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    upload(sessions, readers, tmp_path, "email\nana@example.com\n", now)
    real, written = job_queue.keep, list[int]()

    def breaks(*arguments: Any, **named: Any) -> bool:
        if "done" in named:
            written.append(named["done"])
            if len(written) > 1:  # at the end of the second step
                raise OperationalError("UPDATE", None, OSError("disk is full"))
        return real(*arguments, **named)

    text = "email\n" + "".join(f"p{n}@example.com\n" for n in range(4_000))
    with monkeypatch.context() as patched:
        patched.setattr(job_queue, "keep", breaks)
        with pytest.raises(OperationalError):
            upload(sessions, readers, tmp_path, text, now)
    assert session.scalars(select(Contact.address)).all() == ["ana@example.com"]
    assert counted(session, readers)
    newest = session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()
    assert newest.status is JobStatus.FAILED


def test_undoing_an_import_leaves_who_was_there_before(
    sessions: sessionmaker[Session], session: Session, readers: int, tmp_path: Path, now: datetime
) -> None:
    upload(sessions, readers, tmp_path, "email\nana@example.com\n", now)
    rows = "".join(f"p{number}@example.com\n" for number in range(900))
    second = upload(sessions, readers, tmp_path, f"email\nana@example.com\n{rows}", now)
    assert second.counts.added == 900
    assert list_imports.undo_import(sessions, second.job_id, now) == 900
    session.rollback()
    assert session.scalars(select(Contact.address)).all() == ["ana@example.com"]
    assert lists.get_list(session, readers).members == 1
    with pytest.raises(Refused, match="no import"):
        list_imports.undo_import(sessions, 4711, now)


def test_a_file_that_cannot_be_read_leaves_nothing_behind(
    sessions: sessionmaker[Session], session: Session, readers: int, tmp_path: Path, now: datetime
) -> None:
    with pytest.raises(Refused):
        upload(sessions, readers, tmp_path, "", now)
    assert session.scalar(select(func.count()).select_from(Contact)) == 0


def test_members_are_paged_both_ways_and_found_by_how_they_begin(
    session: Session, readers: int, now: datetime
) -> None:
    with writing(session):
        for number in range(7):
            at = now + timedelta(minutes=number)
            list_members.add_one(session, readers, f"p{number}@example.com", {}, at)
        list_members.add_one(session, readers, "zoe@example.org", {}, now)
    first = lists.member_page(session, readers, limit=5)
    rest = lists.member_page(session, readers, limit=5, after=first.after)
    names = [row.contact.email for row in (*first.rows, *rest.rows)]
    assert names == ["zoe@example.org", *(f"p{n}@example.com" for n in reversed(range(7)))]
    assert (first.before, rest.after) == (None, None)
    back = lists.member_page(session, readers, limit=5, before=rest.before)
    assert [row.contact.email for row in back.rows] == names[:5]
    found = lists.member_page(session, readers, text="P", limit=4)
    more = lists.member_page(session, readers, text="p", limit=4, after=found.after)
    assert [row.contact.email for row in (*found.rows, *more.rows)] == [
        f"p{n}@example.com" for n in range(7)
    ]


def test_one_address_is_one_contact_on_many_lists(
    session: Session, readers: int, now: datetime
) -> None:
    with writing(session):
        other = lists.create_list(session, "Donors", "", now, None).id
        assert list_members.add_one(session, readers, "Ana@example.com", {"name": "Ana"}, now)
        assert list_members.add_one(session, other, "ana@Example.com", {"city": "Bonn"}, now)
    assert fields(session, "ana@example.com") == {"name": "Ana", "city": "Bonn"}
    with writing(session), pytest.raises(Refused, match="no @"):
        list_members.add_one(session, other, "nobody", {}, now)


def test_a_deleted_list_leaves_its_contacts(
    sessions: sessionmaker[Session], session: Session, readers: int, now: datetime
) -> None:
    with writing(session):
        list_members.add_one(session, readers, "ana@example.com", {}, now)
    lists.delete_list(sessions, readers)
    session.rollback()
    assert session.scalar(select(func.count()).select_from(ContactList)) == 0
    assert session.scalar(select(func.count()).select_from(ListMember)) == 0
    assert session.scalar(select(func.count()).select_from(Contact)) == 1


def test_two_lists_cannot_have_one_name(session: Session, readers: int, now: datetime) -> None:
    with writing(session), pytest.raises(Refused, match="already"):
        lists.create_list(session, " readers ", "", now, None)
    with writing(session):
        assert lists.rename_list(session, readers, "Readers", "changed", now).id == readers
