"""Clicks of a campaign, by link

So that a campaign can say which of its links were clicked. The index holds clicks alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    clicks = sa.text("kind = 'Click'")
    op.create_index(
        "ix_events_clicks",
        "events",
        ["campaign_id", "sub_kind"],
        sqlite_where=clicks,
        postgresql_where=clicks,
    )
