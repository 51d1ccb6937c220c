"""The tables: columns, constraints and indexes. No queries and no decisions live here.

The people kept between campaigns (contacts, lists, audiences) are in audience_models.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Computed,
    Float,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

import audience_models  # noqa: F401 - its tables belong to the same metadata
from domain.statuses import (
    CampaignStatus,
    EventStatus,
    JobKind,
    JobStatus,
    RecipientStatus,
    SuppressionReason,
    Verdict,
)
from model_base import Base as Base
from model_base import KeyText, big_pk, one_of


class InstallationValue(Base):
    """Values made with the schema or learned since: `bes_install`, keys, first-run token."""

    __tablename__ = "installation"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class User(Base):
    """A person who may log in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(320), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    time_zone: Mapped[str | None] = mapped_column(String(64))
    session_key: Mapped[str] = mapped_column(String(32))  # changed to end all sessions
    created_at: Mapped[datetime]
    last_login_at: Mapped[datetime | None]


class LoginThrottle(Base):
    """Failed log-ins by account and by client address; the lock-out lives in the database."""

    __tablename__ = "login_throttles"

    key: Mapped[str] = mapped_column(String(400), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None]
    updated_at: Mapped[datetime]


class Campaign(Base):
    """One mail to many people: content, schedule and what it waits for."""

    __tablename__ = "campaigns"
    __table_args__ = (one_of("status", CampaignStatus), Index(None, "status", "scheduled_at"))

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    subject: Mapped[str] = mapped_column(Text, default="")
    html: Mapped[str] = mapped_column(Text, default="")
    text: Mapped[str] = mapped_column(Text, default="")
    text_is_automatic: Mapped[bool] = mapped_column(default=True)
    from_email: Mapped[str] = mapped_column(String(320), default="")
    from_name: Mapped[str] = mapped_column(String(200), default="")
    reply_to: Mapped[str] = mapped_column(String(320), default="")
    content_version: Mapped[int] = mapped_column(default=1)
    variables: Mapped[list[Any]] = mapped_column(default=list)  # names, in column order

    status: Mapped[CampaignStatus] = mapped_column(default=CampaignStatus.DRAFT)
    reason: Mapped[str | None] = mapped_column(Text)  # a sentence: why paused, why waiting
    reason_code: Mapped[str | None] = mapped_column(String(40))
    waiting_until: Mapped[datetime | None]
    paused_by: Mapped[str | None] = mapped_column(String(320))  # an address, or "the product"
    scheduled_at: Mapped[datetime | None]
    scheduled_zone: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(320))
    updated_at: Mapped[datetime]
    launched_at: Mapped[datetime | None]
    launched_by: Mapped[str | None] = mapped_column(String(320))
    first_sent_at: Mapped[datetime | None]
    last_sent_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    guard_baseline: Mapped[dict[str, Any] | None]  # counters when a person overruled the guard
    send_undeliverable: Mapped[bool] = mapped_column(default=False)
    skip_risks: Mapped[int] = mapped_column(default=0, server_default="0")  # statuses.Risk
    tracking: Mapped[str] = mapped_column(String(10), default="auto")  # auto, full, critical
    tracking_in_force: Mapped[str | None] = mapped_column(String(10))
    tracking_reason: Mapped[str | None] = mapped_column(Text)
    configuration_set: Mapped[str | None] = mapped_column(String(64))
    delivery_published: Mapped[bool] = mapped_column(default=True)
    send_api: Mapped[str | None] = mapped_column(String(10))  # single, bulk; None = as set
    send_api_reason: Mapped[str | None] = mapped_column(Text)
    cap_per_second: Mapped[float | None]
    batch_size: Mapped[int | None]
    batch_pause_seconds: Mapped[int | None]
    batch_left: Mapped[int | None]  # mails left in the present batch
    window_days: Mapped[str | None] = mapped_column(String(20))  # "0,1,2,3,4": Monday is 0
    window_start: Mapped[str | None] = mapped_column(String(5))  # "08:00"
    window_end: Mapped[str | None] = mapped_column(String(5))
    window_zone: Mapped[str | None] = mapped_column(String(64))


class CampaignCounters(Base):
    """The figures of a campaign, changed in the transaction that changes a row.

    One column per recipient state (rows in it now), `reached_*` (rows whose present attempt
    ever got there), distinct people for opens and clicks, and the totals. Names: services.ledger.
    """

    __tablename__ = "campaign_counters"

    campaign_id: Mapped[int] = mapped_column(
        ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True
    )
    total: Mapped[int] = mapped_column(default=0)
    pending: Mapped[int] = mapped_column(default=0)
    sending: Mapped[int] = mapped_column(default=0)
    in_doubt: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    sent: Mapped[int] = mapped_column(default=0)
    delayed: Mapped[int] = mapped_column(default=0)
    delivered: Mapped[int] = mapped_column(default=0)
    soft_bounced: Mapped[int] = mapped_column(default=0)
    bounced: Mapped[int] = mapped_column(default=0)
    rejected: Mapped[int] = mapped_column(default=0)
    complained: Mapped[int] = mapped_column(default=0)
    reached_accepted: Mapped[int] = mapped_column(default=0)
    reached_delivered: Mapped[int] = mapped_column(default=0)
    reached_delayed: Mapped[int] = mapped_column(default=0)
    reached_soft_bounced: Mapped[int] = mapped_column(default=0)
    reached_bounced: Mapped[int] = mapped_column(default=0)
    reached_complained: Mapped[int] = mapped_column(default=0)
    opened: Mapped[int] = mapped_column(default=0)
    clicked: Mapped[int] = mapped_column(default=0)
    opened_machine: Mapped[int] = mapped_column(default=0)
    clicked_machine: Mapped[int] = mapped_column(default=0)
    unsubscribed: Mapped[int] = mapped_column(default=0)
    duplicates: Mapped[int] = mapped_column(default=0)


class Recipient(Base):
    """The ledger: one row per recipient per campaign, showing its newest attempt."""

    __tablename__ = "recipients"
    __table_args__ = (
        UniqueConstraint("campaign_id", "address"),
        one_of("status", RecipientStatus),
        # By id, not by address: a random order would cost an import a page write per row.
        Index(None, "campaign_id", "status", "id"),
        Index("ix_recipients_pending", "campaign_id", "id",
              sqlite_where=text("status = 'pending'"),
              postgresql_where=text("status = 'pending'")),
        Index("ix_recipients_open", "lease_until",
              sqlite_where=text("status IN ('sending', 'in_doubt')"),
              postgresql_where=text("status IN ('sending', 'in_doubt')")),
        Index("ix_recipients_message_id", "message_id",
              sqlite_where=text("message_id IS NOT NULL"),
              postgresql_where=text("message_id IS NOT NULL")),
        Index("ix_recipients_sent_at", "sent_at",
              sqlite_where=text("sent_at IS NOT NULL"),
              postgresql_where=text("sent_at IS NOT NULL")),
        Index("ix_recipients_verdict", "campaign_id", "verdict", "id",
              sqlite_where=text("verdict IN ('risky', 'undeliverable', 'unknown')"),
              postgresql_where=text("verdict IN ('risky', 'undeliverable', 'unknown')")),
        Index("ix_recipients_updated", "campaign_id", "updated_at"),
        Index("ix_recipients_domain", "campaign_id", "domain", "id"),  # a search by domain
        # A mail writes its row four times: room for that on the page of the row.
        {"sqlite_autoincrement": True,
         "postgresql_with": {"fillfactor": 60, "autovacuum_vacuum_scale_factor": 0.05}},
    )  # fmt: skip

    id: Mapped[big_pk]  # import order
    campaign_id: Mapped[int] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(320))  # as typed, domain in Punycode: what SES gets
    address: Mapped[str] = mapped_column(KeyText)  # the key: see domain.addresses.address_key
    #: What follows the last @ of the address: `rtrim` cuts off all characters but that one.
    domain: Mapped[str] = mapped_column(
        KeyText,
        Computed(
            "substr(address, length(rtrim(address, replace(address, '@', ''))) + 1)", persisted=True
        ),
    )
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16))  # keyed, see services.suppression
    variables: Mapped[str] = mapped_column(Text, default="{}")  # a JSON object of strings
    line: Mapped[int | None]  # physical line or sheet row it came from
    import_id: Mapped[int | None] = mapped_column(BigInteger)  # the job that added it
    verdict: Mapped[Verdict | None]
    verdict_reason: Mapped[str | None] = mapped_column(Text)
    risks: Mapped[int | None]  # domain.statuses.Risk, of risky and unknown addresses

    status: Mapped[RecipientStatus] = mapped_column(default=RecipientStatus.PENDING)
    facts: Mapped[int] = mapped_column(default=0)  # domain.statuses.Fact of the present attempt
    reason_code: Mapped[str | None] = mapped_column(String(60))
    reason: Mapped[str | None] = mapped_column(Text)
    reason_at: Mapped[datetime | None]  # of the fact that gave the reason, see services.ledger
    attempt_id: Mapped[str | None] = mapped_column(String(32))  # 128 bit, hex
    attempts: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]  # database time
    submitted_at: Mapped[datetime | None]  # committed before the call
    message_id: Mapped[str | None] = mapped_column(String(100))
    updated_at: Mapped[datetime]  # of the last change of state

    sent_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    bounced_at: Mapped[datetime | None]
    complained_at: Mapped[datetime | None]
    delayed_until: Mapped[datetime | None]  # SES gives up then
    opened_at: Mapped[datetime | None]  # first open by a person
    last_opened_at: Mapped[datetime | None]
    opens: Mapped[int] = mapped_column(default=0)
    machine_opened_at: Mapped[datetime | None]
    machine_opens: Mapped[int] = mapped_column(default=0)
    clicked_at: Mapped[datetime | None]
    last_clicked_at: Mapped[datetime | None]
    clicks: Mapped[int] = mapped_column(default=0)
    machine_clicked_at: Mapped[datetime | None]
    machine_clicks: Mapped[int] = mapped_column(default=0)
    unsubscribed_at: Mapped[datetime | None]
    duplicates: Mapped[int] = mapped_column(default=0)  # events of older attempts that were sent
    presumed_unsent_at: Mapped[datetime | None]  # all conditions of silence were met
    doubt_evidence: Mapped[dict[str, Any] | None]  # what was known when silence was judged


class PastAttempt(Base):
    """An attempt that was submitted and replaced by a newer one; its late events find it here."""

    __tablename__ = "past_attempts"
    __table_args__ = (Index(None, "recipient_id"),)

    attempt_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    recipient_id: Mapped[int] = mapped_column(ForeignKey("recipients.id", ondelete="CASCADE"))
    facts: Mapped[int]
    message_id: Mapped[str | None] = mapped_column(String(100), index=True)
    submitted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime]
    ended_because: Mapped[str] = mapped_column(Text)


class Suppression(Base):
    """An address that gets nothing; survives the deletion of every campaign."""

    __tablename__ = "suppressions"
    __table_args__ = (
        one_of("reason", SuppressionReason),
        Index(None, "created_at"),
        Index(None, "reason", "id"),  # counts and pages by reason
        Index(None, "domain", "reason", "id"),  # a search by domain
        Index("ix_suppressions_import_id", "import_id",
              sqlite_where=text("import_id IS NOT NULL"),
              postgresql_where=text("import_id IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[big_pk]
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    #: None once erased; or a domain or wildcard as domain.suppression_patterns writes it.
    address: Mapped[str | None] = mapped_column(KeyText, index=True)
    domain: Mapped[str | None] = mapped_column(
        KeyText,
        Computed(
            "substr(address, length(rtrim(address, replace(address, '@', ''))) + 1)", persisted=True
        ),
    )
    reason: Mapped[SuppressionReason]
    source: Mapped[str] = mapped_column(Text)  # a sentence: which event, page, file or person
    note: Mapped[str | None] = mapped_column(Text)
    campaign_id: Mapped[int | None]  # no foreign key: it outlives the campaign
    import_id: Mapped[int | None] = mapped_column(BigInteger)  # the job whose undoing takes it back
    created_at: Mapped[datetime]


class SuppressedPattern(Base):
    """How a domain or wildcard of the suppression list is found for an address (its keys: see
    domain.suppression_patterns); few rows, looked at by every claim."""

    __tablename__ = "suppressed_patterns"

    key: Mapped[str] = mapped_column(KeyText, primary_key=True)
    suppression_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("suppressions.id", ondelete="CASCADE"), index=True
    )


class AccountSuppression(Base):
    """An entry of the SES account's own suppression list, as it was read last."""

    __tablename__ = "account_suppressions"

    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    address: Mapped[str] = mapped_column(String(320))
    reason: Mapped[str] = mapped_column(String(20))  # BOUNCE, COMPLAINT
    listed_at: Mapped[datetime]
    job_id: Mapped[int] = mapped_column(BigInteger)  # the reading that saw it last


class SoftBounceStreak(Base):
    """Soft bounces in a row by address, over different campaigns; a delivery resets it."""

    __tablename__ = "soft_bounce_streaks"

    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    bounces: Mapped[list[Any]] = mapped_column(default=list)  # [campaign id, epoch seconds]
    updated_at: Mapped[datetime]


class Event(Base):
    """One SES event for one recipient, stored once, raw and compressed, before it is applied.

    The primary key is the hashed natural key (services.delivery_events), so that a message
    repeated by SNS, SES or by the second door is the same row. On SQLite the rows lie in the
    order of their arrival: in the order of the random keys they would need a third more room.
    """

    __tablename__ = "events"
    __table_args__ = (
        one_of("status", EventStatus),
        Index(None, "recipient_id", "happened_at"),
        Index(None, "received_at"),
        Index("ix_events_waiting", "status", "received_at",
              sqlite_where=text("status IN ('new', 'parked', 'dead')"),
              postgresql_where=text("status IN ('new', 'parked', 'dead')")),
        Index("ix_events_parked_message", "message_id",
              sqlite_where=text("status = 'parked'"),
              postgresql_where=text("status = 'parked'")),
        Index("ix_events_clicks", "campaign_id", "sub_kind",
              sqlite_where=text("kind = 'Click'"), postgresql_where=text("kind = 'Click'")),
        Index("ix_events_test_mail", "attempt_id",  # test mails have no recipient
              sqlite_where=text("recipient_id IS NULL AND attempt_id IS NOT NULL"),
              postgresql_where=text("recipient_id IS NULL AND attempt_id IS NOT NULL")),
    )  # fmt: skip

    key: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    kind: Mapped[str] = mapped_column(String(30))  # eventType as SES spells it
    sub_kind: Mapped[str | None] = mapped_column(String(60))  # "Permanent/General", delay type …
    status: Mapped[EventStatus]
    verdict: Mapped[str | None] = mapped_column(Text)  # a sentence for the log
    door: Mapped[str] = mapped_column(String(4))  # "http" or "sqs"
    happened_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    recipient_id: Mapped[int | None] = mapped_column(BigInteger)  # no FK: facts outlive rows
    campaign_id: Mapped[int | None]
    #: None for an applied event of the row's present attempt, see services.ledger.
    attempt_id: Mapped[str | None] = mapped_column(String(32))
    message_id: Mapped[str | None] = mapped_column(String(100))
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)  # zlib; None once purged
    tries: Mapped[int] = mapped_column(default=0)


class DeadLetter(Base):
    """A message from a door that could not be stored as an event, with the reason."""

    __tablename__ = "dead_letters"

    id: Mapped[big_pk]
    door: Mapped[str] = mapped_column(String(4))
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    body: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(default=1)


class TestMail(Base):
    """A mail sent to try a campaign; it draws a slot like all others and never counts."""

    __tablename__ = "test_mails"
    __test__ = False  # not a pytest class

    id: Mapped[big_pk]
    campaign_id: Mapped[int] = mapped_column(
        ForeignKey("campaigns.id", ondelete="CASCADE"), index=True
    )
    email: Mapped[str] = mapped_column(String(320))
    attempt_id: Mapped[str] = mapped_column(String(32), unique=True)
    status: Mapped[str] = mapped_column(String(20))  # queued, sent, failed, then SES's words
    detail: Mapped[str | None] = mapped_column(Text)
    message_id: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(320))


class Bucket(Base):
    """The shared rate limiter and what was last read of the SES account: one row, name 'send'."""

    __tablename__ = "buckets"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    next_slot: Mapped[float] = mapped_column(Float(53), default=0.0)  # epoch seconds
    rate: Mapped[float] = mapped_column(Float(53), default=1.0)  # slots a second in force
    ceiling: Mapped[float] = mapped_column(Float(53), default=1.0)
    rate_reason: Mapped[str | None] = mapped_column(Text)
    halved_at: Mapped[datetime | None]
    throttles: Mapped[int] = mapped_column(default=0)  # throttled calls in the present second
    calls: Mapped[int] = mapped_column(default=0)  # calls in the present second
    second: Mapped[float | None]  # which second the two figures are of
    sent_here: Mapped[int] = mapped_column(default=0)  # slots drawn since the account was read
    quota_blocked_until: Mapped[datetime | None]  # SES said the daily quota is used up
    max_send_rate: Mapped[float | None]
    max_24_hour_send: Mapped[float | None]  # -1 = unlimited
    sent_last_24_hours: Mapped[float | None]
    sending_enabled: Mapped[bool | None]
    production_access: Mapped[bool | None]
    enforcement_status: Mapped[str | None] = mapped_column(String(20))
    account_error: Mapped[str | None] = mapped_column(Text)
    account_read_at: Mapped[datetime | None]
    account_reading_until: Mapped[datetime | None]  # who reads now holds this lease


class RateSample(Base):
    """Mails accepted per campaign and five seconds, for the live rate and its curve."""

    __tablename__ = "rate_samples"

    campaign_id: Mapped[int] = mapped_column(
        ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True
    )
    slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    accepted: Mapped[int] = mapped_column(default=0)


class Worker(Base):
    """The heartbeat of a scheduler or poller process."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # host:pid:random
    role: Mapped[str] = mapped_column(String(20))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]  # database time
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Job(Base):
    """A piece of background work queued by the web side and done by a scheduler."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("status", JobStatus),
        one_of("kind", JobKind),
        Index(None, "campaign_id", "id"),
        Index(None, "status", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[big_pk]
    kind: Mapped[JobKind]
    campaign_id: Mapped[int | None] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    upload_id: Mapped[int | None] = mapped_column(BigInteger)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status: Mapped[JobStatus] = mapped_column(default=JobStatus.QUEUED)
    done: Mapped[int] = mapped_column(BigInteger, default=0)
    total: Mapped[int | None] = mapped_column(BigInteger)
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)  # one sentence that says what to do
    stop_requested: Mapped[bool] = mapped_column(default=False)
    worker: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(320))
    finished_at: Mapped[datetime | None]


class Upload(Base):
    """A file a person uploaded, kept in the database so that any host can work on it."""

    __tablename__ = "uploads"

    id: Mapped[big_pk]
    campaign_id: Mapped[int | None] = mapped_column(
        ForeignKey("campaigns.id", ondelete="CASCADE"), index=True
    )
    filename: Mapped[str] = mapped_column(String(255))
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]


class UploadChunk(Base):
    """A piece of an upload."""

    __tablename__ = "upload_chunks"

    upload_id: Mapped[int] = mapped_column(
        ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class RefusedRow(Base):
    """A row of an import that was not added, with its line, its text and the reason."""

    __tablename__ = "refused_rows"

    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    cells: Mapped[list[Any]] = mapped_column(default=list)


class ColumnChoice(Base):
    """What a person made of the columns under one header, to suggest it for the next such file."""

    __tablename__ = "column_choices"

    header_key: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    choice: Mapped[dict[str, Any]]  # see services.column_choices
    used_at: Mapped[datetime]


class MailDomain(Base):
    """What DNS said about a domain, with its age."""

    __tablename__ = "mail_domains"

    domain: Mapped[str] = mapped_column(String(255), primary_key=True)
    verdict: Mapped[Verdict]
    reason: Mapped[str] = mapped_column(Text)
    checked_at: Mapped[datetime]


class AddressInsight(Base):
    """What SES said about an address when it was asked and paid for it, with its age."""

    __tablename__ = "address_insights"

    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), primary_key=True)
    verdict: Mapped[Verdict]
    reason: Mapped[str] = mapped_column(Text)
    checked_at: Mapped[datetime]


class AddressCorrection(Base):
    """That a person had the misspelt address of a recipient corrected, and what it was before."""

    __tablename__ = "address_corrections"

    id: Mapped[big_pk]
    recipient_id: Mapped[int] = mapped_column(
        ForeignKey("recipients.id", ondelete="CASCADE"), index=True
    )
    was: Mapped[str] = mapped_column(String(320))
    became: Mapped[str] = mapped_column(String(320))
    is_duplicate: Mapped[bool]  # the campaign had it already: the row kept its address
    corrected_at: Mapped[datetime]
    corrected_by: Mapped[str | None] = mapped_column(String(320))


class SubmittedForm(Base):
    """A form that was carried out: pressed twice or sent again, it leads to what it made."""

    __tablename__ = "submitted_forms"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    location: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]


class Notice(Base):
    """Something that needs a person: shown on the dashboard until it is over."""

    __tablename__ = "notices"

    code: Mapped[str] = mapped_column(String(80), primary_key=True)
    severity: Mapped[str] = mapped_column(String(4))  # warn or fail
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
