"""How fast: the shared bucket of time slots, one database row that all senders draw from.

The arithmetic is in domain/pacing.py; what one process takes of notifications is limited by
domain/token_bucket.py.

The bucket's row is locked last in every transaction, so that claims and results never deadlock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from database import epoch_now
from domain import bulk_pacing, pacing
from domain.pacing import AccountLimits, Draw, Pace
from models import Bucket

#: The bucket that all sends of the installation draw from.
SEND = "send"
#: The bucket of SendBulkEmail calls; its rate is what was learned.
BULK = "bulk"
_BUCKETS = cast(Table, Bucket.__table__)


@dataclass(frozen=True)
class Slots:
    """Slots drawn from the shared bucket; `database_now` is the database's clock at the draw."""

    draw: Draw
    database_now: float


@dataclass(frozen=True)
class BucketState:
    """The bucket as it was read, with the database's clock at that moment (epoch seconds)."""

    now: float
    next_slot: float
    pace: Pace
    rate_reason: str | None
    limits: AccountLimits
    sent_here: int
    sending_enabled: bool | None
    production_access: bool | None
    enforcement_status: str | None
    account_error: str | None
    account_read_at: datetime | None
    quota_blocked_until: datetime | None

    def quota_left(self, reserve_percent: float) -> int | None:
        """Mails left of the 24-hour quota; None = unlimited or unknown."""
        blocked = self.quota_blocked_until
        if blocked is not None and self.now < blocked.timestamp() < self.now + 3600:
            return 0
        return pacing.quota_left(self.limits, self.sent_here, reserve_percent)

    def slots_in_reach(self, horizon: float = pacing.HORIZON_SECONDS) -> bool:
        """Whether a draw would be given anything now, by who draws so far ahead (seconds)."""
        return pacing.is_in_reach(self.next_slot, self.now, self.pace.rate, horizon)


def ensure_bucket(session: Session, name: str, rate: float) -> None:
    """Make the bucket if it is missing; safe when several processes do so at once."""
    if session.execute(select(_BUCKETS.c.name).where(_BUCKETS.c.name == name)).first():
        return
    try:
        with session.begin_nested():
            session.execute(insert(_BUCKETS).values(name=name, rate=rate, ceiling=rate))
    except IntegrityError:
        return  # another process was first


def read(session: Session, name: str = SEND) -> BucketState | None:
    """The bucket's row; None before the first scheduler has made it."""
    row = session.connection().execute(_read_statement(), {"b_name": name}).one_or_none()
    return None if row is None else _state(row)


@cache
def _read_statement() -> Select[Any]:
    query = select(_BUCKETS, epoch_now().label("now"))
    return query.where(_BUCKETS.c.name == bindparam("b_name"))


def _state(row: Any) -> BucketState:
    return BucketState(
        now=row.now,
        next_slot=row.next_slot,
        pace=Pace(
            rate=row.rate,
            ceiling=row.ceiling,
            halved_at=row.halved_at.timestamp() if row.halved_at else None,
            second=row.second,
            calls=row.calls,
            throttles=row.throttles,
        ),
        rate_reason=row.rate_reason,
        limits=AccountLimits(row.max_send_rate, row.max_24_hour_send, row.sent_last_24_hours),
        sent_here=row.sent_here,
        sending_enabled=row.sending_enabled,
        production_access=row.production_access,
        enforcement_status=row.enforcement_status,
        account_error=row.account_error,
        account_read_at=row.account_read_at,
        quota_blocked_until=row.quota_blocked_until,
    )


def draw(
    session: Session,
    wanted: int,
    *,
    name: str = SEND,
    reserve_percent: float = 0.0,
    quota: int | None = None,
) -> Slots | None:
    """Take exactly `wanted` slots, or None while none is in reach or the quota has no room.

    One atomic statement on the database's clock: `domain.pacing.draw` in SQL. `quota` is how
    many mails of the 24-hour quota they use (None = as many as slots).
    """
    parameters = {
        "b_name": name,
        "b_wanted": wanted,
        "b_used": wanted if quota is None else quota,
        "b_share": 1 - reserve_percent / 100,
    }
    row = session.connection().execute(_draw_statement(), parameters).one_or_none()
    if row is None:
        return None
    gap = pacing.interval(row.rate)
    drawn = Draw(row.next_slot - wanted * gap, gap, wanted, row.next_slot)
    return Slots(drawn, row.now)


@cache
def _draw_statement() -> ReturningUpdate[Any]:
    """The statement of `draw`, made once: making it costs more than running it."""
    now = epoch_now()
    c = _BUCKETS.c
    wanted, used = bindparam("b_wanted", type_=Float), bindparam("b_used", type_=Integer)
    spacing = 1.0 / (c.rate * pacing.HEADROOM)
    moved = c.next_slot > now + 1.0 + 2.0 * case(
        (spacing > pacing.DRAW_SECONDS, spacing), else_=pacing.DRAW_SECONDS
    )
    soonest = now + pacing.LEAD_SECONDS
    first = case((or_(moved, c.next_slot < soonest), soonest), else_=c.next_slot)
    return (
        update(_BUCKETS)
        .where(
            c.name == bindparam("b_name"),
            or_(moved, c.next_slot < now + pacing.HORIZON_SECONDS),
            _room_in_quota(used, bindparam("b_share", type_=Float)),
        )
        .values(next_slot=first + wanted * spacing, sent_here=c.sent_here + used)
        .returning(c.next_slot, c.rate, epoch_now().label("now"))
    )


def _room_in_quota(wanted: ColumnElement[int], share: ColumnElement[float]) -> ColumnElement[bool]:
    c = _BUCKETS.c
    used = func.coalesce(c.sent_last_24_hours, 0.0) + c.sent_here
    allowed = c.max_24_hour_send * share
    return or_(c.max_24_hour_send.is_(None), c.max_24_hour_send < 0, used + wanted <= allowed)


def give_back(session: Session, mails: int) -> None:
    """These mails did not leave after all: they used nothing of the quota. Late, as all here."""
    rest = _BUCKETS.c.sent_here - mails
    session.execute(
        update(_BUCKETS)
        .where(_BUCKETS.c.name == SEND)
        .values(sent_here=case((rest > 0, rest), else_=0))
    )


def report_calls(session: Session, calls: int, throttles: int) -> Pace | None:
    """Tell the bucket how the last calls went; it halves and climbs. Late in a transaction."""
    query = select(_BUCKETS, epoch_now().label("now")).where(_BUCKETS.c.name == SEND)
    row = session.execute(query.with_for_update()).one_or_none()
    if row is None:
        return None
    state = _state(row)
    pace = pacing.after_calls(state.pace, calls, throttles, state.now)
    if pace.halved_at != state.pace.halved_at:
        at = datetime.fromtimestamp(state.now, UTC)
        reason = (
            f"Slowed down to {pace.rate:.3g} a second at {at:%H:%M:%S} UTC because SES answered "
            "that it was too fast; climbing back."
        )
        _write_pace(session, pace, reason)
    elif pace.rate >= pace.ceiling and state.pace.rate < state.pace.ceiling:
        _write_pace(session, pace, "Back at the full rate after SES had asked to slow down.")
    else:
        _write_pace(session, pace, state.rate_reason)
    return pace


def report_bulk_calls(session: Session, calls: int, throttles: int) -> Pace | None:
    """Tell the bucket of bulk calls how the last ones went. Late, just before the shared one."""
    query = select(_BUCKETS, epoch_now().label("now")).where(_BUCKETS.c.name == BULK)
    row = session.execute(query.with_for_update()).one_or_none()
    if row is None:
        return None
    state = _state(row)
    pace = bulk_pacing.learned(state.pace, calls, throttles, state.now)
    _write_pace(session, pace, None, BULK)
    return pace


def _write_pace(session: Session, pace: Pace, reason: str | None, name: str = SEND) -> None:
    session.execute(
        update(_BUCKETS)
        .where(_BUCKETS.c.name == name)
        .values(
            rate=pace.rate,
            ceiling=pace.ceiling,
            halved_at=pace.halved_at,
            second=pace.second,
            calls=pace.calls,
            throttles=pace.throttles,
            rate_reason=reason,
        )
    )


def lease_account_reading(session: Session, every_seconds: float) -> bool:
    """Whether this process is the one to ask SES for the account now (at most one a minute)."""
    now = epoch_now()
    c = _BUCKETS.c
    due = and_(
        or_(c.account_read_at.is_(None), c.account_read_at <= now - every_seconds,
            c.account_read_at > now + every_seconds),
        or_(c.account_reading_until.is_(None), c.account_reading_until < now,
            c.account_reading_until > now + every_seconds),
    )  # fmt: skip
    statement = (
        update(_BUCKETS)
        .where(c.name == SEND, due)
        .values(account_reading_until=now + min(30.0, every_seconds))
        .returning(literal(1))
    )
    return session.execute(statement).first() is not None


@dataclass(frozen=True)
class AccountReading:
    """What GetAccount said, or the sentence why it could not be read."""

    limits: AccountLimits
    sending_enabled: bool | None = None
    production_access: bool | None = None
    enforcement_status: str | None = None
    error: str | None = None


def put_ceiling_in_force(session: Session, wanted_rate: float, reserve_percent: float) -> None:
    """Derive the ceiling from the settings and what is known of the account."""
    query = select(_BUCKETS, epoch_now().label("now")).where(_BUCKETS.c.name == SEND)
    state = _state(session.execute(query.with_for_update()).one())
    top = pacing.ceiling(state.limits, wanted_rate, reserve_percent)
    pace = pacing.with_ceiling(state.pace, top)
    slowed = pace.rate < pace.ceiling
    reason = ceiling_reason(state.limits, wanted_rate, reserve_percent)
    _write_pace(session, pace, state.rate_reason if slowed else reason)


def store_account(
    session: Session, reading: AccountReading, *, wanted_rate: float, reserve_percent: float
) -> None:
    """Keep what GetAccount said and put the ceiling in force.

    A failed reading keeps the last figures: sending goes on with what is known.
    """
    limits = reading.limits
    values: dict[str, Any] = {
        "account_read_at": epoch_now(),
        "account_reading_until": None,
        "account_error": reading.error,
    }
    if not reading.error:
        values |= {
            "max_send_rate": limits.max_send_rate,
            "max_24_hour_send": limits.max_24_hour_send,
            "sent_last_24_hours": limits.sent_last_24_hours,
            "sending_enabled": reading.sending_enabled,
            "production_access": reading.production_access,
            "enforcement_status": reading.enforcement_status,
            "sent_here": 0,
        }
    session.execute(update(_BUCKETS).where(_BUCKETS.c.name == SEND).values(values))
    put_ceiling_in_force(session, wanted_rate, reserve_percent)


def block_quota(session: Session, seconds: float) -> None:
    """SES said that the 24-hour quota is used up, whatever its figures say: wait a while.

    The account is read afresh as soon as possible.
    """
    session.execute(
        update(_BUCKETS)
        .where(_BUCKETS.c.name == SEND)
        .values(quota_blocked_until=epoch_now() + seconds, account_read_at=None)
    )


def ceiling_reason(limits: AccountLimits, wanted: float, reserve_percent: float) -> str:
    """Why the ceiling is what it is, in a sentence for the campaign page."""
    allowed = limits.max_send_rate
    if allowed is None:
        return f"MAX_EMAILS_PER_SECOND is {wanted:g}; what the SES account allows is not known."
    usable = allowed * (1 - reserve_percent / 100)
    left = f", less {reserve_percent:g}% left to other senders" if reserve_percent else ""
    if usable < wanted:
        return f"The SES account allows {allowed:,g} mails a second{left}."
    hint = " Raise MAX_EMAILS_PER_SECOND to send faster." if wanted < usable / 2 else ""
    return (
        f"MAX_EMAILS_PER_SECOND is {wanted:g}; the SES account would allow {allowed:,g} "
        f"a second{left}.{hint}"
    )
