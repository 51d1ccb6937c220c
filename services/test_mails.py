"""Mails to try a campaign with: they draw a slot like all others, and never count anywhere.

A test mail is made and queued in one step and sent in another: by the scheduler as a
background job, or at once by the command `campaigns test`. Its state is written before the
call, so that a crash never sends it twice.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from config import Settings
from database import writing
from domain.addresses import AddressProblem, address_hash, check_syntax
from domain.bulk_template import BulkEmail, BulkTemplate, bulk_template, fits, why_not_bulk
from domain.outgoing import OutgoingEmail, Sender, Unsendable, make_sender, test_mail_tags
from domain.rendering import CompiledMail, TemplateProblem, compile_mail, mail_variables
from domain.send_outcomes import Outcome, SendResult
from domain.statuses import JobKind
from domain.unsubscribe_tokens import make_token
from email_service import EmailService
from models import Campaign, Job, Recipient, TestMail
from services import suppression
from services.campaigns import Refused, get_campaign
from services.installation import address_key_secret, installation_id

logger = logging.getLogger(__name__)

QUEUED, SENDING, SENT, FAILED, IN_DOUBT = "queued", "sending", "sent", "failed", "in_doubt"
#: How long a test mail waits for a free slot of the shared rate (seconds).
_PATIENCE_SECONDS = 120.0
_RETRY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _InBulk:
    """A bulk call with one mail in it."""

    template: BulkTemplate
    sender: Sender
    mail: BulkEmail
    configuration_set: str


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A test mail with its slot drawn; `wait` is the time until the slot (seconds)."""

    mail: OutgoingEmail | _InBulk
    wait: float


def create(
    session: Session, campaign_id: int, email: str, *, by: str | None, now: datetime
) -> TestMail:
    """Note a test mail of a campaign; raises Refused for an address that gets nothing."""
    campaign = get_campaign(session, campaign_id)
    parsed = check_syntax(email)
    if isinstance(parsed, AddressProblem):
        raise Refused(str(parsed))
    if suppression.find(session, parsed.address) is not None:
        raise Refused(
            f"{parsed.email} is on the suppression list: it gets no mail, no test mail either."
        )
    mail = TestMail(
        campaign_id=campaign.id,
        email=parsed.email,
        attempt_id=secrets.token_hex(16),
        status=QUEUED,
        created_at=now,
        created_by=by,
    )
    session.add(mail)
    session.flush()
    return mail


def queue(
    session: Session,
    campaign_id: int,
    email: str,
    *,
    by: str | None,
    now: datetime,
    as_recipient: int | None = None,
    in_bulk: bool = False,
) -> TestMail:
    """Have the scheduler send a test mail; `as_recipient` is the row whose values it shows.

    `in_bulk` sends it with SendBulkEmail, to see that the mail is the same.
    """
    mail = create(session, campaign_id, email, by=by, now=now)
    session.add(
        Job(
            kind=JobKind.TEST_MAIL,
            campaign_id=campaign_id,
            parameters={
                "test_mail_id": mail.id,
                "as_recipient": as_recipient,
                "in_bulk": in_bulk,
            },
            created_at=now,
            created_by=by,
        )
    )
    return mail


def run(
    sessions: sessionmaker[Session],
    test_mail_id: int,
    *,
    settings: Settings,
    service: EmailService,
    as_recipient: int | None = None,
    in_bulk: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> TestMail:
    """Send a queued test mail: draw a slot, wait for it, call SES, write what came of it.

    Opens its own short writing steps; the call is outside of them. A mail that is not queued
    any more is left alone, one that a crash left in `sending` is marked as in doubt.
    """
    waited = 0.0
    make = _make_entry if in_bulk else _make
    prepared = _prepare(sessions, test_mail_id, as_recipient, settings, make)
    while prepared is None and waited < _PATIENCE_SECONDS:
        sleep(_RETRY_SECONDS)
        waited += _RETRY_SECONDS
        prepared = _prepare(sessions, test_mail_id, as_recipient, settings, make)
    if prepared is None:
        sentence = "No slot of the sending rate or of the 24-hour quota was free. Try again later."
        result = SendResult(Outcome.NOT_SUBMITTED, code="no_slot", reason=sentence)
    elif isinstance(prepared, SendResult):
        result = prepared
    elif isinstance(prepared, TestMail):
        return prepared
    else:
        sleep(max(0.0, prepared.wait))
        result = _send(service, prepared.mail)
    return _record(sessions, test_mail_id, result, clock())


def latest(session: Session, campaign_id: int, limit: int = 20) -> list[TestMail]:
    """The newest test mails of a campaign, newest first."""
    query = select(TestMail).where(TestMail.campaign_id == campaign_id)
    return list(session.scalars(query.order_by(TestMail.id.desc()).limit(limit)))


def _prepare(
    sessions: sessionmaker[Session],
    test_mail_id: int,
    as_recipient: int | None,
    settings: Settings,
    make: Callable[..., OutgoingEmail | _InBulk],
) -> _Prepared | SendResult | TestMail | None:
    """The mail with its slot; a result if it cannot be made; the row if it is done; None = wait."""
    with sessions() as session, writing(session):
        row = session.get(TestMail, test_mail_id, with_for_update=True)
        if row is None:
            raise Refused(f"There is no test mail {test_mail_id}.")
        if row.status == SENDING:
            row.status = IN_DOUBT
            row.detail = "The program ended while it was sent; whether it left is not known."
        if row.status != QUEUED:
            return row
        try:
            mail = make(session, row, as_recipient, settings)
        except (TemplateProblem, Unsendable) as problem:
            return SendResult(Outcome.REFUSED, code="template", reason=str(problem))
        slots = rate_limiter.draw(session, 1, reserve_percent=settings.ses_quota_reserve_percent)
        if slots is None:
            return None
        row.status = SENDING
        return _Prepared(mail, slots.draw.first - slots.database_now)


def _send(service: EmailService, mail: OutgoingEmail | _InBulk) -> SendResult:
    if isinstance(mail, OutgoingEmail):
        return service.send(mail)
    (result,) = service.send_bulk(mail.template, mail.sender, [mail.mail], mail.configuration_set)
    return result


def _make(
    session: Session, row: TestMail, as_recipient: int | None, settings: Settings
) -> OutgoingEmail:
    campaign = get_campaign(session, row.campaign_id)
    link = _link(session, row, settings)
    values = _values(session, campaign, row, link, as_recipient)
    rendered = _compiled(campaign, settings).render(values)
    return OutgoingEmail(
        sender=_sender(campaign, settings),
        to=row.email,
        subject=rendered.subject,
        html=rendered.html,
        text=rendered.text,
        unsubscribe_url=link,
        tags=test_mail_tags(installation_id(session), row.attempt_id),
        configuration_set=campaign.configuration_set or settings.ses_configuration_set,
    )


def _make_entry(
    session: Session, row: TestMail, as_recipient: int | None, settings: Settings
) -> _InBulk:
    campaign = get_campaign(session, row.campaign_id)
    link = _link(session, row, settings)
    template = bulk_template(_compiled(campaign, settings))
    data = template.data(_values(session, campaign, row, link, as_recipient))
    tags = test_mail_tags(installation_id(session), row.attempt_id)
    mail = BulkEmail(row.email, data, link, tags)
    if reason := why_not_bulk(template):
        raise Unsendable(reason)
    if not fits(template, mail):
        raise Unsendable("What differs between people is too much for a bulk call.")
    set_name = campaign.configuration_set or settings.ses_configuration_set
    return _InBulk(template, _sender(campaign, settings), mail, set_name)


def _compiled(campaign: Campaign, settings: Settings) -> CompiledMail:
    return compile_mail(
        campaign.subject, campaign.html, campaign.text, postal_address=settings.postal_address
    )


def _sender(campaign: Campaign, settings: Settings) -> Sender:
    own = campaign.from_email.strip()
    return make_sender(
        own or settings.sender_email,
        campaign.from_name or ("" if own else settings.sender_name),
        campaign.reply_to or settings.reply_to,
    )


def _link(session: Session, row: TestMail, settings: Settings) -> str:
    secret = address_key_secret(session)
    token = make_token(secret, 0, row.campaign_id, address_hash(secret, row.email))
    return f"{settings.base_url}/u/{token}"


def _values(
    session: Session, campaign: Campaign, row: TestMail, link: str, as_recipient: int | None
) -> dict[str, str]:
    """The values of the wanted recipient, or of the first one; no columns before an upload."""
    query = select(Recipient.variables).where(Recipient.campaign_id == campaign.id)
    if as_recipient is not None:
        query = query.where(Recipient.id == as_recipient)
    found = session.scalar(query.order_by(Recipient.id).limit(1))
    values: dict[str, str] = json.loads(found) if found else {}
    return mail_variables(
        values, email=row.email, unsubscribe_url=link, campaign_name=campaign.name
    )


def _record(
    sessions: sessionmaker[Session], test_mail_id: int, result: SendResult, now: datetime
) -> TestMail:
    words = {Outcome.ACCEPTED: SENT, Outcome.UNKNOWN: IN_DOUBT}
    with sessions() as session, writing(session):
        # An event may have been here first and knows more.
        session.execute(
            update(TestMail)
            .where(TestMail.id == test_mail_id, TestMail.status.in_((QUEUED, SENDING)))
            .values(status=words.get(result.outcome, FAILED), detail=result.reason)
        )
        if result.message_id:
            session.execute(
                update(TestMail)
                .where(TestMail.id == test_mail_id)
                .values(message_id=result.message_id)
            )
        row = session.get_one(TestMail, test_mail_id)
        session.refresh(row)
    logger.info("test_mail=%s outcome=%s at=%s", row.id, result.outcome.value, now.isoformat())
    return row
