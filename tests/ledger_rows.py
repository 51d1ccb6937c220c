"""Campaigns and recipients for tests of the sending engine, written straight into the tables."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from domain.addresses import address_hash, address_key
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign, CampaignCounters, Recipient, Suppression
from services.installation import address_key_secret

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def add_campaign(
    session: Session,
    emails: Iterable[str] | int,
    *,
    rows: dict[str, Any] | None = None,
    **columns: Any,
) -> int:
    """A campaign that is sending, with one pending row per address (or that many addresses).

    `rows` are further columns of every recipient, `columns` of the campaign.
    """
    if isinstance(emails, int):
        emails = [f"person{number}@example.com" for number in range(emails)]
    values: dict[str, Any] = {
        "name": "Spring news",
        "subject": "Hello {{ name }}",
        "html": "<p>Hello {{ name }}, {{ email }}</p>",
        "text": "Hello {{ name }}",
        "from_email": "news@example.com",
        "status": CampaignStatus.SENDING,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "launched_at": LONG_AGO,
        "variables": ["name"],
        "configuration_set": "bes",
        "tracking_in_force": "full",
    }
    campaign = Campaign(**(values | columns))
    session.add(campaign)
    session.flush()
    secret = address_key_secret(session)
    recipients = [
        {
            "campaign_id": campaign.id,
            "email": email,
            "address": address_key(email),
            "address_hash": address_hash(secret, email),
            "variables": '{"name": "Ada"}',
            "status": RecipientStatus.PENDING,
            "updated_at": LONG_AGO,
            **(rows or {}),
        }
        for email in emails
    ]
    if recipients:
        session.execute(insert(Recipient), recipients)
    count, status = len(recipients), str((rows or {}).get("status", RecipientStatus.PENDING))
    session.add(CampaignCounters(campaign_id=campaign.id, total=count, **{status: count}))
    session.flush()
    return campaign.id


def suppress(session: Session, email: str, reason: str = "manual") -> None:
    """Put an address on the suppression list."""
    suppress_all(session, [email], reason)


def suppress_all(session: Session, emails: Iterable[str], reason: str = "manual") -> None:
    """Put many addresses on the suppression list at once."""
    secret = address_key_secret(session)
    rows = [
        {
            "address_hash": address_hash(secret, email),
            "address": address_key(email),
            "reason": reason,
            "source": "a test",
            "created_at": LONG_AGO,
        }
        for email in emails
    ]
    session.execute(insert(Suppression), rows)
