"""risks and corrections"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "address_insights",
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name=op.f("pk_address_insights")),
    )
    op.create_table(
        "address_corrections",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "recipient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("was", sa.String(length=320), nullable=False),
        sa.Column("became", sa.String(length=320), nullable=False),
        sa.Column("is_duplicate", sa.Boolean(), nullable=False),
        sa.Column("corrected_at", sa.Float(precision=53), nullable=False),
        sa.Column("corrected_by", sa.String(length=320), nullable=True),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["recipients.id"],
            name=op.f("fk_address_corrections_recipient_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_corrections")),
    )
    with op.batch_alter_table("address_corrections", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_address_corrections_recipient_id"), ["recipient_id"], unique=False
        )

    with op.batch_alter_table("campaigns", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("skip_risks", sa.Integer(), server_default="0", nullable=False)
        )

    with op.batch_alter_table("recipients", schema=None) as batch_op:
        batch_op.add_column(sa.Column("risks", sa.Integer(), nullable=True))

    # What campaigns that are still to start have verified already; the words are its own.
    op.execute("""
        UPDATE recipients SET risks = CASE verdict WHEN 'unknown' THEN 128 ELSE
            CASE WHEN verdict_reason LIKE '%was meant.%' THEN 1 ELSE 0 END
            + CASE WHEN verdict_reason LIKE '%throw-away%' THEN 2 ELSE 0 END
            + CASE WHEN verdict_reason LIKE '%shared mailbox%' THEN 4 ELSE 0 END
            + CASE WHEN verdict_reason LIKE '%has complained%' THEN 8 ELSE 0 END
            + CASE WHEN verdict_reason LIKE '%has unsubscribed%' THEN 16 ELSE 0 END
            + CASE WHEN verdict_reason LIKE '%passing reason%' THEN 32 ELSE 0 END
        END
        WHERE verdict IN ('risky', 'unknown') AND campaign_id IN
            (SELECT id FROM campaigns WHERE status IN ('draft', 'scheduled'))
    """)
