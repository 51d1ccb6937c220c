"""Whom a verification looks at: the recipients of a campaign that are not sent yet, or the
subscribed members of a list. Both have the same columns for what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, cast

from sqlalchemy import Row, Select, Table, Update, bindparam, func, select, update
from sqlalchemy.orm import Session

from audience_models import Contact, ListMember
from domain.statuses import MemberStatus, RecipientStatus
from models import Recipient
from services.campaigns import get_campaign
from services.lists import get_list

VERIFIED = (RecipientStatus.PENDING, RecipientStatus.SKIPPED)
_RECIPIENTS = cast(Table, Recipient.__table__)
_CONTACTS = cast(Table, Contact.__table__)


class People(Protocol):
    """What a verification asks of those it looks at."""

    @property
    def table(self) -> Table:
        """Where they are, with `verdict`, `verdict_reason` and `risks`."""

    @property
    def campaign_id(self) -> int | None:
        """The campaign, if it is one: what became of its own mails is not history."""

    def must_exist(self, session: Session) -> None:
        """Raises NotFound."""

    def chosen(self, *columns: Any) -> Select[Any]:
        """These columns of all of them."""


@dataclass(frozen=True, slots=True)
class CampaignPeople:
    """The recipients of a campaign."""

    campaign_id: int
    table = _RECIPIENTS

    def must_exist(self, session: Session) -> None:
        """See `People`."""
        get_campaign(session, self.campaign_id)

    def chosen(self, *columns: Any) -> Select[Any]:
        """See `People`."""
        c = _RECIPIENTS.c
        return select(*columns).where(c.campaign_id == self.campaign_id, c.status.in_(VERIFIED))


@dataclass(frozen=True, slots=True)
class ListPeople:
    """Who is subscribed to a list."""

    list_id: int
    table = _CONTACTS
    campaign_id = None

    def must_exist(self, session: Session) -> None:
        """See `People`."""
        get_list(session, self.list_id)

    def chosen(self, *columns: Any) -> Select[Any]:
        """See `People`."""
        return (
            select(*columns)
            .join_from(_CONTACTS, ListMember, ListMember.contact_id == _CONTACTS.c.id)
            .where(ListMember.list_id == self.list_id, ListMember.status == MemberStatus.SUBSCRIBED)
        )


def count(session: Session, people: People) -> int:
    """How many they are."""
    return session.scalar(people.chosen(func.count())) or 0


def next_rows(session: Session, people: People, after: int, limit: int) -> list[Row[Any]]:
    """Those that follow the id `after`."""
    c = people.table.c
    query = people.chosen(
        c.id, c.email, c.address, c.address_hash, c.verdict, c.verdict_reason, c.risks
    )
    return list(session.execute(query.where(c.id > after).order_by(c.id).limit(limit)))


@lru_cache
def set_verdict(table: Table) -> Update:
    """Write what was found: parameters `b_id`, `b_verdict`, `b_reason`, `b_risks`, and for
    contacts `b_at`."""
    found = {"verdict": "b_verdict", "verdict_reason": "b_reason", "risks": "b_risks"}
    if table is _CONTACTS:
        found["verified_at"] = "b_at"
    return (
        update(table)
        .where(table.c.id == bindparam("b_id"))
        .values({column: bindparam(name) for column, name in found.items()})
    )
