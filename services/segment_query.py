"""Conditions of segments and outcomes of campaigns as SQL; by the database's own clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ColumnElement, and_, cast, exists, func, or_, true
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


def matching(session: Session, conditions: Conditions) -> ColumnElement[bool]:
    """All conditions as one SQL condition over `Contact`."""
    found = [_field(session, one) for one in conditions.fields]
    found += [_time(one) for one in conditions.times]
    if conditions.list_id is not None:
        found.append(
            exists().where(
                ListMember.contact_id == Contact.id,
                ListMember.list_id == conditions.list_id,
                ListMember.status == MemberStatus.SUBSCRIBED,
            )
        )
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
    lately: ColumnElement[bool] = column >= epoch_now() - asked.days * _DAY
    return lately if asked.when is When.WITHIN else or_(column.is_(None), ~lately)


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
