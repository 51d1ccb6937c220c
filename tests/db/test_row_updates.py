"""Many rows changed by one statement keep every value as it was given, whatever is in it."""

from datetime import timedelta
from typing import cast

import pytest
from sqlalchemy import Table, select

from database import writing
from domain.statuses import RecipientStatus
from models import Recipient
from services.row_updates import update_rows
from tests.factories import add_campaign, add_recipients

ROWS = cast(Table, Recipient.__table__)
AWKWARD = (
    "", "NULL", "null", "a,b", "{braces}", 'say "hello"', "back\\slash\\", "\\\"", "two\nlines\t",
    " edges ", "ümläut 😀", "%(name)s :name ?", "'quoted'", None,
)  # fmt: skip


@pytest.fixture
def rows(session, now):
    with writing(session):
        campaign = add_campaign(session, now)
        people = [f"p{n}@example.com" for n in range(len(AWKWARD))]
        return add_recipients(session, campaign, people, now)


def test_each_row_gets_its_own_values_unchanged(session, rows, now):
    names = ("reason", "status", "sent_at", "opens", "address_hash")
    given = [
        {
            "b_id": row.id,
            "reason": text,
            "status": RecipientStatus.SENT,
            "sent_at": None if number % 3 else now + timedelta(microseconds=number),
            "opens": number,
            "address_hash": bytes([number, 0, 92, 34]) * 4,
        }
        for number, (row, text) in enumerate(zip(rows, AWKWARD, strict=True))
    ]
    with writing(session):
        update_rows(session, ROWS, names, given)
    session.expire_all()
    columns = (Recipient.__table__.c[name] for name in ("id", *names))
    stored = session.execute(select(*columns).order_by(Recipient.id)).all()
    assert [tuple(row) for row in stored] == [tuple(one.values()) for one in given]


def test_rows_that_are_not_named_stay_as_they_are(session, rows):
    one, other = rows[0].id, rows[1].id
    with writing(session):
        update_rows(session, ROWS, ("opens",), [{"b_id": one, "opens": 7}])
    session.expire_all()
    assert session.get(Recipient, one).opens == 7
    assert session.get(Recipient, other).opens == 0
