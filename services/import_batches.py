"""Writes one batch of an import: recipients, refused rows, suppressions, counters and progress,
all in the transaction of the caller, so that a batch is either counted and there or neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import chain, groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select
from sqlalchemy.orm import Session

from database import bytes_array, is_sqlite, text_array
from domain.addresses import AddressProblem, check_syntax, key_hash
from domain.recipient_files import RecipientRow
from domain.statuses import Fact, RecipientStatus, SuppressionReason
from models import RefusedRow, Suppression
from services import counters
from services.suppression import insert_new, suppressed_people

_COLUMNS = (
    "email, address, address_hash, variables, line, status, facts, reason_code, reason, "
    "campaign_id, import_id, updated_at, reason_at, "
    "attempts, opens, machine_opens, clicks, machine_clicks, duplicates"
)
#: The most rows that one statement writes on SQLite: its work then runs in one go, without a return
#: to Python after each row.
_BLOCK = 100
_CONFLICT = " ON CONFLICT (campaign_id, address) DO NOTHING"


@cache
def _sqlite_statement(rows: int) -> str:
    values = ", ".join(["(?, ?, ?, ?, ?)"] * rows)
    return (
        f"INSERT INTO recipients ({_COLUMNS})"  # noqa: S608 - constants only
        " SELECT column1, column2, column3, column4, column5, ?, ?, ?, ?, ?, ?, ?, ?,"
        f" 0, 0, 0, 0, 0, 0 FROM (VALUES {values}) WHERE true{_CONFLICT}"
    )


_POSTGRES = (
    f"INSERT INTO recipients ({_COLUMNS})"  # noqa: S608 - constants only
    " SELECT email, address, hash, variables, line, %s, %s::int, %s, %s, %s::int, %s::bigint,"
    " %s::float8, %s::float8, 0, 0, 0, 0, 0, 0"
    " FROM unnest(%s::text[], %s::text[], %s::bytea[], %s::text[], %s::int[]) WITH ORDINALITY"
    f" AS t(email, address, hash, variables, line, place) ORDER BY place{_CONFLICT}"
)
_LONGEST_CELL = 10_000
_quoted = json.encoder.encode_basestring  # the C function that the encoder itself uses

#: Why a suppressed address is skipped, as the claim says it too.
SUPPRESSED_BECAUSE: dict[SuppressionReason | None, str] = {
    None: "On the suppression list: a domain or wildcard covers this address.",
    SuppressionReason.UNSUBSCRIBED: "This person has unsubscribed.",
    SuppressionReason.COMPLAINED: "On the suppression list: complained about an earlier mail.",
    SuppressionReason.BOUNCED: "On the suppression list: an earlier mail bounced for good.",
    SuppressionReason.SOFT_BOUNCES: "On the suppression list: earlier mails bounced too often.",
    SuppressionReason.ACCOUNT_LIST: "On the suppression list: SES has it on its own list.",
}
_ON_THE_LIST = "On the suppression list."


class Skip(NamedTuple):
    """Why a row is stored as skipped."""

    code: str
    reason: str


class Candidate(NamedTuple):
    """A good row, ready for the table."""

    email: str
    address: str
    address_hash: bytes
    variables: str
    line: int | None
    skip: Skip | None


@dataclass(slots=True)
class Batch:
    """Rows prepared outside of any transaction."""

    rows: int = 0
    candidates: list[Candidate] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    said_no: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Counts:
    """What became of the rows: `rows` is the sum of the others."""

    rows: int = 0
    added: int = 0
    duplicates: int = 0
    suppressed: int = 0
    refused_total: int = 0

    def plus(self, other: Counts) -> Counts:
        """The sum."""
        return Counts(
            self.rows + other.rows,
            self.added + other.added,
            self.duplicates + other.duplicates,
            self.suppressed + other.suppressed,
            self.refused_total + other.refused_total,
        )


@dataclass(frozen=True, slots=True)
class Target:
    """Where the rows of one import go."""

    campaign_id: int | None  # None: into a list
    job_id: int | None  # None: no import, but a copy of people who are kept
    filename: str
    secret: bytes


def gathered(pieces: Iterator[Batch], rows: int) -> Batch:
    """The next pieces as one batch of about so many rows; without rows at the end."""
    batch = Batch()
    for piece in pieces:
        batch.rows += piece.rows
        batch.candidates += piece.candidates
        batch.refused += piece.refused
        batch.said_no += piece.said_no
        if batch.rows >= rows:
            break
    return batch


def prepare(rows: Sequence[RecipientRow], target: Target) -> Batch:
    """Judge rows and make them ready for the table; no database."""
    batch = Batch(rows=len(rows))
    for row in rows:
        parsed = None if row.fault else check_syntax(row.value)
        if parsed is None or isinstance(parsed, AddressProblem):
            batch.refused.append(refused_row(row, target, str(parsed or row.fault)))
            continue
        hashed = key_hash(target.secret, parsed.address)
        skip = None
        if row.said_no is not None:
            skip = Skip("said_no", row.said_no.sentence)
            if row.said_no.reason is not None:
                batch.said_no.append(
                    {
                        "address_hash": hashed,
                        "address": parsed.address,
                        "reason": SuppressionReason.IMPORTED,
                        "source": f"{target.filename}, line {row.line}: {row.said_no.sentence}",
                        "note": f"import {target.job_id}",
                        "campaign_id": target.campaign_id,
                        "import_id": target.job_id,
                    }
                )
        batch.candidates.append(
            Candidate(parsed.email, parsed.address, hashed, _as_json(row.variables), row.line, skip)
        )
    return batch


def _as_json(variables: dict[str, str]) -> str:
    """A JSON object of strings, as json.dumps would write it at five times the cost."""
    return "{" + ",".join([f'"{name}":{_quoted(text)}' for name, text in variables.items()]) + "}"


def refused_row(row: RecipientRow, target: Target, reason: str) -> dict[str, Any]:
    """A refused row, ready for its table."""
    return {
        "job_id": target.job_id,
        "line": row.line,
        "value": row.value.strip()[:500],
        "reason": reason,
        "cells": [cell[:_LONGEST_CELL] for cell in row.cells],
    }


def write(session: Session, batch: Batch, target: Target, now: datetime) -> Counts:
    """Write a batch and the campaign's counters; call it last in the transaction."""
    counts = Counts(rows=batch.rows, refused_total=len(batch.refused))
    candidates = with_suppressions(session, batch.candidates)
    for skip, run in groupby(candidates, key=lambda candidate: candidate.skip):
        group = list(run)
        inserted = _insert(session, group, skip, target, now)
        counts.duplicates += len(group) - inserted
        if skip is None:
            counts.added += inserted
        else:
            counts.suppressed += inserted
    write_said_no(session, batch, now)
    if batch.refused:
        session.execute(insert(RefusedRow), batch.refused)
    stored = counts.added + counts.suppressed
    changes = {
        "total": stored,
        RecipientStatus.PENDING.value: counts.added,
        RecipientStatus.SKIPPED.value: counts.suppressed,
    }
    if target.campaign_id is not None:
        counters.add(session, {target.campaign_id: changes})
    return counts


def write_said_no(session: Session, batch: Batch, now: datetime) -> None:
    """Suppress whom the file itself calls unsubscribed, bounced or the like."""
    if batch.said_no:
        in_order = sorted(batch.said_no, key=lambda one: one["address_hash"])  # no deadlocks
        session.execute(insert_new(session), [{**one, "created_at": now} for one in in_order])


_ANY_SUPPRESSED = select(Suppression.id).limit(1)


def with_suppressions(session: Session, candidates: list[Candidate]) -> Iterator[Candidate]:
    """The candidates in order, those on the suppression list with that as the reason."""
    if not candidates or session.scalar(_ANY_SUPPRESSED) is None:
        return iter(candidates)
    known = suppressed_people(session, {one.address_hash: one.address for one in candidates})
    return (
        candidate._replace(skip=skip_as_suppressed(known[candidate.address_hash]))
        if candidate.address_hash in known
        else candidate
        for candidate in candidates
    )


def skip_as_suppressed(reason: SuppressionReason | None) -> Skip:
    """Why a row is not sent to whose address is on the suppression list."""
    unsubscribed = reason is SuppressionReason.UNSUBSCRIBED
    code = "unsubscribed" if unsubscribed else "suppressed"
    return Skip(code, SUPPRESSED_BECAUSE.get(reason, _ON_THE_LIST))


def _insert(
    session: Session, group: list[Candidate], skip: Skip | None, target: Target, now: datetime
) -> int:
    """How many of the group were new; addresses the campaign has already stay as they are."""
    moment = now.timestamp()
    state = RecipientStatus.SKIPPED if skip else RecipientStatus.PENDING
    same = (
        state.value,
        int(Fact.SKIPPED) if skip else 0,
        skip.code if skip else None,
        skip.reason if skip else None,
        target.campaign_id,
        target.job_id,
        moment,
        moment if skip else None,
    )
    if is_sqlite(session):
        return _insert_into_sqlite(session.connection(), group, same)
    emails, addresses, hashes, variables, lines, _ = zip(*group, strict=True)
    arrays = (
        text_array(emails),
        text_array(addresses),
        bytes_array(hashes),
        text_array(variables),
        list(lines),
    )
    return session.connection().exec_driver_sql(_POSTGRES, (*same, *arrays)).rowcount


def _insert_into_sqlite(
    connection: Connection, group: list[Candidate], same: tuple[Any, ...]
) -> int:
    inserted = 0
    for start in range(0, len(group), _BLOCK):
        block = group[start : start + _BLOCK]
        values = chain.from_iterable([one[:5] for one in block])
        statement = _sqlite_statement(len(block))
        inserted += connection.exec_driver_sql(statement, (*same, *values)).rowcount
    return inserted
