"""Conditions of segments and outcomes of campaigns as SQL; by the database's own clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Float,
    and_,
    cast,
    exists,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import Session

from audience_models import Contact, ContactTag, ListMember, Tag
from database import epoch_now, is_sqlite
from domain.segments import Conditions, Deed, FieldCondition, FieldTest, TimeCondition, When
from domain.statuses import MailOutcome, MemberStatus, RecipientStatus
from models import Recipient
from services.suppression import prefix_range

_DAY = 86_400.0
_TIMES: dict[Deed, Any] = {
    Deed.MAILED: Contact.last_mailed_at,
    Deed.OPENED: Contact.last_opened_at,
    Deed.CLICKED: Contact.last_clicked_at,
}
#: Which recipients of a campaign an outcome means.
OUTCOMES: dict[MailOutcome, tuple[ColumnElement[bool], ...]] = {
    MailOutcome.EVERYBODY: (),
    MailOutcome.NOT_OPENED: (
        Recipient.status == RecipientStatus.DELIVERED,
        Recipient.opened_at.is_(None),
    ),
    MailOutcome.OPENED: (Recipient.opened_at.is_not(None),),
    MailOutcome.CLICKED: (Recipient.clicked_at.is_not(None),),
    MailOutcome.SOFT_BOUNCED: (Recipient.status == RecipientStatus.SOFT_BOUNCED,),
}


def matching(
    session: Session, conditions: Conditions, *, of_many: bool = False
) -> ColumnElement[bool]:
    """All conditions as one SQL condition over `Contact`.

    `of_many`: everybody is asked for, not some people, so that SQLite best goes by the list.
    """
    found = [_field(session, one) for one in conditions.fields]
    found += [_time(one) for one in conditions.times]
    if conditions.list_id is not None:
        members = select(ListMember.contact_id).where(
            ListMember.list_id == conditions.list_id, ListMember.status == MemberStatus.SUBSCRIBED
        )
        this_one = members.where(ListMember.contact_id == Contact.id).exists()
        found.append(Contact.id.in_(members) if of_many else this_one)
    if conditions.tag:
        found.append(_tagged(conditions.tag))
    if conditions.without_tag:
        found.append(~_tagged(conditions.without_tag))
    if conditions.campaign_id is not None:
        found.append(
            exists().where(
                Recipient.campaign_id == conditions.campaign_id,
                Recipient.address == Contact.address,
                *OUTCOMES[conditions.outcome or MailOutcome.EVERYBODY],
            )
        )
    return and_(true(), *found)


def _tagged(name: str) -> ColumnElement[bool]:
    return exists().where(
        ContactTag.contact_id == Contact.id, ContactTag.tag_id == Tag.id, Tag.name == name
    )


def _time(asked: TimeCondition) -> ColumnElement[bool]:
    column = _TIMES[asked.deed]
    since = epoch_now() - asked.days * _DAY
    if asked.when is When.WITHIN:
        lately: ColumnElement[bool] = column >= since
        return lately
    # Most people, as a rule: with an OR, SQLite would go through the index and then row by row.
    return func.coalesce(column, literal_column("0.0"), type_=Float()) < since


def _field(session: Session, asked: FieldCondition) -> ColumnElement[bool]:
    value = asked.value.strip().lower()
    kept: Any = Contact.address  # is lower case, and has an index
    if asked.name != "email":
        found: Any = (
            func.json_extract(Contact.variables, f'$."{asked.name}"')
            if is_sqlite(session)
            else cast(Contact.variables, JSON)[asked.name].as_string()
        )
        kept = func.lower(func.coalesce(found, ""))
    elif asked.test is FieldTest.BEGINS:
        return prefix_range(kept, value)
    tests: dict[FieldTest, ColumnElement[bool]] = {
        FieldTest.IS: kept == value,
        FieldTest.IS_NOT: kept != value,
        FieldTest.CONTAINS: kept.contains(value, autoescape=True),
        FieldTest.BEGINS: kept.startswith(value, autoescape=True),
        FieldTest.FILLED: kept != "",
        FieldTest.EMPTY: kept == "",
    }
    return tests[asked.test]
