"""The suppression list of the SES account: read page by page, written entry by entry, at the pace
that AWS allows.

SES grants its API one call a second, sending aside (Developer Guide, "Service quotas"); who is
told to slow down waits and tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from aws.clients import why_not

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

SECONDS_APART = 1.0
_PAGE = 1_000
_THROTTLED = ("TooManyRequestsException", "ThrottlingException", "Throttling")
_FIRST_WAIT, _TRIES = 2.0, 6


class AccountListProblem(Exception):
    """Why the account's list cannot be used, as one sentence for a person."""


class EntryRefused(Exception):
    """SES does not take this one address, with its words."""


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An address on the account's list; `reason` is BOUNCE or COMPLAINT."""

    address: str
    reason: str
    listed_at: datetime


class AccountList:
    """The list behind a client. `seconds_apart` keeps its calls at least so far from each other."""

    def __init__(
        self,
        ses: SESV2Client,
        *,
        seconds_apart: float = SECONDS_APART,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ses = ses
        self._apart = seconds_apart
        self._sleep = sleep
        self._clock = clock
        self._next = 0.0

    def pages(self) -> Iterator[list[AccountEntry]]:
        """All entries in pages of up to 1,000; raises AccountListProblem."""
        token: str | None = None
        while True:
            asked: dict[str, Any] = {"PageSize": _PAGE} | ({"NextToken": token} if token else {})
            answer: dict[str, Any] = self._call(
                "ListSuppressedDestinations",
                partial(self._ses.list_suppressed_destinations, **asked),
            )
            yield [
                AccountEntry(one["EmailAddress"], one["Reason"], _utc(one["LastUpdateTime"]))
                for one in answer.get("SuppressedDestinationSummaries", ())
            ]
            token = answer.get("NextToken")
            if not token:
                return

    def put(self, address: str, reason: str) -> None:
        """Add an address; once more changes nothing. Raises EntryRefused, AccountListProblem."""
        self._call(
            "PutSuppressedDestination",
            partial(
                self._ses.put_suppressed_destination,
                EmailAddress=address,
                Reason=reason,  # type: ignore[arg-type]
            ),
        )

    def _call(self, operation: str, call: Callable[[], Any]) -> Any:
        wait = _FIRST_WAIT
        for _ in range(_TRIES):
            self._sleep(max(0.0, self._next - self._clock()))
            self._next = self._clock() + self._apart
            try:
                return call()
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code not in _THROTTLED:
                    raise _problem(operation, code, error) from error
            except BotoCoreError as error:
                raise AccountListProblem(why_not(error)) from error
            self._next += wait
            wait *= 2
        raise AccountListProblem(
            "SES kept saying that there are too many calls. Try again later: what was done stays."
        )


def _problem(operation: str, code: str, error: ClientError) -> Exception:
    if code.startswith("AccessDenied"):
        return AccountListProblem(
            f"AWS does not allow it: give this user or role the right ses:{operation} "
            "(the policy in the README has it)."
        )
    if code == "BadRequestException" and operation == "PutSuppressedDestination":
        return EntryRefused(why_not(error))
    return AccountListProblem(why_not(error))


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)
