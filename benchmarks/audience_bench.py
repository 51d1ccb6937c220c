"""How fast segments of a million contacts are counted, and copied into a campaign at its launch.

`python -m benchmarks.audience_bench [--contacts N] [--database URL] [--copy N]`; without
`--database` a SQLite file in a temporary folder. Bars: exact within 0.3 s where an index answers,
else an estimate at once and the exact figure within 3 s.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session, sessionmaker

from audience_models import Audience, Segment
from database import Checkpoints, bulk_session, make_engine, make_sessions, writing
from domain.segments import Conditions, Deed, FieldCondition, FieldTest, TimeCondition, When
from domain.statuses import AudienceKind, CampaignStatus, MailOutcome
from models import Base, Campaign, CampaignCounters
from services import audiences, segment_counts, segments
from services.audiences import Source
from services.installation import address_key_secret, ensure_installation

#: As many rows a step as a scheduler copies (sender.housekeeping).
_STEP = 400
_NOW = datetime.now(UTC).timestamp()
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) "
_CONTACTS = """INSERT INTO contacts (email, address, address_hash, variables, created_at,
 updated_at, last_mailed_at, last_opened_at, last_clicked_at)
{numbers} SELECT 'person' || i || '@d' || (i % 5000) || '.example',
 'person' || i || '@d' || (i % 5000) || '.example', {hash},
 '{{"first_name": "Ana", "town": "Town ' || (i % 1000) || '", "points": "' || (i % 97) || '"}}',
 {now}, {now}, CASE WHEN (i % 3) < 2 THEN {now} - (i % 400) * 86400 END,
 CASE WHEN (i % 5) < 2 THEN {now} - (i % 300) * 86400 END,
 CASE WHEN (i % 20) = 0 THEN {now} - (i % 200) * 86400 END FROM n"""
_MEMBERS = """INSERT INTO list_members (list_id, contact_id, status, added_at, changed_at)
 SELECT {list_id}, id, CASE WHEN (id % 50) = 0 THEN 'unsubscribed' ELSE 'subscribed' END,
 {now}, {now} FROM contacts WHERE (id % {every}) = 0"""
_TAGGED = """INSERT INTO contact_tags (tag_id, contact_id)
 SELECT {tag_id}, id FROM contacts WHERE (id % {every}) = 0"""
_RECIPIENTS = """INSERT INTO recipients (email, address, address_hash, variables, status, facts,
 campaign_id, updated_at, attempts, opens, machine_opens, clicks, machine_clicks, duplicates,
 opened_at)
 SELECT email, address, address_hash, '{{}}', 'delivered', 288, {campaign}, {now}, 1, 0, 0, 0, 0,
 0, CASE WHEN (id % 10) < 3 THEN {now} END FROM contacts WHERE (id % 3) = 0 ORDER BY id"""
_INDEXED = {
    "on a list of half of them": Conditions(list_id=1),
    "has a tag (a third)": Conditions(tag="regular"),
    "on a list, with a tag, without another": Conditions(
        list_id=1, tag="regular", without_tag="guest"
    ),
    "mailed in the last 30 days": Conditions(times=(TimeCondition(Deed.MAILED, When.WITHIN, 30),)),
    "address begins with person12": Conditions(
        fields=(FieldCondition("email", FieldTest.BEGINS, "person12"),)
    ),
}
_OTHERS = {
    "a field is": Conditions(fields=(FieldCondition("town", FieldTest.IS, "town 7"),)),
    "address contains d77": Conditions(
        fields=(FieldCondition("email", FieldTest.CONTAINS, "d77"),)
    ),
    "not opened in 90 days": Conditions(
        times=(TimeCondition(Deed.OPENED, When.NOT_WITHIN, 90),)
    ),
    "on a list, a field is not, not mailed in 60 days": Conditions(
        fields=(FieldCondition("town", FieldTest.IS_NOT, "town 7"),),
        times=(TimeCondition(Deed.MAILED, When.NOT_WITHIN, 60),),
        list_id=1,
    ),
    "got a campaign (a third), not opened": Conditions(
        campaign_id=1, outcome=MailOutcome.NOT_OPENED
    ),
    "three fields, tag, campaign opened": Conditions(
        fields=(
            FieldCondition("first_name", FieldTest.FILLED),
            FieldCondition("points", FieldTest.IS_NOT, "5"),
            FieldCondition("town", FieldTest.CONTAINS, "town"),
        ),
        tag="regular",
        campaign_id=1,
        outcome=MailOutcome.OPENED,
    ),
}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Fill the database, count, copy, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--copy", type=int, default=1_000_000, help="0 = do not copy")
    parser.add_argument("--database")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="audience-bench-") as folder:
        engine = make_engine(options.database or f"sqlite:///{Path(folder) / 'bench.db'}")
        Base.metadata.create_all(engine)
        began = time.perf_counter()
        _fill(engine, options.contacts)
        print(f"{options.contacts:,} contacts on {engine.dialect.name}, "
              f"filled in {time.perf_counter() - began:.0f} s")  # fmt: skip
        sessions = make_sessions(engine)
        _count_all(sessions)
        if options.copy:
            _copy(sessions, options.copy)
        engine.dispose()


def _fill(engine: Engine, contacts: int) -> None:
    sqlite = engine.dialect.name == "sqlite"
    facts = {
        "numbers": _NUMBERS.format(last=contacts),
        "now": f"{_NOW:.0f}",
        "hash": "randomblob(16)" if sqlite else "decode(md5(i::text), 'hex')",
    }
    with make_sessions(engine)() as session, writing(session):
        ensure_installation(session)
        for name in ("Half", "Few"):
            session.execute(
                text("INSERT INTO lists (name, description, variables, members, created_at, "
                     "updated_at) VALUES (:name, '', '[\"first_name\", \"town\"]', 0, 0, 0)"),
                {"name": name},
            )  # fmt: skip
        session.execute(text("INSERT INTO tags (name) VALUES ('regular'), ('guest')"))
        campaign = _campaign("Before", CampaignStatus.SENT)
        session.add(campaign)
        session.flush()
        facts["campaign"] = str(campaign.id)
        for statement, more in (
            (_CONTACTS, {}),
            (_MEMBERS, {"list_id": "1", "every": "2"}),
            (_MEMBERS, {"list_id": "2", "every": "1000"}),
            (_TAGGED, {"tag_id": "1", "every": "3"}),
            (_TAGGED, {"tag_id": "2", "every": "100"}),
            (_RECIPIENTS, {}),
        ):
            written = statement.format(**(facts | more)).replace(":", r"\:")
            session.execute(text(written))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if sqlite else "VACUUM ANALYZE")


def _campaign(name: str, status: CampaignStatus) -> Campaign:
    now = datetime.now(UTC)
    return Campaign(name=name, subject="Hello", html="<p>Hello</p>", status=status,
                    variables=["first_name", "town"], created_at=now, updated_at=now)  # fmt: skip


def _count_all(sessions: sessionmaker[Session]) -> None:
    print(f"{'segment':50} {'exact':>10} {'took ms':>8} {'at once':>10} {'took ms':>8}")
    for name, asked in {**_INDEXED, **_OTHERS}.items():
        with sessions() as session:
            segment_counts.count_at_once(session, asked, random.Random(1))  # warm pages
            session.rollback()
            began = time.perf_counter()
            exact = segment_counts.count(session, asked)
            took = time.perf_counter() - began
            session.rollback()
            began = time.perf_counter()
            shown = segment_counts.count_at_once(session, asked, random.Random(2))
            segments.sample(session, asked)
            at_once = time.perf_counter() - began
        mark = "" if shown.is_exact else "≈"
        print(f"{name:50} {exact:>10,} {took * 1000:>8.0f} {mark + format(shown.people, ','):>10} "
              f"{at_once * 1000:>8.0f}", flush=True)  # fmt: skip


def _copy(sessions: sessionmaker[Session], most: int) -> None:
    """Launch to a segment of everybody: the snapshot, the first batch, the rate of the rest."""
    now = datetime.now(UTC)
    everybody = Conditions(fields=(FieldCondition("first_name", FieldTest.FILLED),))
    with sessions() as session, writing(session):
        segment = Segment(name="Everybody", conditions=everybody.as_json(), created_at=now,
                          updated_at=now)  # fmt: skip
        campaign = _campaign("Now", CampaignStatus.DRAFT)
        session.add_all([segment, campaign])
        session.flush()
        session.add(CampaignCounters(campaign_id=campaign.id))
        campaign_id = campaign.id
        audiences.choose(session, campaign_id, [Source(AudienceKind.SEGMENT, segment.id)], now)
        campaign.status = CampaignStatus.SENDING
    began = time.perf_counter()
    with bulk_session(sessions) as session, closing(Checkpoints(session)) as checkpoints:
        secret = address_key_secret(session)
        people = audiences.freeze(sessions, campaign_id, now)
        frozen = time.perf_counter() - began
        copied, first, more, memory = 0, 0.0, True, 0
        while more and copied < most:
            with writing(session):
                more = audiences.copy_step(session, campaign_id, secret, now, _STEP)
            copied += _STEP
            first = first or time.perf_counter() - began
            checkpoints.step()
            memory = memory or _memory() if copied >= 20_000 else memory
        done = session.scalar(select(Audience.copied).where(Audience.campaign_id == campaign_id))
    took = time.perf_counter() - began - frozen
    print(f"{people:,} people fixed in {frozen:.1f} s, first batch after {first:.2f} s, "
          f"{done or 0:,} copied at {(done or 0) / took:,.0f} a second; "
          f"memory {memory} MB after 20,000 rows, {_memory()} MB at the end")  # fmt: skip


def _memory() -> int:
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(sys.argv[1:])
