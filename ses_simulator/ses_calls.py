"""What the operations of the SESv2 API have in common: their calls, their routes, paging."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ses_simulator.aws_errors import AwsError
from ses_simulator.regions import Region


@dataclass(slots=True)
class Call:
    """One call: its region, path parameters in order, query and body."""

    region: Region
    path: tuple[str, ...]
    query: dict[str, list[str]] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)

    def first(self, name: str, default: str = "") -> str:
        """A query parameter."""
        return self.query.get(name, [default])[0]


Operation = Callable[[Call], dict[str, Any]]
Route = tuple[str, str, str, Operation]
"""Method, pattern of the path below /v2/email, name of the operation, what answers it."""
ONE = r"([^/]+)"


def not_found(what: str) -> AwsError:
    """NotFoundException."""
    return AwsError("NotFoundException", what, 404)


def page(names: list[str], token: str, size: int) -> tuple[list[str], dict[str, str]]:
    """Names after `token`, at most `size`, and the NextToken member if there are more."""
    rest = sorted(name for name in names if name > token)
    return rest[:size], {"NextToken": rest[size - 1]} if len(rest) > size else {}
