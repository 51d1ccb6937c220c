"""Settings: the environment read once into a frozen dataclass, every problem in one message.

Nothing else in the product reads environment variables. Order of precedence: the real
environment, then `.env.development` or `.env.production` (by FLASK_ENV), then `.env`.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

from domain.environment import EnvironmentReader

ROOT = Path(__file__).resolve().parent
#: What the simulator has ready at start, so that no set-up is needed to see events arrive.
SIMULATOR_ACCOUNT = "000000000000"
SIMULATOR_QUEUE = "bes-events"
SIMULATOR_CONFIGURATION_SET = "bes"
SIMULATOR_SENDER = "newsletter@example.com"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_DEFAULT_DATABASE = "sqlite:///instance/bulk_email.db"
_WEAK_KEYS = {"", "change-me", "changeme", "secret", "dev", "development", "your-secret-key"}


class ConfigError(Exception):
    """The environment cannot be used; the message lists every problem, one a line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"The settings cannot be used:\n{lines}")


class EmailBackend(StrEnum):
    """Where mail goes: the real SES (or AWS_ENDPOINT_URL), or the local simulator."""

    SES = "ses"
    SIMULATOR = "simulator"


class SendApi(StrEnum):
    """Which SES call carries the mails."""

    SINGLE = "single"
    BULK = "bulk"


class InDoubtPolicy(StrEnum):
    """What happens to a mail that is presumed unsent."""

    HOLD = "hold"
    RETRY_UNSENT = "retry-unsent"


class SendEvents(StrEnum):
    """Whether Send events reach us through the queue: read from SES, or said by a person."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


class SchedulerMode(StrEnum):
    """Whether the web side starts the scheduler itself."""

    EMBEDDED = "embedded"
    EXTERNAL = "external"


@dataclass(frozen=True)
class Settings:
    """Every setting of the product; names are the environment's in lower case."""

    secret_key: str = field(repr=False)
    database_url: str = field(repr=False)
    instance_dir: Path = ROOT / "instance"
    flask_env: str = "production"
    port: int = 5000
    trusted_proxies: int = 0

    aws_access_key_id: str = ""
    aws_secret_access_key: str = field(default="", repr=False)
    aws_session_token: str = field(default="", repr=False)
    aws_profile: str = ""
    aws_region: str = "us-east-1"
    aws_endpoint_url: str = ""

    email_backend: EmailBackend = EmailBackend.SES
    simulator_port: int = 5001
    sender_email: str = ""
    sender_name: str = ""
    reply_to: str = ""
    postal_address: str = ""
    public_base_url: str = ""
    ses_configuration_set: str = ""
    ses_send_api: SendApi = SendApi.SINGLE
    ses_bulk_calls_per_second: float = 1.0
    max_emails_per_second: float = 10.0
    ses_quota_reserve_percent: float = 10.0
    senders: int = 2
    send_events: SendEvents = SendEvents.AUTO

    sns_topic_arn: tuple[str, ...] = ()
    sqs_queue_url: str = ""
    sns_cert_dir: str = ""
    sns_max_age_seconds: int = 4500
    disable_tracking_threshold: int = 100
    notifications_per_second: float = 10.0
    raw_event_days: int = 30
    raw_critical_event_days: int = 400

    scheduler: SchedulerMode = SchedulerMode.EMBEDDED
    claim_lease_seconds: int = 60
    in_doubt_policy: InDoubtPolicy = InDoubtPolicy.HOLD
    in_doubt_grace_seconds: int = 3600
    pause_at_bounce_percent: float = 5.0
    pause_at_complaint_percent: float = 0.1

    admin_email: str = ""
    admin_password: str = field(default="", repr=False)
    metrics_token: str = field(default="", repr=False)

    @property
    def simulator_url(self) -> str:
        """Where the local SES simulator listens; always loopback."""
        return f"http://127.0.0.1:{self.simulator_port}"

    @property
    def base_url(self) -> str:
        """What links in mails begin with, without a slash at the end."""
        return self.public_base_url or f"http://127.0.0.1:{self.port}"

    @property
    def uses_simulator(self) -> bool:
        """Whether mail goes to the local simulator."""
        return self.email_backend is EmailBackend.SIMULATOR

    @property
    def mails_real_people(self) -> bool:
        """Whether mail goes to the real AWS, and not to the simulator or another endpoint."""
        return self.email_backend is EmailBackend.SES and not self.aws_endpoint_url

    def launch_problems(self) -> list[str]:
        """Why a campaign must not be launched with these settings; empty when it may.

        Sending to real people needs a public unsubscribe address (RFC 8058, https) and a
        postal address (CAN-SPAM).
        """
        if not self.mails_real_people:
            return []
        problems = []
        url = urlsplit(self.public_base_url)
        if url.scheme != "https" or not _is_public_host(url.hostname or ""):
            problems.append(
                "PUBLIC_BASE_URL must be an https address that recipients can reach: "
                "the unsubscribe link needs it."
            )
        if not self.postal_address:
            problems.append("POSTAL_ADDRESS must be set: every mail has to show it.")
        return problems

    @classmethod
    def from_env(cls, env: Mapping[str, str], *, root: Path = ROOT) -> Settings:
        """Parse an environment; raises ConfigError with every problem that was found."""
        return _Parser(env, root).settings()


def _is_public_host(host: str) -> bool:
    if not host or host == "localhost" or "." not in host or host.endswith((".local", ".test")):
        return False
    try:
        return ip_address(host).is_global
    except ValueError:
        return True


class _Parser(EnvironmentReader):
    """Settings from an environment, with what is wrong between them."""

    def __init__(self, env: Mapping[str, str], root: Path) -> None:
        super().__init__(env, lambda path: Path(path).read_text(encoding="utf-8"))
        self.root = root

    def settings(self) -> Settings:
        port = self.whole("PORT", 5000, 1, 65535)
        simulator_port = self.whole("SIMULATOR_PORT", min(port + 1, 65535), 1, 65535)
        backend = self.choice("EMAIL_BACKEND", EmailBackend, EmailBackend.SES)
        values = Settings(
            **self._sending(),
            secret_key=self._secret_key(),
            database_url=self._database_url(),
            instance_dir=self.root / "instance",
            flask_env=self._flask_env(),
            port=port,
            trusted_proxies=self.whole("TRUSTED_PROXIES", 0, 0, 10),
            aws_access_key_id=self.text("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=self.text("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=self.text("AWS_SESSION_TOKEN"),
            aws_profile=self.text("AWS_PROFILE"),
            aws_region=self._region(),
            aws_endpoint_url=self.url("AWS_ENDPOINT_URL"),
            email_backend=backend,
            simulator_port=simulator_port,
            sender_email=self._sender(backend),
            sender_name=self.text("SENDER_NAME"),
            reply_to=self.address("REPLY_TO"),
            postal_address=self.text("POSTAL_ADDRESS").replace("\\n", "\n"),
            public_base_url=self.url("PUBLIC_BASE_URL"),
            ses_configuration_set=self._configuration_set(backend),
            sns_topic_arn=self._topics(),
            sqs_queue_url=self._queue_url(backend, simulator_port),
            sns_cert_dir=self.folder("SNS_CERT_DIR"),
            sns_max_age_seconds=self.whole("SNS_MAX_AGE_SECONDS", 4500, 0),
            disable_tracking_threshold=self.whole("DISABLE_TRACKING_THRESHOLD", 100, 0),
            notifications_per_second=self.number("NOTIFICATIONS_PER_SECOND", 10.0, 0),
            raw_event_days=self.whole("RAW_EVENT_DAYS", 30, 0),
            raw_critical_event_days=self.whole("RAW_CRITICAL_EVENT_DAYS", 400, 0),
            scheduler=self.choice("SCHEDULER", SchedulerMode, SchedulerMode.EMBEDDED),
            admin_email=self.address("ADMIN_EMAIL"),
            admin_password=self.text("ADMIN_PASSWORD"),
            metrics_token=self.text("METRICS_TOKEN"),
        )
        self._check_together(values)
        if self.problems:
            raise ConfigError(self.problems)
        return values

    def _sending(self) -> dict[str, Any]:
        """How fast, through which call, and what stops it."""
        return {
            "ses_send_api": self.choice("SES_SEND_API", SendApi, SendApi.SINGLE),
            "ses_bulk_calls_per_second": self.number("SES_BULK_CALLS_PER_SECOND", 1.0, 0.01),
            "max_emails_per_second": self.number("MAX_EMAILS_PER_SECOND", 10.0, 0.01, 100_000),
            "ses_quota_reserve_percent": self.number("SES_QUOTA_RESERVE_PERCENT", 10.0, 0, 95),
            "senders": self.whole("SENDERS", min(2, os.cpu_count() or 1), 1, 64),
            "send_events": self.choice("SEND_EVENTS", SendEvents, SendEvents.AUTO),
            "claim_lease_seconds": self.whole("CLAIM_LEASE_SECONDS", 60, 20, 3600),
            "in_doubt_policy": self.choice("IN_DOUBT_POLICY", InDoubtPolicy, InDoubtPolicy.HOLD),
            "in_doubt_grace_seconds": self.whole("IN_DOUBT_GRACE_SECONDS", 3600, 0),
            "pause_at_bounce_percent": self.number("PAUSE_AT_BOUNCE_PERCENT", 5.0, 0, 100),
            "pause_at_complaint_percent": self.number("PAUSE_AT_COMPLAINT_PERCENT", 0.1, 0, 100),
        }

    def _check_together(self, values: Settings) -> None:
        if values.simulator_port == values.port:
            self.problems.append("SIMULATOR_PORT and PORT are the same: give one another number.")
        if bool(values.aws_access_key_id) != bool(values.aws_secret_access_key):
            self.problems.append(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together: set both or neither."
            )
        if bool(values.admin_email) != bool(values.admin_password):
            self.problems.append("ADMIN_EMAIL and ADMIN_PASSWORD belong together.")

    def _secret_key(self) -> str:
        key = self.text("SECRET_KEY")
        if key.lower() in _WEAK_KEYS or len(key) < 16:
            self.problems.append(
                "SECRET_KEY: must be a random text of at least 16 characters. Make one with: "
                "python -c 'import secrets; print(secrets.token_hex(32))'"
            )
        return key

    def _flask_env(self) -> str:
        value = self.text("FLASK_ENV", "production").lower()
        if value not in ("development", "production", "testing"):
            self.problems.append(
                f"FLASK_ENV={value}: must be one of development, production, testing."
            )
        return value

    def _database_url(self) -> str:
        url = self.text("DATABASE_URL", _DEFAULT_DATABASE)
        if not re.match(r"(sqlite|postgres(ql)?(\+psycopg)?)://", url):
            self.problems.append(
                "DATABASE_URL: must begin with sqlite:/// or postgresql:// "
                "(for example postgresql://user:password@host/database)."
            )
            return url
        if url.startswith("postgres://"):
            return "postgresql://" + url.removeprefix("postgres://")
        path = url.removeprefix("sqlite:///")
        if path != url and not path.startswith("/") and path not in ("", ":memory:"):
            return f"sqlite:///{self.root / path}"  # the same file from whichever folder
        return url

    def _region(self) -> str:
        raw = self.text("AWS_REGION") or self.text("AWS_DEFAULT_REGION", "us-east-1")
        if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", raw):
            self.problems.append(f"AWS_REGION={raw}: is no AWS region (for example eu-central-1).")
        return raw

    def _sender(self, backend: EmailBackend) -> str:
        sender = self.address("SENDER_EMAIL")
        return SIMULATOR_SENDER if not sender and backend is EmailBackend.SIMULATOR else sender

    def _queue_url(self, backend: EmailBackend, simulator_port: int) -> str:
        """The event queue; the simulator's own unless another local one is named.

        `none` switches the queue off, also with the simulator (the webhook alone).
        """
        raw = self.text("SQS_QUEUE_URL")
        if raw.lower() == "none":
            return ""
        url = self.url("SQS_QUEUE_URL")
        if backend is EmailBackend.SIMULATOR and urlsplit(url).hostname not in _LOOPBACK:
            return f"http://127.0.0.1:{simulator_port}/{SIMULATOR_ACCOUNT}/{SIMULATOR_QUEUE}"
        return url

    def _configuration_set(self, backend: EmailBackend) -> str:
        raw = self.text("SES_CONFIGURATION_SET")
        if not raw and backend is EmailBackend.SIMULATOR:
            return SIMULATOR_CONFIGURATION_SET
        if raw and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", raw):
            self.problems.append(
                f"SES_CONFIGURATION_SET={raw}: letters, digits, - and _ only, 64 at most."
            )
        return raw

    def _topics(self) -> tuple[str, ...]:
        topics = tuple(t.strip() for t in self.text("SNS_TOPIC_ARN").split(",") if t.strip())
        for topic in topics:
            if not re.fullmatch(
                r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}", topic
            ):
                self.problems.append(f"SNS_TOPIC_ARN: {topic} is no ARN of a standard SNS topic.")
        return topics

    def folder(self, name: str) -> str:
        """A folder that exists, or nothing."""
        raw = self.text(name)
        if raw and not Path(raw).is_dir():
            self.problems.append(f"{name}={raw}: there is no such folder.")
        return raw


def environment(root: Path = ROOT, real: Mapping[str, str] | None = None) -> dict[str, str]:
    """The merged environment: `.env`, then `.env.<FLASK_ENV>`, then the real one on top.

    The flask command puts `.env` into os.environ before us; a value that is there only
    because of that must not beat `.env.production`, so values equal to `.env`'s own yield.
    """
    outer = dict(os.environ if real is None else real)
    base = _read(root / ".env")
    flask_env = outer.get("FLASK_ENV") or base.get("FLASK_ENV") or "production"
    special = _read(root / f".env.{flask_env}")
    truly_outer = {
        name: value
        for name, value in outer.items()
        if not (name in special and base.get(name) == value)
    }
    return {**base, **special, **truly_outer}


def _read(path: Path) -> dict[str, str]:
    return {name: value or "" for name, value in dotenv_values(path).items()}


def load_settings(
    root: Path = ROOT, read: Callable[[Path], dict[str, str]] = environment
) -> Settings:
    """Settings of this checkout; raises ConfigError."""
    env = read(root)
    local = env.get("EMAIL_BACKEND", "").strip().lower() == EmailBackend.SIMULATOR
    if local and not env.get("SECRET_KEY") and not env.get("SECRET_KEY_FILE"):
        env = {**env, "SECRET_KEY": _local_key(root / "instance" / "secret_key")}
    return Settings.from_env(env, root=root)


def _local_key(path: Path) -> str:
    """The key of an installation that only tries the simulator: made once, kept in a file.

    Empty where no file can be written; the settings then ask for a key.
    """
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            own = path.with_name(f"{path.name}.{os.getpid()}")
            own.touch(mode=0o600)
            own.write_text(secrets.token_hex(32), encoding="utf-8")
            try:
                os.link(own, path)  # whoever is first wins, and nobody reads half a key
            finally:
                own.unlink()
        return path.read_text(encoding="utf-8").strip()
    return ""
