"""`campaigns …`, `users …` and `suppressions …` at the terminal, on both databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from database import writing
from domain.addresses import address_hash, address_key
from domain.statuses import CampaignStatus, RecipientStatus
from models import Campaign, CampaignCounters, Recipient, User
from services import users
from services.installation import address_key_secret
from services.suppression import find
from tests.commands.conftest import Run, answered, refused


@pytest.fixture
def draft(run: Run, html: Path, session: Session) -> int:
    """A campaign with three recipients, not launched."""
    made = run("campaigns", "create", "--name", "June", "--subject", "Hi", "--html", html, "--json")
    campaign_id = int(json.loads(made.stdout)["id"])
    now = datetime.now(UTC)
    secret = address_key_secret(session)
    with writing(session):
        for name in ("anna", "ben", "carla"):
            email = f"{name}@example.com"
            session.add(
                Recipient(campaign_id=campaign_id, email=email, address=address_key(email),
                          address_hash=address_hash(secret, email), updated_at=now)
            )  # fmt: skip
        counters = session.get_one(CampaignCounters, campaign_id)
        counters.total = counters.pending = 3
    return campaign_id


def test_create_answers_with_the_id(run: Run, html: Path, session: Session) -> None:
    document = answered(
        run("campaigns", "create", "--name", "June", "--subject", "Hi {{ name }}",
            "--html", html, "--from-email", "club@example.org", "--json")
    )  # fmt: skip
    assert document.keys() == {"id"}
    campaign = session.get_one(Campaign, document["id"])
    assert (campaign.name, campaign.subject) == ("June", "Hi {{ name }}")
    assert campaign.from_email == "club@example.org"
    assert campaign.text_is_automatic
    assert campaign.status is CampaignStatus.DRAFT


def test_create_takes_the_text_part_as_given(
    run: Run, html: Path, tmp_path: Path, session: Session
) -> None:
    (tmp_path / "mail.txt").write_text("Hello, plainly.")
    made = run("campaigns", "create", "--name", "June", "--subject", "Hi", "--html", html,
               "--text", tmp_path / "mail.txt", "--json")  # fmt: skip
    campaign = session.get_one(Campaign, answered(made)["id"])
    assert campaign.text == "Hello, plainly."
    assert not campaign.text_is_automatic


def test_create_with_a_broken_template_changes_nothing(
    run: Run, tmp_path: Path, session: Session
) -> None:
    (tmp_path / "broken.html").write_text("<p>\n{% if name %}never closed")
    result = run("campaigns", "create", "--name", "June", "--subject", "Hi",
                 "--html", tmp_path / "broken.html", "--json")  # fmt: skip
    assert "line" in refused(result)
    assert session.scalar(select(func.count()).select_from(Campaign)) == 0


def test_create_without_its_file_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    result = run("campaigns", "create", "--name", "x", "--subject", "x",
                 "--html", tmp_path / "absent.html")  # fmt: skip
    assert "absent.html" in refused(result)


def test_list_shows_newest_first(run: Run, html: Path, draft: int) -> None:
    second = answered(
        run("campaigns", "create", "--name", "Two", "--subject", "x", "--html", html, "--json")
    )["id"]
    listed = answered(run("campaigns", "list", "--json"))["campaigns"]
    assert [row["id"] for row in listed] == [second, draft]
    assert listed[1]["total"] == 3
    words = run("campaigns", "list")
    assert words.stdout.splitlines()[0].split()[:3] == ["id", "name", "status"]


def test_launch_starts_sending(run: Run, draft: int) -> None:
    assert answered(run("campaigns", "launch", draft, "--json")) == {
        "id": draft,
        "status": "sending",
    }
    assert "only once" in refused(run("campaigns", "launch", draft, "--json"))


def test_launch_at_a_time_schedules(run: Run, draft: int, session: Session) -> None:
    at = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    document = answered(run("campaigns", "launch", draft, "--at", at.isoformat(), "--json"))
    assert document == {"id": draft, "status": "scheduled"}
    assert session.get_one(Campaign, draft).scheduled_at == at


@pytest.mark.parametrize("at", ["2030-01-31T09:00", "tomorrow", "2020-01-01T00:00Z"])
def test_launch_at_a_useless_time_isrefused(run: Run, draft: int, at: str) -> None:
    refused(run("campaigns", "launch", draft, "--at", at, "--json"))
    assert answered(run("campaigns", "status", draft, "--json"))["status"] == "draft"


def test_pause_resume_and_cancel_walk_through_the_states(run: Run, draft: int) -> None:
    run("campaigns", "launch", draft)
    for command, status in (("pause", "paused"), ("resume", "sending"), ("cancel", "cancelled")):
        document = answered(run("campaigns", command, draft, "--json"))
        assert document == {"id": draft, "status": status}
    counts = answered(run("campaigns", "status", draft, "--json"))["counts"]
    assert counts["cancelled"] == 3
    assert counts["pending"] == 0
    refused(run("campaigns", "resume", draft, "--json"))


def test_status_is_the_whole_document(run: Run, draft: int) -> None:
    document = answered(run("campaigns", "status", draft, "--json"))
    assert set(document) == {
        "id", "status", "reason", "waiting_until", "total", "counts", "reached", "opened",
        "clicked", "opened_machine", "clicked_machine", "unsubscribed", "duplicates", "rate",
    }  # fmt: skip
    assert set(document["counts"]) == {status.value for status in RecipientStatus}
    assert sum(document["counts"].values()) == document["total"] == 3
    assert set(document["reached"]) == {
        "accepted", "delivered", "delayed", "soft_bounced", "bounced", "complained",
    }  # fmt: skip


def test_status_of_no_campaign_isrefused(run: Run) -> None:
    assert "no campaign 77" in refused(run("campaigns", "status", 77, "--json"))


def test_recount_finds_a_wrong_counter(run: Run, draft: int, session: Session) -> None:
    assert answered(run("campaigns", "recount", draft, "--json")) == {
        "matches": True,
        "differences": {},
    }
    assert "equals the ledger" in run("campaigns", "recount", draft).stdout
    with writing(session):
        session.get_one(CampaignCounters, draft).delivered = 2
    result = run("campaigns", "recount", draft, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "matches": False,
        "differences": {"delivered": {"counter": 2, "ledger": 0}},
    }


def test_users_create_reads_the_password_from_stdin(run: Run, session: Session) -> None:
    made = run("users", "create", "Owner@Example.com", "--json", input="a long password\n")
    assert answered(made)["email"] == "owner@example.com"
    assert session.scalar(select(func.count()).select_from(User)) == 1
    refused(run("users", "create", "owner@example.com", input="a long password\n"))
    refused(run("users", "create", "other@example.com", input="short\n"))

    assert session.scalar(select(func.count()).select_from(User)) == 1


def test_users_password_sets_another_one_and_ends_the_sessions(run: Run, session: Session) -> None:
    answered(run("users", "create", "owner@example.com", "--json", input="a long password\n"))
    before = session.scalars(select(User.session_key)).one()
    answered(run("users", "password", "Owner@Example.com", "--json", input="another password\n"))
    session.rollback()  # a new snapshot
    user = session.scalars(select(User)).one()
    assert users.password_is_right(user.password_hash, "another password")
    assert not users.password_is_right(user.password_hash, "a long password")
    assert user.session_key != before
    assert "8 characters" in refused(run("users", "password", "owner@example.com", input="short\n"))
    assert "no account" in refused(
        run("users", "password", "other@example.com", input="another password\n")
    )


def test_suppressions_can_be_added_listed_and_removed(run: Run, session: Session) -> None:
    first = answered(run("suppressions", "add", "No@Example.com", "--note", "asked us", "--json"))
    assert first["added"] is True
    assert answered(run("suppressions", "add", "no@example.com", "--json"))["added"] is False
    (entry,) = answered(run("suppressions", "list", "--search", "no@", "--json"))["suppressions"]
    assert entry["address"] == "no@example.com"
    assert (entry["reason"], entry["note"]) == ("manual", "asked us")
    assert answered(run("suppressions", "remove", "no@example.com", "--json"))["removed"] is True
    assert find(session, "no@example.com") is None
    refused(run("suppressions", "remove", "no@example.com", "--json"))
    refused(run("suppressions", "add", "no address", "--json"))
