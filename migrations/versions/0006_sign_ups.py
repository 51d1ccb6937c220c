"""sign ups"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "signup_forms",
        sa.Column("list_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("consent", sa.Text(), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["list_id"], ["lists.id"], name=op.f("fk_signup_forms_list_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("list_id", name=op.f("pk_signup_forms")),
        sa.UniqueConstraint("public_id", name=op.f("uq_signup_forms_public_id")),
    )
    op.create_table(
        "signups",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("list_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("variables", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.Float(precision=53), nullable=False),
        sa.Column("asked_on", sa.Text(), nullable=False),
        sa.Column("consent", sa.Text(), nullable=False),
        sa.Column("client_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("mail", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("due_at", sa.Float(precision=53), nullable=False),
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=100), nullable=True),
        sa.Column("confirmed_at", sa.Float(precision=53), nullable=True),
        sa.Column("confirmed_hash", sa.LargeBinary(length=16), nullable=True),
        sa.Column("lifted", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "mail IN ('queued', 'sending', 'in_doubt', 'withheld', 'sent', 'delayed', 'delivered', 'opened', 'clicked', 'failed', 'bounced', 'rejected', 'complained')",
            name=op.f("ck_signups_mail"),
        ),
        sa.ForeignKeyConstraint(
            ["list_id"], ["lists.id"], name=op.f("fk_signups_list_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signups")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_signups_attempt_id")),
    )
    with op.batch_alter_table("signups", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_signups_address_hash_asked_at"),
            ["address_hash", "asked_at"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_signups_client_hash_asked_at"), ["client_hash", "asked_at"], unique=False
        )
        batch_op.create_index(
            "ix_signups_due",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("mail IN ('queued', 'sending')"),
            postgresql_where=sa.text("mail IN ('queued', 'sending')"),
        )
        batch_op.create_index(
            batch_op.f("ix_signups_list_id_asked_at"), ["list_id", "asked_at"], unique=False
        )
        batch_op.create_index(
            "ix_signups_unconfirmed",
            ["asked_at"],
            unique=False,
            sqlite_where=sa.text("confirmed_at IS NULL"),
            postgresql_where=sa.text("confirmed_at IS NULL"),
        )
