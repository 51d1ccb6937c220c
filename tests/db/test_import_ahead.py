"""Large files are read by a process of their own, with the same answers as small ones."""

import pickle
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from database import writing
from models import Recipient
from services import import_ahead, import_child, job_queue
from services.campaigns import Refused
from services.import_batches import Batch, Target
from services.ledger import read_counters
from services.recipients import ImportOptions, ImportRun, import_file
from services.recount import recount
from tests.factories import add_campaign

Sessions = sessionmaker[Session]


def test_a_large_file_is_read_by_a_process_of_its_own_with_the_same_answers(
    sessions: Sessions, session: Session, now: datetime, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = tmp_path / "people.csv"
    people = [f"p{number}@example.com,Ana {number}" for number in range(950)]
    lines = ["E-mail,First name", *people, "nobody,x", "p3@example.com,twice", "p4@example.com,a,b"]
    path.write_text("\n".join(lines), "utf-8")
    with writing(session):
        campaigns = [add_campaign(session, now, variables=[]).id for _ in range(2)]
    monkeypatch.chdir(tmp_path)
    path, found = Path("people.csv"), []
    for worth_it, campaign_id in zip((1_000_000, 10), campaigns, strict=True):
        monkeypatch.setattr(import_ahead, "WORTH_IT", worth_it)
        report = import_file(sessions, campaign_id, path, "people.csv", clock=lambda: now)
        rows = session.execute(
            select(Recipient.line, Recipient.email, Recipient.variables)
            .where(Recipient.campaign_id == campaign_id)
            .order_by(Recipient.line)
        ).all()
        found.append((report.as_json(), rows))
        assert read_counters(session, campaign_id) == recount(session, campaign_id)
        session.rollback()
    assert found[0] == found[1]
    assert found[1][0]["added"] == 950
    assert [row.line for row in found[1][1]] == list(range(2, 952))


def test_a_large_file_goes_on_where_it_was_stopped(
    sessions: Sessions, session: Session, now: datetime, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(import_ahead, "WORTH_IT", 10)
    path = tmp_path / "people.csv"
    path.write_text("E-mail\n" + "".join(f"p{n}@example.com\n" for n in range(3_000)), "utf-8")
    with writing(session):
        campaign_id = add_campaign(session, now, variables=[]).id
    stopped = import_file(
        sessions, campaign_id, path, "p.csv", clock=lambda: now, should_stop=lambda: True
    )
    assert stopped.stopped
    assert 0 < stopped.counts.added < 3_000
    with writing(session):
        job_queue.resume(session, stopped.job_id)
        job_queue.claim_job(session, "w", now)
    whole = ImportRun(sessions, stopped.job_id, "w", lambda: now).do(
        campaign_id, path, "p.csv", ImportOptions()
    )
    assert (whole.counts.rows, whole.counts.added) == (3_000, 3_000)
    assert read_counters(session, campaign_id)["total"] == 3_000


def test_runs_are_sorted_and_go_on_at_any_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_child, "RUN", 300)
    path = tmp_path / "people.csv"
    rows = [f"p{7 * n % 800}@example.com" if n % 50 else "nobody" for n in range(1_010)]
    path.write_text("E-mail\n" + "\n".join(rows), "utf-8")
    target = Target(1, 1, "people.csv", b"key")

    def pieces(done: int) -> list[Batch]:
        return list(import_child.pieces(path, {}, target, done))

    every, done = pieces(0), 0
    for place, piece in enumerate(every):
        assert pieces(done) == every[place:]
        done += piece.rows
    assert done == 1_010
    kept = [one for piece in every for one in piece.candidates]
    assert sorted(one.line or 0 for one in kept) == [
        line for line, text in enumerate(rows, 2) if text != "nobody"
    ]
    first = [one.address for one in kept if (one.line or 0) <= 301]
    assert first == sorted(first)
    twice = [one.line or 0 for one in kept if one.address == "p7@example.com"]
    assert twice == sorted(twice)


def test_what_ends_a_large_file_half_way_leaves_nothing_behind(
    sessions: Sessions, session: Session, now: datetime, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(import_ahead, "WORTH_IT", 10)
    path = tmp_path / "people.csv"
    rows = "".join(f"p{n}@example.com\n" for n in range(2_000))
    path.write_text("E-mail\n" + rows + "x," * 1_200 + "\n", "utf-8")
    with writing(session):
        campaign_id = add_campaign(session, now, variables=[]).id
    with pytest.raises(Refused, match="columns"):
        import_file(sessions, campaign_id, path, "p.csv", clock=lambda: now)
    assert read_counters(session, campaign_id)["total"] == 0


def test_a_reader_whose_importer_is_gone_ends_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("E-mail\n" + "".join(f"p{n}@example.com\n" for n in range(60_000)), "utf-8")
    target = Target(1, 1, "people.csv", b"key")
    asked = pickle.dumps((path, ImportOptions().as_parameters(), target, 0))
    with subprocess.Popen(
        import_ahead.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin
        assert child.stdout
        assert child.stderr
        child.stdin.write(asked)
        child.stdin.close()
        assert child.stdout.read(1)
        child.stdout.close()
        assert child.wait(120) == 1
        assert child.stderr.read() == b""
