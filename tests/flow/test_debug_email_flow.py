"""The diagnosis against the running simulator, and with everything down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session, sessionmaker

import debug_email_flow
from aws.clients import AwsClients
from config import ConfigError, EmailBackend, Settings
from database import make_engine, make_sessions
from services.diagnosis import Level, diagnose


@pytest.fixture
def clients(settings: Settings) -> Iterator[AwsClients]:
    """Clients of the simulator."""
    clients = AwsClients(settings)
    yield clients
    clients.close()


def _levels(checks: Any) -> dict[str, Level]:
    return {check.name: check.level for check in checks}


_AWS_CHECKS = (
    "Credentials", "SES account", "Sandbox", "Sender identity", "DKIM", "Configuration set",
    "Event destinations", "Topic", "Subscription", "Queue", "Dead-letter queue",
    "Webhook allow-list",
)  # fmt: skip


def test_the_simulator_is_in_order(
    simulator: Any, settings: Settings, sessions: sessionmaker[Session], clients: AwsClients,
    now: datetime,
) -> None:  # fmt: skip
    levels = _levels(diagnose(settings, sessions, clients, now))
    assert {name: levels[name] for name in _AWS_CHECKS} == dict.fromkeys(_AWS_CHECKS, Level.OK)


def test_faults_of_the_account_are_found(
    simulator: Any, settings: Settings, sqlite_url: str, clients: AwsClients, now: datetime
) -> None:
    simulator.faults.sandbox = True
    simulator.faults.unverified = ["*"]
    simulator.faults.without_send = True
    engine = make_engine(sqlite_url)
    levels = _levels(diagnose(settings, make_sessions(engine), clients, now))
    engine.dispose()
    assert levels["Sandbox"] is Level.WARN
    assert levels["Sender identity"] is Level.FAIL
    assert levels["Event destinations"] is Level.FAIL


def test_a_missing_configuration_set_fails(
    simulator: Any, settings: Settings, sqlite_url: str, now: datetime
) -> None:
    wrong = replace(settings, ses_configuration_set="nowhere")
    clients = AwsClients(wrong)
    engine = make_engine(sqlite_url)
    levels = _levels(diagnose(wrong, make_sessions(engine), clients, now))
    engine.dispose()
    clients.close()
    assert levels["Configuration set"] is Level.FAIL


def test_everything_down_is_reported_and_not_raised(
    capsys: pytest.CaptureFixture[str], settings: Settings, free_port: int
) -> None:
    down = replace(
        settings,
        database_url=f"postgresql://u:secret@127.0.0.1:{free_port}/x",
        simulator_port=free_port,
    )
    assert debug_email_flow.main(["--json"], lambda: down) == 1
    out = capsys.readouterr().out
    document = json.loads(out)
    status = {check["name"]: check["status"] for check in document["checks"]}
    assert document["ok"] is False
    assert status["Database and schema"] == "FAIL"
    assert status["SES account"] == "FAIL"
    assert "secret" not in out


def test_wrong_credentials_are_told_from_an_outage(
    simulator: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator.faults.expired_credentials = True
    real = replace(
        settings,
        email_backend=EmailBackend.SES,
        aws_endpoint_url=simulator.url,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="wrong",
    )
    assert debug_email_flow.main([], lambda: real) == 1
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if "Credentials" in line)
    assert "FAIL" in line
    assert "does not accept" in out


def test_settings_that_cannot_be_used_are_the_first_finding(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> Settings:
        raise ConfigError(["PORT=x: must be a number."])

    assert debug_email_flow.main(["--json"], broken) == 1
    (check,) = json.loads(capsys.readouterr().out)["checks"]
    assert check["status"] == "FAIL"
    assert "PORT=x" in check["finding"]


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
    return port
