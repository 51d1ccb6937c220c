"""Sign-ups by strangers: asked for, confirmed, left; the proof of consent, and what slows abuse.

Asking does nothing but queue one mail to the address, whether it is known or not. What counts
requests are the rows themselves, so that all web processes share the limits.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from audience_models import ContactList, Signup, SignupForm
from domain.addresses import AddressProblem, address_hash, check_syntax
from domain.client_addresses import client_hash
from domain.signup_tokens import ConfirmClaim
from domain.statuses import MemberStatus, SuppressionReason
from models import InstallationValue, Suppression
from services import list_members, suppression
from services.campaigns import Refused
from services.import_batches import Candidate
from services.installation import address_key_secret
from services.signup_forms import fields_of

logger = logging.getLogger(__name__)

#: How long the link in the mail works.
LINK_DAYS = 7
#: A request that nobody confirmed is forgotten after this.
KEPT_UNCONFIRMED = timedelta(days=30)
_PER_ADDRESS, _PER_CLIENT, _PER_LIST = 3, 20, 1000
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_PRESSED_TWICE = timedelta(seconds=30)
_LONGEST_VALUE, _LONGEST_PAGE = 200, 500


class TooMany(Exception):
    """A limit is reached that has nothing to do with the address; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a stranger sent: `fields` by variable name, `page` the address of the form's page."""

    email: str
    fields: Mapping[str, str]
    client: str
    page: str


def ask(session: Session, form: SignupForm, asked: Request, now: datetime) -> Signup | None:
    """Queue the confirmation mail. None where the address has had its mails of the day.

    Raises Refused for what is no address, TooMany for too many requests of one client or to
    one list. Must be in a writing step; the answer to the stranger is the same for both results.
    """
    parsed = check_syntax(asked.email[:400])
    if isinstance(parsed, AddressProblem):
        raise Refused(str(parsed))
    secret = address_key_secret(session)
    hashed, client = address_hash(secret, parsed.address), client_hash(secret, asked.client)
    session.get(InstallationValue, "address_key", with_for_update=True)  # count one at a time
    if _count(session, Signup.client_hash == client, now - _HOUR) >= _PER_CLIENT:
        raise TooMany("Many sign-ups came from your connection. Please try again in an hour.")
    if _count(session, Signup.list_id == form.list_id, now - _HOUR) >= _PER_LIST:
        raise TooMany("Very many people are signing up. Please try again in an hour.")
    same = (Signup.address_hash == hashed) & (Signup.list_id == form.list_id)
    if _count(session, same, now - _PRESSED_TWICE):
        return None
    if _count(session, Signup.address_hash == hashed, now - _DAY) >= _PER_ADDRESS:
        logger.info("list=%s: an address has had its confirmation mails of the day", form.list_id)
        return None
    made = Signup(
        list_id=form.list_id,
        email=parsed.email,
        address_hash=hashed,
        variables=_values(form, asked.fields),
        asked_at=now,
        asked_on=asked.page[:_LONGEST_PAGE],
        consent=form.consent,
        client_hash=client,
        due_at=now,
        attempt_id=secrets.token_hex(16),
    )
    session.add(made)
    session.flush()
    logger.info("list=%s signup=%s asked for", form.list_id, made.id)
    return made


def _count(session: Session, which: Any, since: datetime) -> int:
    query = select(func.count()).select_from(Signup).where(which, Signup.asked_at > since)
    return session.scalar(query) or 0


def _values(form: SignupForm, fields: Mapping[str, str]) -> str:
    """The fields of the form that were filled in, as one line each."""
    given = {name: " ".join(fields.get(name, "").split()) for name, _ in fields_of(form)}
    kept = {name: value[:_LONGEST_VALUE] for name, value in given.items() if value}
    return json.dumps(kept, ensure_ascii=False)


def find(
    session: Session, claim: ConfirmClaim | None, now: datetime, *, lock: bool = False
) -> Signup | None:
    """The sign-up that a link is about; None once its time is over, unless it was confirmed."""
    if claim is None or claim.signup_id >= 2**63:
        return None
    found = session.get(Signup, claim.signup_id, with_for_update=lock, populate_existing=True)
    if found is None or (found.confirmed_at is None and now.timestamp() > claim.until):
        return None
    return found


def confirm(session: Session, signup: Signup, client: str, now: datetime) -> bool:
    """Put the person on the list, as they say themselves; False if the link was used before.

    Consent that is newer than an unsubscribe ends it; a bounce or a complaint stays. `signup`
    must be locked (`find`).
    """
    if signup.confirmed_at is not None:
        return False
    found = list_members.lock_list(session, signup.list_id)
    values: dict[str, str] = json.loads(signup.variables)
    new = [name for name in values if name not in found.variables]
    found.variables = [*found.variables, *new]
    session.flush()
    parsed = check_syntax(signup.email)
    if isinstance(parsed, AddressProblem):  # it was checked when it was asked for
        raise Refused(str(parsed))
    one = Candidate(signup.email, parsed.address, signup.address_hash, signup.variables, None, None)
    ids = list_members.upsert_contacts(session, [one], None, now)
    list_members.join(session, signup.list_id, ids[signup.address_hash], now)
    signup.lifted = _lift(session, signup.address_hash)
    signup.confirmed_at = now
    signup.confirmed_hash = client_hash(address_key_secret(session), client)
    session.flush()
    logger.info("list=%s signup=%s confirmed", signup.list_id, signup.id)
    return True


def _lift(session: Session, hashed: bytes) -> str | None:
    """End an unsubscribe; a sentence about it, for the history."""
    listed = session.scalar(
        select(Suppression).where(
            Suppression.address_hash == hashed,
            Suppression.reason == SuppressionReason.UNSUBSCRIBED,
        )
    )
    if listed is None:
        return None
    told = f"{listed.source} ({listed.created_at:%Y-%m-%d %H:%M} UTC)"
    suppression.withdraw(session, hashed, SuppressionReason.UNSUBSCRIBED)
    return told


def is_on_list(session: Session, signup: Signup) -> bool:
    """Whether the person of a confirmed sign-up gets what is sent to the list."""
    return list_members.status_of(session, signup.list_id, signup.address_hash) is (
        MemberStatus.SUBSCRIBED
    )


def leave(session: Session, signup: Signup, now: datetime) -> None:
    """Take the person off the list again, as an unsubscribe from it alone."""
    ids = list_members.contact_ids(session, [signup.address_hash])
    for contact_id in ids.values():
        list_members.set_status(session, signup.list_id, contact_id, MemberStatus.UNSUBSCRIBED, now)


def consents(session: Session, hashed: bytes) -> Sequence[tuple[Signup, ContactList]]:
    """Every sign-up of an address with its list, newest first."""
    query = (
        select(Signup, ContactList)
        .join(ContactList, ContactList.id == Signup.list_id)
        .where(Signup.address_hash == hashed)
        .order_by(Signup.asked_at.desc())
    )
    return [(signup, of_list) for signup, of_list in session.execute(query)]


def forget(session: Session, hashed: bytes) -> None:
    """Erase every sign-up of an address."""
    session.execute(delete(Signup).where(Signup.address_hash == hashed))


def forget_unconfirmed(session: Session, now: datetime, limit: int = 400) -> int:
    """Drop requests that nobody confirmed, some at a time; how many went."""
    old = (
        select(Signup.id)
        .where(Signup.confirmed_at.is_(None), Signup.asked_at < now - KEPT_UNCONFIRMED)
        .limit(limit)
    )
    gone = session.execute(
        delete(Signup).where(Signup.id.in_(old)).execution_options(synchronize_session=False)
    )
    return int(getattr(gone, "rowcount", 0))
