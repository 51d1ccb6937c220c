"""domains on the suppression list"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "account_suppressions",
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("listed_at", sa.Float(precision=53), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name=op.f("pk_account_suppressions")),
    )
    op.create_table(
        "suppressed_patterns",
        sa.Column(
            "key",
            sa.String(length=320).with_variant(sa.String(length=320, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("suppression_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["suppression_id"],
            ["suppressions.id"],
            name=op.f("fk_suppressed_patterns_suppression_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_suppressed_patterns")),
    )
    with op.batch_alter_table("suppressed_patterns", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_suppressed_patterns_suppression_id"), ["suppression_id"], unique=False
        )

    with op.batch_alter_table("suppressions", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "domain",
                sa.String(length=320).with_variant(
                    sa.String(length=320, collation="C"), "postgresql"
                ),
                sa.Computed(
                    "substr(address, length(rtrim(address, replace(address, '@', ''))) + 1)",
                    persisted=True,
                ),
                nullable=True,
            )
        )
        batch_op.create_index(
            batch_op.f("ix_suppressions_domain_reason_id"), ["domain", "reason", "id"], unique=False
        )

    with op.batch_alter_table(
        "jobs", schema=None, table_kwargs={"sqlite_autoincrement": True}
    ) as batch_op:
        batch_op.drop_constraint(op.f("ck_jobs_kind"), type_="check")
        batch_op.create_check_constraint(
            op.f("ck_jobs_kind"),
            "kind IN ('import', 'verify', 'test_mail', 'dry_run', 'suppress', 'account_list')",
        )
