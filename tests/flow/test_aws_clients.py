"""Where clients really talk to: the simulator is never left, and AWS never meant by accident."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aws.account import read_account, read_identity
from aws.clients import AwsClients, Goal
from aws.ses_calls import BotoCalls, SignedCalls
from aws.topology import read_configuration_set, read_queue, read_topic, read_topology
from config import EmailBackend, Settings
from email_service import Outcome, OutgoingEmail, make_email_service, make_sender

SETTINGS = Settings(secret_key="x" * 32, database_url="sqlite://", aws_region="eu-central-1")
MAIL = OutgoingEmail(make_sender("news@example.com"), "ann@example.net", "s", "h", "t")


@pytest.fixture
def open_clients() -> Iterator[Any]:
    """Makes clients and closes them at the end."""
    made: list[AwsClients] = []

    def make(settings: Settings) -> AwsClients:
        made.append(AwsClients(settings))
        return made[-1]

    yield make
    for clients in made:
        clients.close()


@pytest.fixture
def hostile_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Everything that could lead a client away from where it is meant to go."""
    config = tmp_path / "config"
    config.write_text(
        "[default]\nregion = ap-south-1\nendpoint_url = http://127.0.0.1:9\n"
        "ca_bundle = /nowhere\n[profile other]\nregion = ap-south-1\n"
    )
    credentials = tmp_path / "credentials"
    credentials.write_text(
        "[default]\naws_access_key_id = AKIAREAL\naws_secret_access_key = real\n"
    )
    for name, value in {
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_PROFILE": "missing-profile",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SECRET_ACCESS_KEY": "real",
        "AWS_SESSION_TOKEN": "real-token",
        "AWS_REGION": "ap-south-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:9",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_CA_BUNDLE": "/nowhere",
        "AWS_MAX_ATTEMPTS": "5",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("hostile_environment")
def test_the_simulator_is_reached_whatever_the_environment_and_home_folder_say(
    simulator: Any, settings: Settings, open_clients: Any
) -> None:
    clients = open_clients(settings)
    assert clients.destination.goal is Goal.SIMULATOR
    assert read_account(clients.ses).error is None
    assert read_queue(clients.sqs, settings.sqs_queue_url).error is None
    assert read_topic(clients.sns(), simulator.topic_arn).error is None
    service = make_email_service(clients)
    assert service.send(MAIL).outcome is Outcome.ACCEPTED
    service.close()
    for client in (clients.ses, clients.sqs, clients.sns("eu-west-1")):
        assert client.meta.endpoint_url == simulator.url
        keys = client._request_signer._credentials
        assert (keys.access_key, keys.token) == ("simulator", None)


@pytest.mark.parametrize(
    ("endpoint", "goal"),
    [
        ("", Goal.AWS),
        ("http://127.0.0.1:9", Goal.OTHER),
        ("https://email.eu-central-1.amazonaws.com", Goal.AWS),
        ("https://amazonaws.com.example.org", Goal.OTHER),
        ("https://notamazonaws.com", Goal.OTHER),
    ],
)
def test_the_destination_is_where_the_endpoint_really_leads(
    endpoint: str, goal: Goal, open_clients: Any
) -> None:
    clients = open_clients(replace(SETTINGS, aws_endpoint_url=endpoint))
    assert clients.destination.goal is goal
    if not endpoint:
        assert clients.destination.url == "https://email.eu-central-1.amazonaws.com"


def test_an_endpoint_from_the_environment_is_seen_too(
    monkeypatch: pytest.MonkeyPatch, open_clients: Any
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:9")
    clients = open_clients(SETTINGS)
    assert clients.destination.goal is Goal.OTHER
    assert clients.destination.url == "http://127.0.0.1:9"


def test_no_client_tries_twice(open_clients: Any) -> None:
    clients = open_clients(SETTINGS)
    for client in (clients.ses, clients.sqs, clients.sns()):
        assert client.meta.config.retries == {"total_max_attempts": 1, "mode": "standard"}
    config = clients.ses.meta.config
    assert config.connect_timeout + config.read_timeout == 10


def test_keys_of_the_settings_are_used_and_others_found(
    monkeypatch: pytest.MonkeyPatch, open_clients: Any
) -> None:
    own = replace(SETTINGS, aws_access_key_id="AKIAOWN", aws_secret_access_key="own")
    assert open_clients(own).credentials_source() == "settings"
    assert open_clients(SETTINGS).credentials_source() is None
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env")
    assert open_clients(SETTINGS).credentials_source() == "environment"


def test_a_proxy_means_boto3_and_a_straight_way_our_own_calls(
    monkeypatch: pytest.MonkeyPatch, open_clients: Any
) -> None:
    assert isinstance(open_clients(SETTINGS).ses_calls(), SignedCalls)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert isinstance(open_clients(SETTINGS).ses_calls(), BotoCalls)


def test_the_queue_is_asked_in_its_own_region(open_clients: Any) -> None:
    url = "https://sqs.us-west-2.amazonaws.com/123456789012/bes"
    clients = open_clients(replace(SETTINGS, sqs_queue_url=url))
    assert clients.sqs.meta.region_name == "us-west-2"


def test_what_cannot_be_read_is_a_value(
    simulator: Any, settings: Settings, open_clients: Any
) -> None:
    simulator.faults.deny = ["*"]
    clients = open_clients(settings)
    assert "AccessDenied" in (read_account(clients.ses).error or "")
    assert read_identity(clients.ses, "news@example.com").error
    found = read_configuration_set(clients.ses, "bes")
    assert (found.exists, found.topics("SEND")) == (None, None)
    way = read_topology(clients, "bes", settings.sqs_queue_url)
    assert way.queue_gets("SEND") is None
    assert way.queue is not None
    assert way.queue.error
    assert way.https_flood() is None


def test_a_set_without_send_is_seen(simulator: Any, settings: Settings, open_clients: Any) -> None:
    clients = open_clients(settings)
    assert read_topology(clients, "bes", settings.sqs_queue_url).queue_gets("SEND") is True
    simulator.faults.without_send = True
    way = read_topology(clients, "bes", settings.sqs_queue_url)
    assert way.queue_gets("SEND") is False
    assert way.queue_gets("BOUNCE") is True


def test_an_account_that_cannot_be_reached_says_so(open_clients: Any) -> None:
    closed = replace(SETTINGS, email_backend=EmailBackend.SIMULATOR, simulator_port=1)
    error = read_account(open_clients(closed).ses).error
    assert error
    assert "127.0.0.1:1" in error
