"""Rows for tests, with the values that a running product would give them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.addresses import address_hash, address_key
from domain.statuses import CampaignStatus, Fact, RecipientStatus, state_of
from models import Campaign, CampaignCounters, Recipient
from services.installation import address_key_secret
from services.ledger import contributions


def add_campaign(session: Session, now: datetime, **values: Any) -> Campaign:
    """A campaign that could be sent as it is; call inside a writing step."""
    content = {
        "name": "Autumn news",
        "subject": "News for {{ name | default('you') }}",
        "html": "<p>Hello {{ name }}</p>",
        "text": "Hello {{ name }}",
        "from_email": "news@example.com",
        "status": CampaignStatus.DRAFT,
        "variables": ["name"],
    }
    campaign = Campaign(created_at=now, updated_at=now, **{**content, **values})
    session.add(campaign)
    session.flush()
    session.add(CampaignCounters(campaign_id=campaign.id))
    session.flush()
    return campaign


def add_recipients(
    session: Session,
    campaign: Campaign,
    emails: list[str],
    now: datetime,
    *,
    facts: int = 0,
    **values: Any,
) -> list[Recipient]:
    """Recipients in the state that `facts` amount to, counted; call inside a writing step."""
    secret = address_key_secret(session)
    rows = [
        Recipient(
            campaign_id=campaign.id,
            email=email,
            address=address_key(email),
            address_hash=address_hash(secret, email),
            facts=facts,
            status=state_of(facts),
            updated_at=now,
            **values,
        )
        for email in emails
    ]
    session.add_all(rows)
    session.flush()
    of_them = Recipient.id.in_([row.id for row in rows])
    session.scalars(select(Recipient).where(of_them)).all()  # defaults, for all of them at once
    counters = session.get_one(CampaignCounters, campaign.id)
    for row in rows:
        columns = {c.name: getattr(row, c.name) for c in Recipient.__table__.columns}
        for name, step in {**contributions(columns), "total": 1}.items():
            setattr(counters, name, getattr(counters, name) + step)
    session.flush()
    return rows


def add_sending(
    session: Session, campaign: Campaign, emails: list[str], now: datetime
) -> list[Recipient]:
    """Recipients whose first attempt has been submitted and not answered yet."""
    rows = add_recipients(session, campaign, emails, now, facts=Fact.CLAIMED, submitted_at=now)
    for row in rows:
        row.attempt_id = f"{row.id:032x}"
        row.attempts = 1
    session.flush()
    assert all(row.status is RecipientStatus.SENDING for row in rows)
    return rows
