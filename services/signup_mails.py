"""Sends the mails that ask people to confirm a sign-up: slots, rate and quota like all others.

A mail is claimed and its slot drawn in one step, sent outside of any, and written down in a
third; its state is there before the call, so that a crash never sends it twice. Their events
come back under the attempt's id, as those of test mails do, and count in no campaign.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select, update
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from audience_models import Signup, SignupForm
from config import Settings
from database import writing
from domain.addresses import address_key
from domain.outgoing import OutgoingEmail, Unsendable, make_sender, test_mail_tags
from domain.rendering import TemplateProblem
from domain.send_outcomes import GIVE_BACK, Outcome, SendResult
from domain.signup_mail import compile_confirmation
from domain.signup_tokens import make_confirm_token
from domain.statuses import SignupMail, SuppressionReason
from email_service import EmailService
from services import suppression, suppression_patterns
from services.installation import address_key_secret, installation_id
from services.signups import LINK_DAYS

logger = logging.getLogger(__name__)

#: A mail that could not be handed over is tried again after so long, for so long.
_AGAIN = timedelta(minutes=1)
_GIVE_UP = timedelta(days=1)
#: A claim that is older belongs to a process that ended.
_LOST = timedelta(minutes=10)
#: How often a free slot is asked for before others have their turn, and how far apart (seconds).
_TRIES, _PAUSE_SECONDS = 20, 0.1
_OPEN = (SignupMail.QUEUED, SignupMail.SENDING)
_RESULTS = {Outcome.ACCEPTED: SignupMail.SENT, Outcome.UNKNOWN: SignupMail.IN_DOUBT}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A mail with its slot drawn; `wait` is the time until the slot (seconds)."""

    signup_id: int
    mail: OutgoingEmail
    wait: float


def waiting(session: Session, now: datetime) -> bool:
    """Whether a mail is due, or in some process's hands."""
    due = exists().where(Signup.mail.in_(_OPEN), Signup.due_at <= now)
    return bool(session.scalar(select(due)))


def send_due(
    sessions: sessionmaker[Session],
    settings: Settings,
    service: EmailService,
    clock: Callable[[], datetime],
    *,
    should_stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Send what is due, until nothing is, or no slot comes free; how many were handed to SES.

    Campaigns ask for slots all the time: whoever asked once a second would hardly get one.
    """
    sent = tries = 0
    while tries < _TRIES and not should_stop():
        with sessions() as session:
            if not _to_do(session, clock()):
                return sent
            with writing(session):
                _give_up_lost(session, clock())
                prepared = _claim(session, settings, clock())
        if prepared is None:
            tries += 1
            sleep(_PAUSE_SECONDS)
        elif isinstance(prepared, _Prepared):
            sleep(max(0.0, prepared.wait))
            result = service.send(prepared.mail)
            _record(sessions, prepared.signup_id, result, clock())
            sent, tries = sent + 1, 0
    return sent


def _to_do(session: Session, now: datetime) -> bool:
    """Whether a mail waits here, or was lost by a process; what others hold is theirs."""
    lost = (Signup.mail == SignupMail.SENDING) & (Signup.due_at < now - _LOST)
    due = (Signup.mail == SignupMail.QUEUED) & (Signup.due_at <= now)
    found = select(exists().where(Signup.mail.in_(_OPEN), or_(due, lost)))
    return bool(session.scalar(found))


def _give_up_lost(session: Session, now: datetime) -> None:
    session.execute(
        update(Signup)
        .where(Signup.mail == SignupMail.SENDING, Signup.due_at < now - _LOST)
        .values(
            mail=SignupMail.IN_DOUBT,
            detail="The program ended while it was sent; whether it left is not known.",
        )
    )


def _claim(session: Session, settings: Settings, now: datetime) -> _Prepared | SignupMail | None:
    """The next mail with its slot; its state if none is sent; None = nothing due, or no slot."""
    signup = session.scalar(
        select(Signup)
        .where(Signup.mail == SignupMail.QUEUED, Signup.due_at <= now)
        .order_by(Signup.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if signup is None:
        return None
    refusal = _refusal(session, signup)
    if refusal is not None:
        signup.mail, signup.detail = SignupMail.WITHHELD, refusal
        return signup.mail
    try:
        mail = _make(session, signup, settings)
    except (TemplateProblem, Unsendable) as problem:
        signup.mail, signup.detail = SignupMail.FAILED, str(problem)
        return signup.mail
    slots = rate_limiter.draw(session, 1, reserve_percent=settings.ses_quota_reserve_percent)
    if slots is None:
        return None
    signup.mail, signup.due_at = SignupMail.SENDING, now
    return _Prepared(signup.id, mail, slots.draw.first - slots.database_now)


def _refusal(session: Session, signup: Signup) -> str | None:
    """Why the address gets no mail, not even this one; whoever unsubscribed may come back."""
    listed = suppression.find(session, signup.email)
    may_come_back = listed is None or listed.reason is SuppressionReason.UNSUBSCRIBED
    if may_come_back and not suppression_patterns.covering(session, [address_key(signup.email)]):
        return None
    return "The address is on the suppression list: no mail was sent."


def _make(session: Session, signup: Signup, settings: Settings) -> OutgoingEmail:
    form = session.get_one(SignupForm, signup.list_id)
    until = signup.asked_at + timedelta(days=LINK_DAYS)
    token = make_confirm_token(address_key_secret(session), signup.id, until.timestamp())
    rendered = compile_confirmation(form.subject, form.text).render(
        {
            "title": form.title,
            "email": signup.email,
            "confirm_url": f"{settings.base_url}/s/confirm/{token}",
            "days": str(LINK_DAYS),
            "sender_name": settings.sender_name,
            "postal_address": settings.postal_address,
        }
    )
    return OutgoingEmail(
        sender=make_sender(settings.sender_email, settings.sender_name, settings.reply_to),
        to=signup.email,
        subject=rendered.subject,
        html=rendered.html,
        text=rendered.text,
        tags=test_mail_tags(installation_id(session), signup.attempt_id),
        configuration_set=settings.ses_configuration_set,
    )


def _record(
    sessions: sessionmaker[Session], signup_id: int, result: SendResult, now: datetime
) -> None:
    with sessions() as session, writing(session):
        signup = session.get(Signup, signup_id, with_for_update=True)
        if signup is None:  # erased meanwhile
            return
        signup.message_id = result.message_id or signup.message_id
        if signup.mail is SignupMail.SENDING:  # an event may have been here first and knows more
            signup.mail = _RESULTS.get(result.outcome, SignupMail.FAILED)
            signup.detail = result.reason
            if result.outcome in GIVE_BACK and now - signup.asked_at < _GIVE_UP:
                signup.mail, signup.due_at = SignupMail.QUEUED, now + _AGAIN
    logger.info("signup=%s mail outcome=%s", signup_id, result.outcome.value)
