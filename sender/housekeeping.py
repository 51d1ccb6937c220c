"""What has to be done beside sending, once a second: schedules, sweeps, ends, the guard."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from config import Settings
from database import writing
from domain.statuses import CampaignStatus
from models import Campaign, CampaignCounters
from services import audiences, claims, contact_history, guard, lifecycle, signups, uploads
from services.campaigns import cancel_pending
from services.installation import address_key_secret

logger = logging.getLogger(__name__)

#: Rows that one step turns; on SQLite it keeps the writer lock for about 20 ms.
_STEP_ROWS = 400
#: How long a turn copies recipients before everything else has its turn (seconds).
_COPYING_SECONDS = 0.7
#: An uploaded file is looked at, imported and perhaps imported again within this time.
_UPLOAD_KEPT = timedelta(days=7)


class Housekeeping:
    """One scheduler's share of the work that any scheduler may do."""

    def __init__(self, settings: Settings, sessions: sessionmaker[Session]) -> None:
        self._settings = settings
        self._sessions = sessions

    def step(self, now: datetime) -> None:
        """Do all of it once, each part in transactions of its own; none holds up the others."""
        for part in (
            self._begin,
            self._copy_audiences,
            self._sweep,
            self._turn_cancelled,
            self._carry_over,
            self._guard,
            self._finish,
        ):
            try:
                with self._sessions() as session:
                    part(session, now)
            except OperationalError:
                raise  # the database is gone or busy, for all of them
            except Exception:
                name = part.__name__.strip("_")
                logger.exception("housekeeping (%s) failed; it is tried again", name)

    def _begin(self, session: Session, now: datetime) -> None:
        with writing(session):
            for campaign_id in lifecycle.start_due(session, now):
                logger.info("campaign=%s begins on schedule", campaign_id)
            uploads.forget_before(session, now - _UPLOAD_KEPT)
            signups.forget_unconfirmed(session, now)

    def _carry_over(self, session: Session, now: datetime) -> None:
        with writing(session):
            contact_history.carry_over(session, now, _STEP_ROWS)

    def _guard(self, session: Session, now: datetime) -> None:
        with writing(session):
            for campaign_id in guard.check(session, self._settings, now):
                logger.warning("campaign=%s paused by the guard", campaign_id)

    def _finish(self, session: Session, now: datetime) -> None:
        with writing(session):
            lifecycle.note_doubt(session)
            for campaign_id in lifecycle.finish_done(session, now):
                logger.info("campaign=%s is sent", campaign_id)

    def _copy_audiences(self, session: Session, now: datetime) -> None:
        """Make ledger rows of people from lists, for a part of this turn."""
        until = time.monotonic() + _COPYING_SECONDS
        for campaign_id in audiences.to_copy(session):
            secret = address_key_secret(session)
            audiences.freeze(self._sessions, campaign_id, now)
            more = True
            while more:  # one step at least, however slow the machine
                with writing(session):
                    more = audiences.copy_step(session, campaign_id, secret, now, _STEP_ROWS)
                more = more and time.monotonic() < until

    def _sweep(self, session: Session, now: datetime) -> None:
        while True:
            with writing(session):
                freed, doubted = claims.sweep_expired_leases(session, now, _STEP_ROWS)
            if freed or doubted:
                logger.warning("leases over: %s free again, %s in doubt", freed, doubted)
            if freed + doubted < _STEP_ROWS:
                return

    def _turn_cancelled(self, session: Session, now: datetime) -> None:
        query = (
            select(Campaign.id)
            .join(CampaignCounters, CampaignCounters.campaign_id == Campaign.id)
            .where(Campaign.status == CampaignStatus.CANCELLED, CampaignCounters.pending > 0)
        )
        for campaign_id in session.scalars(query).all():
            turned = _STEP_ROWS
            while turned == _STEP_ROWS:
                with writing(session):
                    turned = cancel_pending(session, campaign_id, now, _STEP_ROWS)
