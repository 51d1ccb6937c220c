"""The tables of people kept between campaigns: contacts, lists, tags, audiences."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from domain.statuses import AudienceKind, MailOutcome, MemberStatus, SignupMail, Verdict
from model_base import Base, BigId, KeyText, big_pk, one_of


class Contact(Base):
    """A person by address, whatever lists they are on; what campaigns send is a copy of this."""

    __tablename__ = "contacts"
    __table_args__ = (
        Index(None, "address"),
        Index(None, "last_mailed_at"),
        Index("ix_contacts_verdict", "verdict", "id",
              sqlite_where=text("verdict IN ('risky', 'undeliverable', 'unknown')"),
              postgresql_where=text("verdict IN ('risky', 'undeliverable', 'unknown')")),
        {"sqlite_autoincrement": True},
    )  # fmt: skip

    id: Mapped[big_pk]
    email: Mapped[str] = mapped_column(String(320))  # as typed, domain in Punycode
    address: Mapped[str] = mapped_column(KeyText)  # the key: see domain.addresses.address_key
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16), unique=True)
    variables: Mapped[str] = mapped_column(Text, default="{}")  # a JSON object of strings
    import_id: Mapped[int | None] = mapped_column(BigInteger)  # the job that made it
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    # What the last check of a list said; campaigns copy it with the person.
    verdict: Mapped[Verdict | None]
    verdict_reason: Mapped[str | None] = mapped_column(Text)
    risks: Mapped[int | None]  # domain.statuses.Risk, of risky and unknown addresses
    verified_at: Mapped[datetime | None]
    corrected_from: Mapped[str | None] = mapped_column(String(320))  # a misspelt address
    # Kept by services.contact_history, some seconds behind the ledger.
    last_mailed_at: Mapped[datetime | None]
    last_opened_at: Mapped[datetime | None]  # by a person, not by a machine
    last_clicked_at: Mapped[datetime | None]


class ContactList(Base):
    """A list that a person keeps."""

    __tablename__ = "lists"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    variables: Mapped[list[Any]] = mapped_column(default=list)  # names, in column order
    members: Mapped[int] = mapped_column(default=0)  # subscribed ones, changed with their rows
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(320))
    updated_at: Mapped[datetime]


class ListMember(Base):
    """A contact on a list."""

    __tablename__ = "list_members"
    __table_args__ = (
        one_of("status", MemberStatus),
        Index(None, "contact_id"),
        {"sqlite_with_rowid": False},
    )

    list_id: Mapped[int] = mapped_column(
        ForeignKey("lists.id", ondelete="CASCADE"), primary_key=True
    )
    contact_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True
    )
    status: Mapped[MemberStatus] = mapped_column(default=MemberStatus.SUBSCRIBED)
    import_id: Mapped[int | None] = mapped_column(BigInteger)  # the job that added it
    added_at: Mapped[datetime]
    changed_at: Mapped[datetime]


class ListImport(Base):
    """Which list an import fills or a verification checks; without it a job has a campaign."""

    __tablename__ = "list_imports"

    job_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id", ondelete="CASCADE"), index=True)


class SignupForm(Base):
    """The public form of a list."""

    __tablename__ = "signup_forms"

    list_id: Mapped[int] = mapped_column(
        ForeignKey("lists.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    public_id: Mapped[str] = mapped_column(String(32), unique=True)  # random, in its address
    is_open: Mapped[bool] = mapped_column(default=False)
    title: Mapped[str] = mapped_column(String(200))
    sentence: Mapped[str] = mapped_column(Text, default="")
    consent: Mapped[str] = mapped_column(Text)  # what a person agrees to
    fields: Mapped[list[Any]] = mapped_column(default=list)  # labels, in order
    subject: Mapped[str] = mapped_column(Text)  # of the confirmation mail
    text: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime]


class Signup(Base):
    """That somebody asked to be put on a list, and, once confirmed, the proof of their consent.

    Client addresses are kept as keyed hashes only: they prove a match and say nothing else.
    """

    __tablename__ = "signups"
    __table_args__ = (
        one_of("mail", SignupMail),
        Index(None, "address_hash", "asked_at"),
        Index(None, "client_hash", "asked_at"),
        Index(None, "list_id", "asked_at"),
        Index("ix_signups_due", "due_at",
              sqlite_where=text("mail IN ('queued', 'sending')"),
              postgresql_where=text("mail IN ('queued', 'sending')")),
        Index("ix_signups_unconfirmed", "asked_at",
              sqlite_where=text("confirmed_at IS NULL"),
              postgresql_where=text("confirmed_at IS NULL")),
    )  # fmt: skip

    id: Mapped[big_pk]
    list_id: Mapped[int] = mapped_column(ForeignKey("lists.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(320))  # as typed, domain in Punycode
    address_hash: Mapped[bytes] = mapped_column(LargeBinary(16))
    variables: Mapped[str] = mapped_column(Text, default="{}")  # kept for the day of confirmation
    asked_at: Mapped[datetime]
    asked_on: Mapped[str] = mapped_column(Text)  # the page's address
    consent: Mapped[str] = mapped_column(Text)  # the sentence that stood there
    client_hash: Mapped[bytes] = mapped_column(LargeBinary(16))
    mail: Mapped[SignupMail] = mapped_column(default=SignupMail.QUEUED)
    detail: Mapped[str | None] = mapped_column(Text)  # a sentence about the mail
    due_at: Mapped[datetime]  # when the mail goes out, or is tried again
    attempt_id: Mapped[str] = mapped_column(String(32), unique=True)
    message_id: Mapped[str | None] = mapped_column(String(100))
    confirmed_at: Mapped[datetime | None]
    confirmed_hash: Mapped[bytes | None] = mapped_column(LargeBinary(16))  # of the client then
    lifted: Mapped[str | None] = mapped_column(Text)  # the unsubscribe that the consent ended


class Tag(Base):
    """A word that a person puts on contacts."""

    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)


class ContactTag(Base):
    """A tag on a contact."""

    __tablename__ = "contact_tags"
    __table_args__ = (Index(None, "contact_id"), {"sqlite_with_rowid": False})

    tag_id: Mapped[int] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"), primary_key=True)
    contact_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("contacts.id", ondelete="CASCADE"), primary_key=True
    )


class Segment(Base):
    """Conditions that are saved under a name; who matches is asked when it is used."""

    __tablename__ = "segments"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    conditions: Mapped[dict[str, Any]]  # domain.segments.Conditions
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Audience(Base):
    """That a campaign takes recipients from lists and the like, and how far their copy is."""

    __tablename__ = "audiences"

    campaign_id: Mapped[int] = mapped_column(
        ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    percent: Mapped[float] = mapped_column(default=100.0)  # of all, chosen by chance
    leave_out: Mapped[int | None]  # a campaign whose recipients do not get this one
    frozen_at: Mapped[datetime | None]  # who belongs to it is fixed
    total: Mapped[int] = mapped_column(default=0)  # people fixed then
    copied: Mapped[int] = mapped_column(default=0)  # of them, those that had their ledger row made
    copied_at: Mapped[datetime | None]  # all of them


class AudienceSource(Base):
    """One thing that an audience is made of."""

    __tablename__ = "audience_sources"
    __table_args__ = (
        one_of("kind", AudienceKind),
        one_of("outcome", MailOutcome),
        Index(None, "campaign_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int] = mapped_column(
        ForeignKey("audiences.campaign_id", ondelete="CASCADE")
    )
    kind: Mapped[AudienceKind]
    of_id: Mapped[int]  # of the list, segment or campaign; no foreign key: it may be deleted
    outcome: Mapped[MailOutcome | None]


class AudiencePart(Base):
    """Some of the people of an audience as it was fixed, until all have their ledger rows."""

    __tablename__ = "audience_parts"

    campaign_id: Mapped[int] = mapped_column(
        ForeignKey("audiences.campaign_id", ondelete="CASCADE"), primary_key=True
    )
    start: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # people before it
    #: 8-byte integers, little-endian: a contact's id, or minus another campaign's recipient's.
    persons: Mapped[bytes] = mapped_column(LargeBinary)
