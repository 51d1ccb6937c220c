"""A large installation for a benchmark of pages, loaded past the product by the quickest way.

One campaign of many recipients in every state, their events, and what stands around it: many
finished campaigns, a suppression list, the live curve of a running one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Engine, Table, insert, select

from benchmarks.installation import Installation
from database import writing
from domain.addresses import address_hash, key_hash
from domain.event_raw import pack
from domain.statuses import CampaignStatus, Fact, RecipientStatus, SuppressionReason
from models import Campaign, CampaignCounters, Event, RateSample, Recipient, Suppression
from services.campaigns import RATE_SLOT_SECONDS
from services.event_health import count_full_minutes, keep_full_minutes
from services.installation import address_key_secret
from services.recount import recount

#: Rows in a thousand by state; the rest is delivered.
_STATES = (
    (RecipientStatus.PENDING, 300, 0),
    (RecipientStatus.SENT, 40, Fact.CLAIMED | Fact.ACCEPTED),
    (RecipientStatus.BOUNCED, 20, Fact.CLAIMED | Fact.ACCEPTED | Fact.BOUNCED),
    (RecipientStatus.SKIPPED, 5, Fact.SKIPPED),
    (RecipientStatus.DELAYED, 3, Fact.CLAIMED | Fact.ACCEPTED | Fact.DELAYED),
    (RecipientStatus.FAILED, 2, Fact.CLAIMED | Fact.REFUSED),
    (RecipientStatus.COMPLAINED, 1, Fact.CLAIMED | Fact.ACCEPTED | Fact.COMPLAINED),
)
_DELIVERED = Fact.CLAIMED | Fact.ACCEPTED | Fact.DELIVERED
_KINDS = ("Send", "Delivery", "Open")
_STRIDE = 618_033  # coprime to the sizes in use: neighbours in one order are far apart in the other
FINISHED = 500
_RECIPIENTS = cast(Table, Recipient.__table__)
_EVENTS = cast(Table, Event.__table__)
_RECIPIENT_COLUMNS = (
    "id", "campaign_id", "email", "address", "address_hash", "variables", "status", "facts",
    "attempts", "attempt_id", "message_id", "verdict", "updated_at", "submitted_at", "sent_at",
    "delivered_at", "opened_at", "opens", "machine_opens", "clicks", "machine_clicks",
    "duplicates",
)  # fmt: skip
_EVENT_COLUMNS = (
    "key", "kind", "status", "verdict", "door", "happened_at", "received_at", "recipient_id",
    "campaign_id", "attempt_id", "message_id", "raw", "tries",
)  # fmt: skip


@dataclass(frozen=True)
class Load:
    """What was loaded: the large campaign, its size, and addresses to search for."""

    campaign: int
    recipients: int
    events: int
    address: str  # of the opened recipient, who has events
    recipient: int
    prefix: str
    domains: tuple[str, ...]  # of many, of a few, of one


def load(place: Installation, recipients: int, events: int) -> Load:
    """Fill an empty installation."""
    now = datetime.now(UTC)
    with place.sessions() as session, writing(session):
        secret = address_key_secret(session)
        campaign = _campaign(now, "Large campaign", CampaignStatus.SENDING)
        session.add(campaign)
        session.flush()
        large = campaign.id
    _bulk(
        place.engine, _RECIPIENTS, _RECIPIENT_COLUMNS, _recipients(large, recipients, secret, now)
    )
    _bulk(place.engine, _EVENTS, _EVENT_COLUMNS, _events(large, recipients, events, now))
    with place.sessions() as session, writing(session):
        figures = recount(session, large)
        session.add(CampaignCounters(campaign_id=large, **figures))
        newest = int(now.timestamp()) // RATE_SLOT_SECONDS
        session.execute(
            insert(RateSample),
            [{"campaign_id": large, "slot": newest - n, "accepted": 500} for n in range(700)],
        )
        for number in range(FINISHED):
            session.add(_campaign(now, f"Newsletter {number}", CampaignStatus.SENT))
        session.flush()
        others = session.scalars(select(Campaign.id).where(Campaign.id != large)).all()
        session.execute(
            insert(CampaignCounters),
            [
                {"campaign_id": n, "total": 900, "delivered": 900, "reached_accepted": 900,
                 "reached_delivered": 890}
                for n in others
            ],
        )  # fmt: skip
        session.execute(insert(Suppression), list(_suppressions(secret, recipients // 10, now)))
        keep_full_minutes(session, count_full_minutes(session, now))  # as the scheduler does
    with place.engine.connect() as connection:
        # As PostgreSQL does by itself after a while; its throw-away server is told not to.
        sqlite = place.engine.dialect.name == "sqlite"
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(
            "ANALYZE" if sqlite else "VACUUM ANALYZE"
        )
    number = recipients // 2 + 11
    return Load(
        large, recipients, events, _address(number), number, "p7",
        ("example.com", "domain17.example", "domain4999.example"),
    )  # fmt: skip


def _campaign(now: datetime, name: str, status: CampaignStatus) -> Campaign:
    return Campaign(
        name=name, subject="News for {{ name }}", html="<p>Hello {{ name }}</p>", text="Hello",
        from_email="news@example.com", from_name="Example News", status=status, variables=["name"],
        created_at=now, updated_at=now, launched_at=now, configuration_set="bes",
        tracking_in_force="full", tracking_reason="Everything is tracked.",
        first_sent_at=now, last_sent_at=now,
    )  # fmt: skip


def _address(number: int) -> str:
    """Addresses in no order; four in ten at one domain, the others at five thousand."""
    name = f"p{number * 2_654_435_761 % 2**32:08x}"
    domain = "example.com" if number % 10 < 4 else f"domain{number % 5003 % 5000}.example"
    return f"{name}@{domain}"


def _state(number: int) -> tuple[RecipientStatus, int]:
    place = number * 7919 % 1000
    for status, share, facts in _STATES:
        if place < share:
            return status, int(facts)
        place -= share
    return RecipientStatus.DELIVERED, int(_DELIVERED)


def _recipients(campaign: int, size: int, secret: bytes, now: datetime) -> Iterator[Sequence[Any]]:
    at = now.timestamp()
    for number in range(1, size + 1):
        status, facts = _state(number)
        address = _address(number)
        sent = at - 7200 + number * 7000 / size if facts & Fact.ACCEPTED else None
        delivered = sent + 1 if sent and facts & Fact.DELIVERED else None
        verdict = ("risky" if number % 50 == 0 else "deliverable") if number % 3 else None
        yield (
            number, campaign, address, address, key_hash(secret, address),
            '{"name": "Ada Example"}', status.value, facts, 1 if sent else 0,
            f"{number:032x}" if sent else None, f"m-{number:058x}" if sent else None, verdict,
            sent or at, sent, sent, delivered, delivered, 1 if delivered else 0, 0, 0, 0, 0,
        )  # fmt: skip


def _events(campaign: int, recipients: int, size: int, now: datetime) -> Iterator[Sequence[Any]]:
    """In the order of their keys, so in no order of time or recipients, as hashes are."""
    raw = pack('{"eventType": "Delivery", "mail": {"messageId": "' + "m" * 60 + '"}}')
    begin = now.timestamp() - 10_000
    for place in range(size):
        number = place * _STRIDE % size
        recipient = number % recipients + 1
        moment = begin + number * 10_000 / size
        yield (
            (place << 96 | number).to_bytes(16, "big"), _KINDS[number // recipients % 3],
            "applied", None, "sqs", moment, moment, recipient, campaign, f"{recipient:032x}",
            None, raw, 1,
        )  # fmt: skip


def _suppressions(secret: bytes, size: int, now: datetime) -> Iterator[dict[str, Any]]:
    """Every fifth is somebody of the large campaign."""
    for number in range(size):
        address = _address(number * 7) if number % 5 == 0 else f"gone{number}@example.org"
        yield {
            "address_hash": address_hash(secret, address), "address": address,
            "reason": SuppressionReason.BOUNCED, "source": "a benchmark", "created_at": now,
        }  # fmt: skip


def _bulk(
    engine: Engine, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Load rows without the table's indexes, then make these."""
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    names = ", ".join(columns)
    with engine.connect() as connection:
        for index in indexes:
            index.drop(connection)
        connection.commit()
        raw: Any = connection.connection.driver_connection
        if engine.dialect.name == "sqlite":
            raw.execute("PRAGMA cache_size=-600000")
            raw.execute("BEGIN IMMEDIATE")
            marks = ", ".join("?" * len(columns))
            raw.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)  # noqa: S608
            raw.execute("COMMIT")
        else:
            with (
                raw.cursor() as cursor,
                cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy,
            ):
                for row in rows:
                    copy.write_row(row)
            raw.commit()
        for index in indexes:
            index.create(connection)
        connection.commit()
        if engine.dialect.name == "sqlite":
            raw.execute("PRAGMA cache_size=-16000")
