"""`events replay` and `aws critical-set` at the terminal."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from aws.clients import AwsClients
from config import Settings
from database import writing
from domain.statuses import EventStatus, Fact
from domain.tracking import CRITICAL_EVENTS
from models import Event, Recipient
from services.ledger import FactChange, apply_changes
from tests.commands.conftest import Run, answered, refused


@pytest.fixture
def campaign_id(run: Run, html: Path, tmp_path: Path) -> int:
    """A campaign with two recipients."""
    made = run("campaigns", "create", "--name", "June", "--subject", "Hi", "--html", html, "--json")
    people = tmp_path / "people.csv"
    people.write_text("email\nanna@example.com\nben@example.com\n")
    found = int(answered(made)["id"])
    answered(run("campaigns", "import", found, people, "--json"))
    return found


def _add_event(session: Session, row: Recipient, raw: bytes | None) -> None:
    session.add(
        Event(key=bytes(16), kind="Delivery", status=EventStatus.APPLIED, door="sqs",
              received_at=datetime.now(UTC), recipient_id=row.id, campaign_id=row.campaign_id,
              attempt_id=row.attempt_id, raw=raw)
    )  # fmt: skip


def test_replay_takes_back_what_no_stored_event_tells(
    run: Run, campaign_id: int, session: Session
) -> None:
    with writing(session):
        row = session.query(Recipient).filter_by(email="anna@example.com").one()
        session.execute(
            update(Recipient).where(Recipient.id == row.id).values(
                attempt_id="a" * 32, facts=int(Fact.CLAIMED), status="sending")
        )  # fmt: skip
        now = datetime.now(UTC)
        apply_changes(session, [FactChange(row.id, "a" * 32, Fact.ACCEPTED, now)], now)
        apply_changes(session, [FactChange(row.id, "a" * 32, Fact.BOUNCED, now)], now)
    assert answered(run("events", "replay", campaign_id, "--raise-only", "--json")) == {
        "id": campaign_id,
        "rows": 2,
        "changed": 0,
    }
    assert answered(run("events", "replay", campaign_id, "--json"))["changed"] == 1
    counts = answered(run("campaigns", "status", campaign_id, "--json"))["counts"]
    assert (counts["bounced"], counts["sent"]) == (0, 1)


def test_replay_is_refused_when_raw_events_were_deleted(
    run: Run, campaign_id: int, session: Session
) -> None:
    with writing(session):
        row = session.query(Recipient).filter_by(email="anna@example.com").one()
        _add_event(session, row, None)
    assert "--raise-only" in refused(run("events", "replay", campaign_id, "--json"))
    answered(run("events", "replay", campaign_id, "--raise-only", "--json"))
    refused(run("events", "replay", 99, "--json"))


def _events_of(ses: Any, name: str) -> dict[str, set[str]]:
    answer = ses.get_configuration_set_event_destinations(ConfigurationSetName=name)
    return {one["Name"]: set(one["MatchingEventTypes"]) for one in answer["EventDestinations"]}


def test_critical_set_is_made_after_showing_what_will_be_done(
    simulator: object, settings: Settings, run: Run
) -> None:
    with closing(AwsClients(settings)) as clients:
        clients.ses.delete_configuration_set(ConfigurationSetName="bes-critical")
        clients.ses.put_configuration_set_tracking_options(
            ConfigurationSetName="bes", CustomRedirectDomain="links.example.com"
        )
        asked = run("aws", "critical-set", "--json", input="n\n")
        assert asked.exit_code == 1
        assert asked.stdout == ""
        assert "Make the configuration set bes-critical" in asked.stderr
        names = clients.ses.list_configuration_sets()["ConfigurationSets"]
        assert names == ["bes"]

        done = answered(run("aws", "critical-set", "--yes", "--json"))
        assert done["name"] == "bes-critical"
        assert len(done["changed"]) >= 2
        (events,) = _events_of(clients.ses, "bes-critical").values()
        assert events == CRITICAL_EVENTS
        made = clients.ses.get_configuration_set(ConfigurationSetName="bes-critical")
        assert made["TrackingOptions"]["CustomRedirectDomain"] == "links.example.com"
        assert answered(run("aws", "critical-set", "--yes", "--json"))["changed"] == []


def test_critical_set_that_reports_too_much_is_changed(
    simulator: object, settings: Settings, run: Run
) -> None:
    with closing(AwsClients(settings)) as clients:
        (full,) = clients.ses.get_configuration_set_event_destinations(ConfigurationSetName="bes")[
            "EventDestinations"
        ]
        answered(run("aws", "critical-set", "--yes", "--json"))
        (place,) = _events_of(clients.ses, "bes-critical")
        clients.ses.update_configuration_set_event_destination(
            ConfigurationSetName="bes-critical",
            EventDestinationName=place,
            EventDestination={
                "Enabled": True,
                "MatchingEventTypes": full["MatchingEventTypes"],
                "SnsDestination": full["SnsDestination"],
            },
        )
        assert answered(run("aws", "critical-set", "--yes", "--json"))["changed"]
        assert _events_of(clients.ses, "bes-critical")[place] == CRITICAL_EVENTS


def test_critical_set_of_a_set_that_is_not_there_is_refused(
    simulator: object, environment: dict[str, str]
) -> None:
    from app import create_app

    settings = Settings.from_env(environment | {"SES_CONFIGURATION_SET": "nowhere"})
    app = create_app(settings)
    result = app.test_cli_runner().invoke(args=["aws", "critical-set", "--json"])
    app.extensions["bes"].engine.dispose()
    assert "nowhere" in refused(result)
