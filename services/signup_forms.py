"""The public form of a list as its owner sets it up: open or closed, its words, its mail."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from audience_models import ContactList, Signup, SignupForm
from config import Settings
from domain.signup_mail import SUBJECT, TEXT, compile_confirmation
from domain.variable_names import variable_name
from services.campaigns import Refused
from services.list_members import lock_list
from services.lists import get_list

#: More than that nobody fills in.
MOST_FIELDS = 5
_LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class Words:
    """What a form says and asks; `fields` are labels of text fields that may stay empty."""

    title: str
    sentence: str
    consent: str
    fields: Sequence[str]
    subject: str = SUBJECT
    text: str = TEXT


def form_of(session: Session, list_id: int) -> SignupForm | None:
    """The form of a list, once its owner saved one; read afresh."""
    return session.get(SignupForm, list_id, populate_existing=True)


def open_form(session: Session, public_id: str, settings: Settings) -> SignupForm | None:
    """The form under a public address, if it is open and may be; else None."""
    found = session.scalar(select(SignupForm).where(SignupForm.public_id == public_id))
    return found if found is not None and found.is_open and not problems(settings) else None


def problems(settings: Settings) -> list[str]:
    """Why no form may be open with these settings, a sentence each; empty when it may."""
    found = settings.launch_problems()
    if not settings.sender_email:
        found.append("SENDER_EMAIL must be set: the confirmation mail comes from it.")
    return found


def default_words(found: ContactList, sender_name: str) -> Words:
    """What a new form says."""
    whose = f" from {sender_name}" if sender_name else ""
    consent = (
        f"Yes, send me “{found.name}” by email{whose}. I can stop it at any time with the link "
        "in every mail."
    )
    return Words(found.name, "", consent, ("First name",))


def save(
    session: Session,
    list_id: int,
    words: Words,
    *,
    is_open: bool,
    settings: Settings,
    now: datetime,
) -> SignupForm:
    """Make or change the form of a list. Raises Refused, and TemplateProblem for its mail."""
    lock_list(session, list_id)
    stopping = problems(settings) if is_open else []
    if stopping:
        raise Refused("Sign-up cannot be open yet. " + " ".join(stopping))
    title, consent = " ".join(words.title.split()), words.consent.strip()
    if not title or len(title) > 200:
        raise Refused("The title must have 1 to 200 characters.")
    if not consent:
        raise Refused("Say what people agree to: without it there is no consent to prove.")
    compile_confirmation(words.subject, words.text)
    found = form_of(session, list_id) or SignupForm(
        list_id=list_id, public_id=secrets.token_urlsafe(12)
    )
    found.is_open, found.title, found.sentence = is_open, title, words.sentence.strip()
    found.consent, found.fields = consent, _labels(words.fields)
    found.subject, found.text, found.changed_at = words.subject.strip(), words.text, now
    session.add(found)
    session.flush()
    return found


def _labels(given: Sequence[str]) -> list[str]:
    labels = [label for label in (" ".join(one.split()) for one in given) if label]
    if len(labels) > MOST_FIELDS:
        raise Refused(f"At most {MOST_FIELDS} fields: every one of them keeps people from it.")
    if any(len(label) > _LONGEST_LABEL for label in labels):
        raise Refused(f"A field’s name has at most {_LONGEST_LABEL} characters.")
    if len({variable_name(label, ()) for label in labels}) < len(labels):
        raise Refused("Two fields have the same name.")
    return labels


def fields_of(form: SignupForm) -> list[tuple[str, str]]:
    """The variable and the label of each field."""
    return [(variable_name(str(label), ()), str(label)) for label in form.fields]


def latest(session: Session, list_id: int, limit: int = 20) -> Sequence[Signup]:
    """The newest sign-ups of a list."""
    query = select(Signup).where(Signup.list_id == list_id)
    return session.scalars(query.order_by(Signup.asked_at.desc()).limit(limit)).all()


def list_of(session: Session, form: SignupForm) -> ContactList:
    """The list that a form fills."""
    return get_list(session, form.list_id)
