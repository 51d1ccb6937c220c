"""Who an audience is made of, packed: some thousand people a row, gone once they are copied

A row a person took seconds to write before the first mail to a long list could leave.
"""

from __future__ import annotations

from array import array

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_PART = 2_000


def upgrade() -> None:
    parts = op.create_table(
        "audience_parts",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("persons", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["audiences.campaign_id"],
            name=op.f("fk_audience_parts_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "start", name=op.f("pk_audience_parts")),
    )
    connection = op.get_bind()
    in_hand = "SELECT campaign_id FROM audiences WHERE frozen_at IS NOT NULL AND copied_at IS NULL"
    for campaign_id in connection.scalars(sa.text(in_hand)).all():
        members = sa.text(
            "SELECT person FROM audience_members WHERE campaign_id = :id ORDER BY position"
        )
        persons = array("q", connection.scalars(members, {"id": campaign_id}))
        for start in range(0, len(persons), _PART):
            packed = persons[start : start + _PART].tobytes()
            connection.execute(
                parts.insert().values(campaign_id=campaign_id, start=start, persons=packed)
            )
    op.drop_table("audience_members")
