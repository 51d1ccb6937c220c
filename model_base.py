"""What every table is made of: the declarative base, the column types, the naming of constraints.

Times are stored as epoch seconds (double) and read as aware UTC datetimes, so that leases and
rates are compared by the database's own clock in one portable expression.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Dialect,
    Float,
    Integer,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, mapped_column, registry

from domain.statuses import (
    AudienceKind,
    CampaignStatus,
    EventStatus,
    JobKind,
    JobStatus,
    MailOutcome,
    MemberStatus,
    RecipientStatus,
    SignupMail,
    SuppressionReason,
    Verdict,
)


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as epoch seconds; refuses naive values."""

    impl = Float(53)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> float | None:
        """Seconds since the epoch; a number passes as it is, for SQL arithmetic."""
        if value is None or isinstance(value, int | float):
            return value
        if value.tzinfo is None:
            raise ValueError("a naive datetime reached the database: give it a time zone")
        return float(value.timestamp())

    def process_result_value(self, value: float | None, dialect: Dialect) -> datetime | None:
        """An aware datetime in UTC."""
        return None if value is None else datetime.fromtimestamp(value, UTC)


class OneOf(TypeDecorator[StrEnum]):
    """A StrEnum stored by value; the CHECK lives in the table, so values stay honest."""

    impl = String(20)
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """The plain value; a string that is no member raises ValueError."""
        return None if value is None else self.enum(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """The member."""
        return None if value is None else self.enum(value)


#: An id that is 64 bits on PostgreSQL and the rowid on SQLite.
BigId = BigInteger().with_variant(Integer(), "sqlite")
big_pk = Annotated[int, mapped_column(BigId, primary_key=True, autoincrement=True)]
#: PostgreSQL orders keys by bytes, so that a prefix search is a range; SQLite does so already.
KeyText = String(320).with_variant(String(320, collation="C"), "postgresql")

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Every table of the product."""

    registry = registry(
        metadata=MetaData(naming_convention=_NAMES),
        type_annotation_map={
            datetime: UtcTime(),
            AudienceKind: OneOf(AudienceKind),
            CampaignStatus: OneOf(CampaignStatus),
            EventStatus: OneOf(EventStatus),
            JobKind: OneOf(JobKind),
            JobStatus: OneOf(JobStatus),
            MailOutcome: OneOf(MailOutcome),
            MemberStatus: OneOf(MemberStatus),
            RecipientStatus: OneOf(RecipientStatus),
            SignupMail: OneOf(SignupMail),
            SuppressionReason: OneOf(SuppressionReason),
            Verdict: OneOf(Verdict),
            dict[str, Any]: JSON(),
            list[Any]: JSON(),
        },
    )


def one_of(column: str, enum: type[StrEnum]) -> CheckConstraint:
    """A CHECK that a column holds a value of `enum`."""
    values = ", ".join(f"'{member.value}'" for member in enum)
    return CheckConstraint(f"{column} IN ({values})", name=column)
