"""Reading the SES account for all workers: one GetAccount a minute, whoever gets the lease."""

from __future__ import annotations

import logging
from datetime import datetime

from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from aws.account import AccountFacts, read_account
from aws.clients import AwsClients
from config import Settings
from database import writing
from domain.pacing import AccountLimits
from rate_limiter import AccountReading
from services import lifecycle, notices

logger = logging.getLogger(__name__)

#: GetAccount allows one request a second; once a minute is enough (DESIGN section 4).
READ_EVERY_SECONDS = 60.0
_SHUT = "account_shutdown"
_OFF = "sending_disabled"
_PROBATION = "account_probation"


def refresh(
    settings: Settings, sessions: sessionmaker[Session], clients: AwsClients, now: datetime
) -> bool:
    """Read the account if a minute is over and nobody else does; whether it was read."""
    with sessions() as session, writing(session):
        mine = rate_limiter.lease_account_reading(session, READ_EVERY_SECONDS)
    if not mine:
        return False
    facts = read_account(clients.ses)
    if facts.error:
        logger.warning("the SES account cannot be read, its quota is unknown: %s", facts.error)
    with sessions() as session, writing(session):
        heed(session, facts, now)
        rate_limiter.store_account(
            session,
            _reading(facts),
            wanted_rate=settings.max_emails_per_second,
            reserve_percent=settings.ses_quota_reserve_percent,
        )
    return True


def _reading(facts: AccountFacts) -> AccountReading:
    return AccountReading(
        AccountLimits(facts.max_send_rate, facts.max_24_hour_send, facts.sent_last_24_hours),
        sending_enabled=facts.sending_enabled,
        production_access=facts.production_access,
        enforcement_status=facts.enforcement_status,
        error=facts.error,
    )


def heed(session: Session, facts: AccountFacts, now: datetime) -> None:
    """Pause everything when AWS has stopped the account; warn when it is under review."""
    if facts.error:
        return
    if facts.enforcement_status == "SHUTDOWN":
        sentence = (
            "AWS has shut down sending for this account (EnforcementStatus SHUTDOWN). See the "
            "reputation page of the SES console and talk to AWS Support, then resume."
        )
        lifecycle.stop(session, None, _SHUT, sentence, now)
    elif facts.sending_enabled is False:
        sentence = (
            "Sending is switched off for this SES account (SendingEnabled is false). Switch it "
            "on in the SES console, then resume."
        )
        lifecycle.stop(session, None, _OFF, sentence, now)
    if facts.enforcement_status == "PROBATION":
        text = (
            "AWS has this SES account under review (EnforcementStatus PROBATION): bounces or "
            "complaints were too many. Mend the lists before AWS pauses sending."
        )
        notices.raise_notice(session, _PROBATION, "warn", text, now)
    else:
        notices.clear_notice(session, _PROBATION)
