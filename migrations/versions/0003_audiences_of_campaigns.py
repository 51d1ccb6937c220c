"""audiences of campaigns"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "audiences",
        sa.Column("campaign_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("percent", sa.Double(), nullable=False),
        sa.Column("leave_out", sa.Integer(), nullable=True),
        sa.Column("frozen_at", sa.Float(precision=53), nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("copied", sa.Integer(), nullable=False),
        sa.Column("copied_at", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_audiences_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_audiences")),
    )
    op.create_table(
        "segments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
        sa.UniqueConstraint("name", name=op.f("uq_segments_name")),
    )
    op.create_table(
        "audience_members",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("person", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["audiences.campaign_id"],
            name=op.f("fk_audience_members_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "position", name=op.f("pk_audience_members")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audience_sources",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("of_id", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.CheckConstraint(
            "kind IN ('list', 'segment', 'outcome')", name=op.f("ck_audience_sources_kind")
        ),
        sa.CheckConstraint(
            "outcome IN ('everybody', 'not_opened', 'opened', 'clicked', 'soft_bounced')",
            name=op.f("ck_audience_sources_outcome"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["audiences.campaign_id"],
            name=op.f("fk_audience_sources_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audience_sources")),
    )
    with op.batch_alter_table("audience_sources", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_audience_sources_campaign_id"), ["campaign_id"], unique=False
        )
