"""initial"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "buckets",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("next_slot", sa.Float(precision=53), nullable=False),
        sa.Column("rate", sa.Float(precision=53), nullable=False),
        sa.Column("ceiling", sa.Float(precision=53), nullable=False),
        sa.Column("rate_reason", sa.Text(), nullable=True),
        sa.Column("halved_at", sa.Float(precision=53), nullable=True),
        sa.Column("throttles", sa.Integer(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("second", sa.Double(), nullable=True),
        sa.Column("sent_here", sa.Integer(), nullable=False),
        sa.Column("quota_blocked_until", sa.Float(precision=53), nullable=True),
        sa.Column("max_send_rate", sa.Double(), nullable=True),
        sa.Column("max_24_hour_send", sa.Double(), nullable=True),
        sa.Column("sent_last_24_hours", sa.Double(), nullable=True),
        sa.Column("sending_enabled", sa.Boolean(), nullable=True),
        sa.Column("production_access", sa.Boolean(), nullable=True),
        sa.Column("enforcement_status", sa.String(length=20), nullable=True),
        sa.Column("account_error", sa.Text(), nullable=True),
        sa.Column("account_read_at", sa.Float(precision=53), nullable=True),
        sa.Column("account_reading_until", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_buckets")),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("html", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_is_automatic", sa.Boolean(), nullable=False),
        sa.Column("from_email", sa.String(length=320), nullable=False),
        sa.Column("from_name", sa.String(length=200), nullable=False),
        sa.Column("reply_to", sa.String(length=320), nullable=False),
        sa.Column("content_version", sa.Integer(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reason_code", sa.String(length=40), nullable=True),
        sa.Column("waiting_until", sa.Float(precision=53), nullable=True),
        sa.Column("paused_by", sa.String(length=320), nullable=True),
        sa.Column("scheduled_at", sa.Float(precision=53), nullable=True),
        sa.Column("scheduled_zone", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("created_by", sa.String(length=320), nullable=True),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.Column("launched_at", sa.Float(precision=53), nullable=True),
        sa.Column("launched_by", sa.String(length=320), nullable=True),
        sa.Column("first_sent_at", sa.Float(precision=53), nullable=True),
        sa.Column("last_sent_at", sa.Float(precision=53), nullable=True),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.Column("guard_baseline", sa.JSON(), nullable=True),
        sa.Column("send_undeliverable", sa.Boolean(), nullable=False),
        sa.Column("tracking", sa.String(length=10), nullable=False),
        sa.Column("tracking_in_force", sa.String(length=10), nullable=True),
        sa.Column("tracking_reason", sa.Text(), nullable=True),
        sa.Column("configuration_set", sa.String(length=64), nullable=True),
        sa.Column("delivery_published", sa.Boolean(), nullable=False),
        sa.Column("send_api", sa.String(length=10), nullable=True),
        sa.Column("send_api_reason", sa.Text(), nullable=True),
        sa.Column("cap_per_second", sa.Double(), nullable=True),
        sa.Column("batch_size", sa.Integer(), nullable=True),
        sa.Column("batch_pause_seconds", sa.Integer(), nullable=True),
        sa.Column("batch_left", sa.Integer(), nullable=True),
        sa.Column("window_days", sa.String(length=20), nullable=True),
        sa.Column("window_start", sa.String(length=5), nullable=True),
        sa.Column("window_end", sa.String(length=5), nullable=True),
        sa.Column("window_zone", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "status IN ('draft', 'scheduled', 'sending', 'paused', 'sent', 'cancelled')",
            name=op.f("ck_campaigns_status"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
    )
    with op.batch_alter_table("campaigns", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_campaigns_status_scheduled_at"), ["status", "scheduled_at"], unique=False
        )

    op.create_table(
        "dead_letters",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("door", sa.String(length=4), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_dead_letters_fingerprint")),
    )
    op.create_table(
        "events",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("sub_kind", sa.String(length=60), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("door", sa.String(length=4), nullable=False),
        sa.Column("happened_at", sa.Float(precision=53), nullable=True),
        sa.Column("received_at", sa.Float(precision=53), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=True),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("attempt_id", sa.String(length=32), nullable=True),
        sa.Column("message_id", sa.String(length=100), nullable=True),
        sa.Column("raw", sa.LargeBinary(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('new', 'applied', 'parked', 'expired', 'ignored', 'dead')",
            name=op.f("ck_events_status"),
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index(
            "ix_events_parked_message",
            ["message_id"],
            unique=False,
            sqlite_where=sa.text("status = 'parked'"),
            postgresql_where=sa.text("status = 'parked'"),
        )
        batch_op.create_index(batch_op.f("ix_events_received_at"), ["received_at"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_events_recipient_id_happened_at"),
            ["recipient_id", "happened_at"],
            unique=False,
        )
        batch_op.create_index(
            "ix_events_test_mail",
            ["attempt_id"],
            unique=False,
            sqlite_where=sa.text("recipient_id IS NULL AND attempt_id IS NOT NULL"),
            postgresql_where=sa.text("recipient_id IS NULL AND attempt_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_events_waiting",
            ["status", "received_at"],
            unique=False,
            sqlite_where=sa.text("status IN ('new', 'parked', 'dead')"),
            postgresql_where=sa.text("status IN ('new', 'parked', 'dead')"),
        )

    op.create_table(
        "installation",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_installation")),
    )
    op.create_table(
        "login_throttles",
        sa.Column("key", sa.String(length=400), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.Float(precision=53), nullable=True),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_login_throttles")),
    )
    op.create_table(
        "mail_domains",
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("domain", name=op.f("pk_mail_domains")),
    )
    op.create_table(
        "notices",
        sa.Column("code", sa.String(length=80), nullable=False),
        sa.Column("severity", sa.String(length=4), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_notices")),
    )
    op.create_table(
        "soft_bounce_streaks",
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("bounces", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("address_hash", name=op.f("pk_soft_bounce_streaks")),
    )
    op.create_table(
        "column_choices",
        sa.Column("header_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("choice", sa.JSON(), nullable=False),
        sa.Column("used_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("header_key", name=op.f("pk_column_choices")),
    )
    op.create_table(
        "submitted_forms",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_submitted_forms")),
    )
    op.create_table(
        "suppressions",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column(
            "address",
            sa.String(length=320).with_variant(sa.String(length=320, collation="C"), "postgresql"),
            nullable=True,
        ),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.CheckConstraint(
            "reason IN ('bounced', 'complained', 'unsubscribed', 'soft_bounces', 'account_list', 'manual', 'imported')",
            name=op.f("ck_suppressions_reason"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suppressions")),
        sa.UniqueConstraint("address_hash", name=op.f("uq_suppressions_address_hash")),
    )
    with op.batch_alter_table("suppressions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_suppressions_address"), ["address"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_suppressions_created_at"), ["created_at"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_suppressions_reason_id"), ["reason", "id"], unique=False
        )

    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=True),
        sa.Column("session_key", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("last_login_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("seen_at", sa.Float(precision=53), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "campaign_counters",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("sending", sa.Integer(), nullable=False),
        sa.Column("in_doubt", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("delayed", sa.Integer(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("soft_bounced", sa.Integer(), nullable=False),
        sa.Column("bounced", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("complained", sa.Integer(), nullable=False),
        sa.Column("reached_accepted", sa.Integer(), nullable=False),
        sa.Column("reached_delivered", sa.Integer(), nullable=False),
        sa.Column("reached_delayed", sa.Integer(), nullable=False),
        sa.Column("reached_soft_bounced", sa.Integer(), nullable=False),
        sa.Column("reached_bounced", sa.Integer(), nullable=False),
        sa.Column("reached_complained", sa.Integer(), nullable=False),
        sa.Column("opened", sa.Integer(), nullable=False),
        sa.Column("clicked", sa.Integer(), nullable=False),
        sa.Column("opened_machine", sa.Integer(), nullable=False),
        sa.Column("clicked_machine", sa.Integer(), nullable=False),
        sa.Column("unsubscribed", sa.Integer(), nullable=False),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_campaign_counters_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_campaign_counters")),
    )
    op.create_table(
        "jobs",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("upload_id", sa.BigInteger(), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("stop_requested", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.Float(precision=53), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("created_by", sa.String(length=320), nullable=True),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.CheckConstraint(
            "kind IN ('import', 'verify', 'test_mail', 'dry_run')", name=op.f("ck_jobs_kind")
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'done', 'failed', 'stopped')",
            name=op.f("ck_jobs_status"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaigns.id"], name=op.f("fk_jobs_campaign_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_jobs_campaign_id_id"), ["campaign_id", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_jobs_status_id"), ["status", "id"], unique=False)

    op.create_table(
        "rate_samples",
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_rate_samples_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("campaign_id", "slot", name=op.f("pk_rate_samples")),
    )
    op.create_table(
        "recipients",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column(
            "address",
            sa.String(length=320).with_variant(sa.String(length=320, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "domain",
            sa.String(length=320).with_variant(sa.String(length=320, collation="C"), "postgresql"),
            sa.Computed(
                "substr(address, length(rtrim(address, replace(address, '@', ''))) + 1)",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column("address_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("variables", sa.Text(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("import_id", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.String(length=20), nullable=True),
        sa.Column("verdict_reason", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("facts", sa.Integer(), nullable=False),
        sa.Column("reason_code", sa.String(length=60), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reason_at", sa.Float(precision=53), nullable=True),
        sa.Column("attempt_id", sa.String(length=32), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.Float(precision=53), nullable=True),
        sa.Column("submitted_at", sa.Float(precision=53), nullable=True),
        sa.Column("message_id", sa.String(length=100), nullable=True),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.Column("sent_at", sa.Float(precision=53), nullable=True),
        sa.Column("delivered_at", sa.Float(precision=53), nullable=True),
        sa.Column("bounced_at", sa.Float(precision=53), nullable=True),
        sa.Column("complained_at", sa.Float(precision=53), nullable=True),
        sa.Column("delayed_until", sa.Float(precision=53), nullable=True),
        sa.Column("opened_at", sa.Float(precision=53), nullable=True),
        sa.Column("last_opened_at", sa.Float(precision=53), nullable=True),
        sa.Column("opens", sa.Integer(), nullable=False),
        sa.Column("machine_opened_at", sa.Float(precision=53), nullable=True),
        sa.Column("machine_opens", sa.Integer(), nullable=False),
        sa.Column("clicked_at", sa.Float(precision=53), nullable=True),
        sa.Column("last_clicked_at", sa.Float(precision=53), nullable=True),
        sa.Column("clicks", sa.Integer(), nullable=False),
        sa.Column("machine_clicked_at", sa.Float(precision=53), nullable=True),
        sa.Column("machine_clicks", sa.Integer(), nullable=False),
        sa.Column("unsubscribed_at", sa.Float(precision=53), nullable=True),
        sa.Column("duplicates", sa.Integer(), nullable=False),
        sa.Column("presumed_unsent_at", sa.Float(precision=53), nullable=True),
        sa.Column("doubt_evidence", sa.JSON(), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'sending', 'in_doubt', 'skipped', 'cancelled', 'failed', 'sent', 'delayed', 'delivered', 'soft_bounced', 'bounced', 'rejected', 'complained')",
            name=op.f("ck_recipients_status"),
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_recipients_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipients")),
        sa.UniqueConstraint(
            "campaign_id", "address", name=op.f("uq_recipients_campaign_id_address")
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("recipients", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_recipients_campaign_id_status_id"),
            ["campaign_id", "status", "id"],
            unique=False,
        )
        batch_op.create_index("ix_recipients_domain", ["campaign_id", "domain", "id"], unique=False)
        batch_op.create_index(
            "ix_recipients_message_id",
            ["message_id"],
            unique=False,
            sqlite_where=sa.text("message_id IS NOT NULL"),
            postgresql_where=sa.text("message_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_recipients_open",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("status IN ('sending', 'in_doubt')"),
            postgresql_where=sa.text("status IN ('sending', 'in_doubt')"),
        )
        batch_op.create_index(
            "ix_recipients_pending",
            ["campaign_id", "id"],
            unique=False,
            sqlite_where=sa.text("status = 'pending'"),
            postgresql_where=sa.text("status = 'pending'"),
        )
        batch_op.create_index(
            "ix_recipients_sent_at",
            ["sent_at"],
            unique=False,
            sqlite_where=sa.text("sent_at IS NOT NULL"),
            postgresql_where=sa.text("sent_at IS NOT NULL"),
        )
        batch_op.create_index("ix_recipients_updated", ["campaign_id", "updated_at"], unique=False)
        batch_op.create_index(
            "ix_recipients_verdict",
            ["campaign_id", "verdict", "id"],
            unique=False,
            sqlite_where=sa.text("verdict IN ('risky', 'undeliverable', 'unknown')"),
            postgresql_where=sa.text("verdict IN ('risky', 'undeliverable', 'unknown')"),
        )

    op.create_table(
        "test_mails",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("campaign_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("message_id", sa.String(length=100), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("created_by", sa.String(length=320), nullable=True),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_test_mails_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_mails")),
        sa.UniqueConstraint("attempt_id", name=op.f("uq_test_mails_attempt_id")),
    )
    with op.batch_alter_table("test_mails", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_test_mails_campaign_id"), ["campaign_id"], unique=False
        )

    op.create_table(
        "uploads",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("campaign_id", sa.Integer(), nullable=True),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
            name=op.f("fk_uploads_campaign_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
    )
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_uploads_campaign_id"), ["campaign_id"], unique=False)

    op.create_table(
        "past_attempts",
        sa.Column("attempt_id", sa.String(length=32), nullable=False),
        sa.Column(
            "recipient_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("facts", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.String(length=100), nullable=True),
        sa.Column("submitted_at", sa.Float(precision=53), nullable=True),
        sa.Column("ended_at", sa.Float(precision=53), nullable=False),
        sa.Column("ended_because", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["recipients.id"],
            name=op.f("fk_past_attempts_recipient_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_past_attempts")),
    )
    with op.batch_alter_table("past_attempts", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_past_attempts_message_id"), ["message_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_past_attempts_recipient_id"), ["recipient_id"], unique=False
        )

    op.create_table(
        "refused_rows",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cells", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_refused_rows_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "line", name=op.f("pk_refused_rows")),
    )
    op.create_table(
        "upload_chunks",
        sa.Column(
            "upload_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["upload_id"],
            ["uploads.id"],
            name=op.f("fk_upload_chunks_upload_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("pk_upload_chunks")),
    )
