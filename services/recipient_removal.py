"""Takes all recipients out of a campaign that was not launched, in short steps."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session, sessionmaker

from database import bulk_session, writing
from domain.statuses import JobKind, JobStatus
from models import Job, Recipient
from services import counters
from services.campaigns import EDITABLE, Refused, lock_campaign

_STEP = 400


def remove_all(sessions: sessionmaker[Session], campaign_id: int, now: datetime) -> int:
    """Delete every recipient of a draft; how many they were.

    Raises Refused once the campaign was launched, or while something works on its recipients.
    Stopped half-way, what is left is counted right and can be removed by asking again.
    """
    removed = 0
    with bulk_session(sessions) as session:
        while True:
            with writing(session):
                gone = _step(session, campaign_id, now)
            removed += gone
            if not gone:
                return removed


def _step(session: Session, campaign_id: int, now: datetime) -> int:
    campaign = lock_campaign(session, campaign_id)
    if campaign.status not in EDITABLE:
        raise Refused("This campaign has been launched: its recipients are kept as proof.")
    busy = exists().where(
        Job.campaign_id == campaign_id, Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
    )
    if session.scalar(select(busy)):
        raise Refused("An import or a check of this campaign is running: stop it first.")
    rows = session.execute(
        select(Recipient.id, Recipient.status)
        .where(Recipient.campaign_id == campaign_id)
        .order_by(Recipient.address)
        .limit(_STEP)
    ).all()
    session.execute(delete(Recipient).where(Recipient.id.in_([row.id for row in rows])))
    states = Counter(row.status.value for row in rows)
    changes = {name: -number for name, number in states.items()}
    counters.add(session, {campaign_id: {**changes, "total": -len(rows)}})
    if not rows:
        # Verdicts went with the rows: a check of people who are gone says nothing any more.
        session.execute(
            delete(Job).where(Job.campaign_id == campaign_id, Job.kind == JobKind.VERIFY)
        )
        campaign.variables = []
        campaign.updated_at = now
    return len(rows)
