"""One sender process over a real database: what it holds, and that nothing ends it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session, sessionmaker

import rate_limiter
from config import Settings
from database import writing
from domain.bulk_template import BulkEmail, bulk_template
from domain.rendering import compile_mail
from domain.send_outcomes import Outcome, SendResult
from models import Notice
from sender.claiming import Claimer
from sender.engine import SendEngine
from sender.mails import MailMaker
from sender.pool import SenderPool, Work
from services import claims, ledger, lifecycle
from tests.ledger_rows import add_campaign

MANY = 40  # campaigns, more than are kept compiled when they rest


class Service:
    """Takes every mail."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def send(self, mail: Any, guard: Callable[[], bool]) -> SendResult:
        if not guard():
            return SendResult(Outcome.NOT_SUBMITTED, code="lease_over")
        self.taken.append(mail.to)
        return SendResult(Outcome.ACCEPTED, f"m-{mail.to}")

    def send_bulk(
        self, template: Any, sender: Any, mails: Any, name: str, guard: Callable[[], bool]
    ) -> list[SendResult]:
        return [self.send(mail, guard) for mail in mails]


def test_mails_of_many_campaigns_at_once_can_all_be_made(
    session: Session, settings: Settings
) -> None:
    with writing(session):
        ids = [add_campaign(session, [f"person@{n}.example"]) for n in range(MANY)]
        found = [
            claims.claim(session, campaign_id=i, limit=1, worker="w", lease_seconds=60).rows[0]
            for i in ids
        ]
    at = [0.0]
    maker = MailMaker(settings, session, clock=lambda: at[0])
    for campaign_id in ids:
        maker.prepare(session, campaign_id, 1)
    assert [maker.make(row).to for row in found] == [row.email for row in found]
    at[0] += 3600.0
    maker.prepare(session, ids[0], 1)
    with pytest.raises(KeyError):  # those that rest are let go of
        maker.mail_of(ids[-1])


def test_a_sender_goes_on_after_an_error_that_nobody_thought_of(
    sessions: sessionmaker[Session], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sessions() as session, writing(session):
        campaign_id = add_campaign(session, 3)
        rate_limiter.ensure_bucket(session, rate_limiter.SEND, 100.0)
    service = Service()
    engine = SendEngine(settings, sessions, cast(Any, service), "w")
    failures = iter(
        [OSError(24, "Too many open files"), ValueError("There is no time zone X.")] * 2
    )
    told = []
    real = lifecycle.sending_campaigns

    def sending_campaigns(session: Session) -> Any:
        told.append(session.scalar(select(Notice.text)))
        for failure in failures:
            raise failure
        return real(session)

    monkeypatch.setattr(lifecycle, "sending_campaigns", sending_campaigns)
    stop = threading.Event()
    thread = threading.Thread(target=lambda: engine.run(stop))
    thread.start()
    for _ in range(6000):
        with sessions() as session:
            if ledger.read_counters(session, campaign_id)["sent"] == 3:
                break
        stop.wait(0.01)
    stop.set()
    thread.join()
    assert told[:3] == [None, None, None]
    assert "Too many open files" in (told[3] or "")  # on the dashboard, until it goes on
    with sessions() as session:
        assert session.scalar(select(Notice.code)) is None
    assert sorted(service.taken) == [f"person{n}@example.com" for n in range(3)]
    assert engine.in_hand == 0


def test_a_call_that_fails_half_way_tells_of_each_mail_once() -> None:
    class Broken:
        def send_bulk(self, template: Any, sender: Any, mails: Any, name: str, guard: Any) -> Any:
            assert guard()
            return [SendResult(Outcome.ACCEPTED, "m-1")]  # but the call had three

    maker = SimpleNamespace(
        mail_of=lambda campaign_id: SimpleNamespace(
            template=bulk_template(
                compile_mail("News", "<p>{{ name }}</p>", "", postal_address="")
            ),
            sender=None,
            configuration_set="",
        ),
        make_entry=lambda row: BulkEmail(row.email, "{}", "https://example.com/u", {}),
    )
    pool = SenderPool(cast(Any, Broken()), cast(Any, maker), clock=lambda: 0.0)
    rows = [
        claims.ClaimedRow(number, 1, f"person{number}@example.com", b"", "{}", str(number), 0.0)
        for number in range(3)
    ]
    pool.put([Work(row, 0.0, 100.0, 0.0, rate=1000.0, call=1) for row in rows])
    for _ in range(6000):
        if len(pool.reports) >= 3:
            break
        time.sleep(0.01)
    pool.stop()
    for thread in pool._threads:
        thread.join()
    told = {report.row.id: report.result.outcome for report in pool.reports}
    assert len(pool.reports) == 3
    assert told == {0: Outcome.ACCEPTED, 1: Outcome.UNKNOWN, 2: Outcome.UNKNOWN}


def test_a_campaign_whose_own_rate_gives_nothing_now_is_asked_for_when_it_does(
    sessions: sessionmaker[Session], settings: Settings
) -> None:
    with sessions() as session, writing(session):
        add_campaign(session, 9, cap_per_second=1.0)
        rate_limiter.ensure_bucket(session, rate_limiter.SEND, 100.0)
    with sessions() as session:
        claimer = Claimer(settings, sessions, MailMaker(settings, session), "w")
    first = claimer.round([], 0, 0.1)
    while not first.works:
        first = claimer.round([], 0, 0.1)
    assert len(first.works) == 1
    engine = sessions.kw["bind"]
    began: list[object] = []
    event.listen(engine, "commit", began.append)
    again = claimer.round([], 1, 0.1)
    assert not again.works
    assert again.next_in > 0.2  # it comes when a slot is near, not fifty times a second
    assert not began


#: Tables in the order in which a transaction locks their rows (docs/architecture.md).
ORDER_OF_LOCKS = ["recipients", "campaigns", "campaign_counters", "buckets"]
LOCKS = re.compile(r"UPDATE (\w+)|FROM (\w+)\b.* FOR UPDATE", re.DOTALL)


@pytest.mark.parametrize("api", ["single", "bulk"])
def test_a_sender_locks_in_the_one_order_that_all_keep(
    sessions: sessionmaker[Session], environment: dict[str, str], api: str
) -> None:
    given = {"SES_SEND_API": api, "SES_BULK_CALLS_PER_SECOND": "50"}
    settings = Settings.from_env(environment | given)
    with sessions() as session, writing(session):
        campaign_id = add_campaign(
            session, 120, cap_per_second=400.0, batch_size=50, batch_pause_seconds=0
        )
        rate_limiter.ensure_bucket(session, rate_limiter.SEND, 400.0)
        rate_limiter.put_ceiling_in_force(session, 400.0, 0.0)
    locked: list[str] = []
    seen: set[tuple[str, ...]] = set()

    def note(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        found = LOCKS.search(statement)
        table = (found[1] or found[2]) if found else None
        if table in ORDER_OF_LOCKS and locked[-1:] != [table]:
            locked.append(table)

    def end(connection: Any) -> None:
        seen.add(tuple(locked))
        locked.clear()

    bind = sessions.kw["bind"]
    event.listen(bind, "before_cursor_execute", note)
    event.listen(bind, "commit", end)
    event.listen(bind, "rollback", end)
    service = Service()
    engine = SendEngine(settings, sessions, cast(Any, service), "w")
    for _ in range(6000):
        time.sleep(engine.step())
        if len(service.taken) == 120 and engine.in_hand == 0:
            break
    assert len(set(service.taken)) == len(service.taken) == 120
    assert tuple(ORDER_OF_LOCKS) in seen
    for order in seen:
        assert list(order) == sorted(order, key=ORDER_OF_LOCKS.index)
    with sessions() as session:
        assert ledger.read_counters(session, campaign_id)["sent"] == 120
