"""Large tables for benchmarks, filled by the database itself: a million rows in seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from database import is_sqlite, make_sessions, writing
from domain.statuses import CampaignStatus
from models import Campaign, CampaignCounters

_INSERT = (
    " INSERT INTO recipients (campaign_id, email, address, address_hash, variables, status,"
    " updated_at, facts, attempts, opens, machine_opens, clicks, machine_clicks, duplicates)"
    " SELECT :campaign, 'person' || n || '@example' || (n % 50) || '.com',"
    " 'person' || n || '@example' || (n % 50) || '.com',"
    " {hash}, '{{\"name\": \"Person ' || n || '\"}}', 'pending', :now,"
    " 0, 0, 0, 0, 0, 0, 0 FROM {numbers}"
)
_POSTGRES = _INSERT.format(
    hash="decode(md5('person' || n), 'hex')",
    numbers="generate_series(CAST(:first AS int), CAST(:last AS int)) n",
)
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers"
_SQLITE = f"{_NUMBERS} WHERE n < :last)" + _INSERT.format(hash="randomblob(16)", numbers="numbers")
_SUPPRESS = (
    "INSERT INTO suppressions (address_hash, address, reason, source, created_at)"
    " SELECT address_hash, address, 'bounced', 'a benchmark', :now FROM recipients"
    " WHERE campaign_id = :campaign AND status = 'pending' ORDER BY id LIMIT :rows"
)


def add_campaign(
    engine: Engine,
    recipients: int,
    html: str = "<p>Hello {{ name }}</p>",
    status: CampaignStatus = CampaignStatus.SENDING,
) -> int:
    """A campaign with so many pending recipients, in no table statistics yet; its id."""
    now = datetime.now(UTC)
    with make_sessions(engine)() as session:
        with writing(session):
            campaign = Campaign(
                name="Benchmark", subject="News for {{ name }}", html=html, text="",
                from_email="news@example.com", status=status, variables=["name"],
                created_at=now, updated_at=now, launched_at=now, configuration_set="bes",
                tracking_in_force="full",
            )  # fmt: skip
            session.add(campaign)
            session.flush()
            session.add(
                CampaignCounters(campaign_id=campaign.id, total=recipients, pending=recipients)
            )
        add_rows(session, campaign.id, 1, recipients)
        return campaign.id


def add_rows(session: Session, campaign_id: int, first: int, last: int) -> None:
    """Recipients numbered `first` to `last`, in steps of 100,000."""
    statement = text(_SQLITE if is_sqlite(session) else _POSTGRES)
    for start in range(first, last + 1, 100_000):
        with writing(session):
            session.execute(
                statement,
                {
                    "campaign": campaign_id,
                    "first": start,
                    "last": min(start + 99_999, last),
                    "now": time.time(),
                },
            )


def suppress_head(session: Session, campaign_id: int, rows: int) -> None:
    """The first so many pending recipients of the campaign are on the suppression list."""
    with writing(session):
        session.execute(
            text(_SUPPRESS), {"campaign": campaign_id, "rows": rows, "now": time.time()}
        )
