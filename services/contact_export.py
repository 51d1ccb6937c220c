"""The export of contacts: all of them, a list's members, or who matches a segment."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Contact, ContactList, ContactTag, ListMember, Tag
from domain.segments import Conditions
from domain.statuses import MemberStatus
from models import Suppression
from services.exports import Row, chunks, shown
from services.segment_query import matching
from services.suppression_patterns import covering

#: The columns before the variables. Stable: programs read them.
COLUMNS = (
    "email", "lists", "tags", "suppressed", "created_at", "last_mailed_at", "last_opened_at",
    "last_clicked_at",
)  # fmt: skip
#: What a list's export has beside them, of the membership.
MEMBER_COLUMNS = ("status", "added_at")
_OTHERS = "other_fields"
_STEP = 500


def contact_rows(
    sessions: sessionmaker[Session],
    *,
    list_id: int | None = None,
    status: MemberStatus | None = None,
    conditions: Conditions | None = None,
) -> Iterator[Row]:
    """The header, then every contact, oldest first; or a list's members, or a segment's.

    The variables of the list (or of all lists) are columns; fields that no list has come as one
    JSON object in the last column. A variable that has the name of a column is `var_<name>`.
    """
    columns = [*COLUMNS, *(MEMBER_COLUMNS if list_id is not None else ())]
    query: Any = select(
        Contact.id, Contact.email, Contact.address, Contact.variables, Suppression.reason,
        Contact.created_at, Contact.last_mailed_at, Contact.last_opened_at, Contact.last_clicked_at,
    ).outerjoin(Suppression, Suppression.address_hash == Contact.address_hash)  # fmt: skip
    lists = select(ContactList.variables).order_by(ContactList.id)
    if list_id is not None:
        lists = lists.where(ContactList.id == list_id)
        query = query.add_columns(ListMember.status, ListMember.added_at)
        query = query.join(ListMember, ListMember.contact_id == Contact.id)
        query = query.where(ListMember.list_id == list_id)
    if status is not None:
        query = query.where(ListMember.status == status)
    with sessions() as session:
        names = list(dict.fromkeys(name for own in session.scalars(lists) for name in own))
        if conditions is not None:
            query = query.where(matching(session, conditions))
    return _rows(sessions, query, columns, names)


def _rows(
    sessions: sessionmaker[Session], query: Any, columns: list[str], names: list[str]
) -> Iterator[Row]:
    taken = {*columns, _OTHERS}
    yield [*columns, *(f"var_{name}" if name in taken else name for name in names), _OTHERS]
    part: list[Any] = []
    for row in chunks(sessions, query, Contact.id):
        part.append(row)
        if len(part) == _STEP:
            yield from _written(sessions, part, names)
            part = []
    yield from _written(sessions, part, names)


def _written(sessions: sessionmaker[Session], rows: Sequence[Any], names: list[str]) -> list[Row]:
    ids = [row.id for row in rows]
    with sessions() as session:
        free = [row.address for row in rows if row.reason is None]
        entries = covering(session, free)
        lists = _words(session, ListMember.contact_id, ContactList.name, ids,
                       ListMember.list_id == ContactList.id)  # fmt: skip
        tags = _words(session, ContactTag.contact_id, Tag.name, ids, ContactTag.tag_id == Tag.id)
    written: list[Row] = []
    for row in rows:
        kept: dict[str, Any] = json.loads(row.variables)
        others = {name: value for name, value in kept.items() if name not in names}
        blocked = shown(row.reason) or ("domain" if row.address in entries else "")
        written.append([
            row.email, "; ".join(lists[row.id]), "; ".join(tags[row.id]), blocked,
            *(shown(value) for value in row[5:]),
            *(str(kept.get(name, "")) for name in names),
            json.dumps(others, ensure_ascii=False) if others else "",
        ])  # fmt: skip
    return written


def _words(
    session: Session, owner: Any, name: Any, ids: Sequence[int], joined: Any
) -> dict[int, list[str]]:
    """Names by contact: of their lists, or of their tags."""
    query = select(owner, name).where(joined, owner.in_(ids))
    if name is ContactList.name:
        query = query.where(ListMember.status == MemberStatus.SUBSCRIBED)
    found: dict[int, list[str]] = defaultdict(list)
    for contact_id, word in session.execute(query.order_by(name)):
        found[contact_id].append(word)
    return found
