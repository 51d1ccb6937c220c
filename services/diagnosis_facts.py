"""What the diagnosis looks at, and the form of its findings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from aws.account import AccountFacts, IdentityFacts
from aws.clients import MailDestination
from aws.topology import Topology
from config import Settings


class Level(Enum):
    """How a check ended."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the diagnosis; `next_step` says what to do where the level is not OK."""

    number: int
    name: str
    level: Level
    finding: str
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What the database says; `error` if it says nothing."""

    error: str | None = None
    schema_version: str | None = None
    needed_version: str = ""
    scheduler_age: float | None = None  # seconds
    last_sent_at: datetime | None = None
    last_event_at: datetime | None = None
    last_event_door: str | None = None
    notices: tuple[tuple[str, str], ...] = ()  # severity, text

    @property
    def readable(self) -> bool:
        """Whether its tables can be read by this version."""
        return self.error is None and self.schema_version == self.needed_version


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the checks look at. What could not be asked is None."""

    settings: Settings
    now: datetime
    destination: MailDestination
    database: DatabaseFacts
    credentials: str | None  # where they come from
    aws_error: str | None = None  # no client could be made
    account: AccountFacts | None = None
    identity: IdentityFacts | None = None
    topology: Topology | None = None


#: Level, what was found, what to do.
Finding = tuple[Level, str, str]


def ok(finding: str) -> Finding:
    """All is well."""
    return Level.OK, finding, ""


def warn(finding: str, step: str) -> Finding:
    """It works, but not as it should, or could not be looked at."""
    return Level.WARN, finding, step


def fail(finding: str, step: str) -> Finding:
    """It does not work until somebody does something."""
    return Level.FAIL, finding, step


#: For a check whose facts could not be read.
NOT_ASKED = warn("Not checked: AWS gave no answer above.", "Mend the checks above first.")
