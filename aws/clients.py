"""The only place that makes boto3 clients; it also knows where mail really goes.

With `EMAIL_BACKEND=simulator` every client has an explicit loopback endpoint and dummy
credentials, and neither the environment nor the home folder is asked for anything.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import botocore.exceptions
import botocore.session
from botocore.config import Config
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from aws.queue_calls import BotoQueueCalls, QueueCalls, SignedQueueCalls
from aws.ses_calls import CONNECT_SECONDS, TIMEOUT_SECONDS, BotoCalls, SesCalls, SignedCalls
from config import Settings

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

_DUMMY_KEY = "simulator"
#: botocore's names of the places it looks in, in words.
_CREDENTIAL_SOURCES = {
    "explicit": "settings",
    "env": "environment",
    "shared-credentials-file": "credentials file",
    "config-file": "AWS configuration file",
    "iam-role": "role of this machine",
    "container-role": "role of this container",
    "assume-role": "assumed role",
    "sso": "single sign-on",
}
#: Long polling waits up to 20 s; the answer needs some time on top.
_LONG_POLL_READ_SECONDS = 30
_AWS_HOST = re.compile(r"(^|\.)(amazonaws\.com(\.cn)?|api\.aws)$")


class Goal(Enum):
    """What stands behind the endpoint that mails are sent to."""

    SIMULATOR = "simulator"
    AWS = "aws"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class MailDestination:
    """Where mails go, for the banner on every page."""

    goal: Goal
    url: str


class AwsClients:
    """Clients for SES, SNS and SQS, made on first use and shared by all threads.

    Making one raises botocore's BotoCoreError if profile or region cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._made: dict[tuple[str, str, bool], Any] = {}
        self._session: botocore.session.Session | None = None

    @property
    def ses(self) -> SESV2Client:
        """The SESv2 client: no retries, 10 s for connecting and reading together."""
        client: SESV2Client = self._client("sesv2", self._settings.aws_region)
        return client

    @property
    def sqs(self) -> SQSClient:
        """The SQS client, in the region of the queue URL; fit for long polling."""
        host = urlsplit(self._settings.sqs_queue_url).hostname or ""
        found = re.match(r"(?:sqs\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.", host)
        region = found.group(1) if found else self._settings.aws_region
        client: SQSClient = self._client("sqs", region)
        return client

    def sns(self, region: str = "") -> SNSClient:
        """The SNS client of a region (a topic's ARN names it)."""
        client: SNSClient = self._client("sns", region or self._settings.aws_region)
        return client

    def sns_unsigned(self, region: str) -> SNSClient:
        """An SNS client that signs nothing: ConfirmSubscription needs no rights of ours."""
        client: SNSClient = self._client("sns", region, signed=False)
        return client

    def ses_calls(self) -> SesCalls:
        """The sending way: signed by hand where that covers the set-up, or else boto3."""
        client = self.ses
        url = client.meta.endpoint_url
        if not self._settings.uses_simulator and get_environ_proxies(url):
            return BotoCalls(client)
        return SignedCalls(
            endpoint_url=url,
            region=client.meta.region_name,
            credentials=self._boto_session().get_credentials(),
            ca_bundle=self._ca_bundle(),
        )

    def credentials_source(self) -> str | None:
        """Where the credentials come from, in words; None if there are none."""
        if self._settings.uses_simulator:
            return "the simulator's own"
        found = self._boto_session().get_credentials()
        if found is None:
            return None
        return _CREDENTIAL_SOURCES.get(found.method, found.method)

    def close(self) -> None:
        """Close the pooled connections of every client."""
        with self._lock:
            for client in self._made.values():
                client.close()
            self._made.clear()

    def queue_calls(self) -> QueueCalls:
        """Receiving and deleting: signed by hand where that covers the set-up, or else boto3."""
        client = self.sqs
        url = client.meta.endpoint_url
        if not self._settings.uses_simulator and get_environ_proxies(url):
            return BotoQueueCalls(client)
        return SignedQueueCalls(
            endpoint_url=url,
            region=client.meta.region_name,
            credentials=self._boto_session().get_credentials(),
            ca_bundle=self._ca_bundle(),
        )

    def _ca_bundle(self) -> str:
        session = self._boto_session()
        bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        return str(bundle or get_cert_path(True))

    @property
    def destination(self) -> MailDestination:
        """Where mails go by the endpoint that was really resolved."""
        if self._settings.uses_simulator:
            return MailDestination(Goal.SIMULATOR, self._settings.simulator_url)
        if self._settings.aws_endpoint_url:
            url = self._settings.aws_endpoint_url
        else:
            try:
                url = self.ses.meta.endpoint_url
            except botocore.exceptions.BotoCoreError:
                return MailDestination(Goal.AWS, "")
        host = urlsplit(url).hostname or ""
        return MailDestination(Goal.AWS if _AWS_HOST.search(host) else Goal.OTHER, url)

    def _client(self, service: str, region: str, *, signed: bool = True) -> Any:
        with self._lock:
            key = (service, region, signed)
            if key not in self._made:
                self._made[key] = self._boto_session().create_client(
                    service,
                    region_name=region,
                    endpoint_url=self._endpoint(),
                    config=self._config(service, signed),
                )
            return self._made[key]

    def _endpoint(self) -> str | None:
        if self._settings.uses_simulator:
            return self._settings.simulator_url
        return self._settings.aws_endpoint_url or None

    def _config(self, service: str, signed: bool) -> Config:
        long_poll = service == "sqs"
        options: dict[str, Any] = {
            # botocore would send a mail again after a time-out: SES has no idempotency token.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": _LONG_POLL_READ_SECONDS
            if long_poll
            else TIMEOUT_SECONDS - CONNECT_SECONDS,
            "max_pool_connections": 64,
        }
        if not signed:
            options["signature_version"] = botocore.UNSIGNED
        if self._settings.uses_simulator:
            options |= {"proxies": {}, "use_fips_endpoint": False, "use_dualstack_endpoint": False}
        return Config(**options)

    def _boto_session(self) -> botocore.session.Session:
        with self._lock:
            if self._session is None:
                if self._settings.uses_simulator:
                    self._session = _isolated_session()
                else:
                    self._session = self._real_session()
            return self._session

    def _real_session(self) -> botocore.session.Session:
        session = botocore.session.Session(profile=self._settings.aws_profile or None)
        if self._settings.aws_access_key_id:
            session.set_credentials(
                self._settings.aws_access_key_id,
                self._settings.aws_secret_access_key,
                self._settings.aws_session_token or None,
            )
        return session


def _isolated_session() -> botocore.session.Session:
    """A session that reads no environment variable and no file, with dummy credentials."""
    names = {
        name: (in_file, None, default, convert)
        for name, (in_file, _, default, convert) in (
            botocore.session.Session.SESSION_VARIABLES.items()
        )
    }
    for name in ("config_file", "credentials_file"):
        names[name] = (None, None, os.devnull, None)
    session = botocore.session.Session(session_vars=names)
    session.set_credentials(_DUMMY_KEY, _DUMMY_KEY)
    return session


def why_not(error: Exception) -> str:
    """A botocore error as one sentence for a person, with AWS's words."""
    if isinstance(error, botocore.exceptions.ClientError):
        said = error.response.get("Error", {})
        code, message = said.get("Code", "unknown"), said.get("Message", "")
        return f"AWS said {code}: {message}" if message else f"AWS said {code}."
    if isinstance(error, botocore.exceptions.NoCredentialsError):
        return "There are no AWS credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)."
    return " ".join(str(error).split()) or type(error).__name__
