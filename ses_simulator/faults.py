"""What can be made to go wrong, as plain data: set from Python or as JSON under `/_sim/faults`.

A fault of sending is a `Rule`: it fires on every n-th send call, on a share of them, at most so
often, or for addresses that contain a text. Everything is off until it is set.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Rule:
    """When a fault of sending fires. `every` 0 and `share` 0 without `match` mean never."""

    every: int = 0
    """Fires on every n-th send call."""
    share: float = 0.0
    """Fires on this share of the calls, 0 to 1, by a seeded random number."""
    match: str = ""
    """Only for calls with a recipient that contains this; alone it means all of those."""
    count: int | None = None
    """Fires at most this often; None is without end."""
    status: str = ""
    """HTTP status of a server error, error code of a refusal or throttle, status of an entry."""
    seconds: float = 30.0
    """How long a time-out holds the connection before it is closed."""
    calls: int = 0
    fired: int = 0

    def fires(self, addresses: Sequence[str], random_number: random.Random) -> bool:
        """Whether the fault strikes this call; counts the call."""
        if not (self.every or self.share or self.match):
            return False
        if self.match and not any(self.match in address for address in addresses):
            return False
        if self.count is not None and self.fired >= self.count:
            return False
        self.calls += 1
        struck = (
            (self.every > 0 and self.calls % self.every == 0)
            or (self.share > 0 and random_number.random() < self.share)
            or not (self.every or self.share)
        )
        self.fired += struck
        return struck


@dataclass(slots=True)
class Faults:
    """Every switch. Rules are about send calls, the rest about the account, events, webhooks."""

    # Before acceptance: the mail was not taken
    drop_before: Rule = field(default_factory=Rule)
    timeout_before: Rule = field(default_factory=Rule)
    server_error: Rule = field(default_factory=Rule)
    throttle: Rule = field(default_factory=Rule)
    daily_quota_exceeded: Rule = field(default_factory=Rule)
    refuse: Rule = field(default_factory=Rule)
    entry_error: Rule = field(default_factory=Rule)
    """Per entry of a bulk call; `status` is the entry's status (TRANSIENT_FAILURE)."""

    # After acceptance: the mail is in the outbox, the client does not learn it
    drop_after: Rule = field(default_factory=Rule)
    timeout_after: Rule = field(default_factory=Rule)
    server_error_after: Rule = field(default_factory=Rule)
    garbled_after: Rule = field(default_factory=Rule)
    """Answers 200 with half a JSON document."""

    latency_ms: float = 0.0
    """Every send call is answered this much later."""
    unreachable: bool = False
    """Every AWS call finds its connection closed."""

    # The account
    max_send_rate: float | None = None
    daily_quota: float | None = None
    quota_used: float = 0.0
    """Mails that other senders of the account sent in the last 24 hours."""
    bulk_calls_per_second: float = 0.0
    """SendBulkEmail calls allowed per second; 0 is without limit."""
    sandbox: bool = False
    paused: bool = False
    suspended: bool = False
    probation: bool = False
    unverified: list[str] = field(default_factory=list)
    """Identities (address or domain) that are not verified; `*` is every one."""
    deny: list[str] = field(default_factory=list)
    """Operations answered with AccessDenied, such as GetAccount; `*` is every one."""
    expired_credentials: bool = False

    # Events
    without_send: bool = False
    """Configuration sets do not publish Send, and say so when read."""
    lose_events: float = 0.0
    lose_kinds: list[str] = field(default_factory=list)
    duplicate_events: float = 0.0
    delay_events: float = 0.0
    """Seconds added to every event."""
    reorder_events: float = 0.0
    """Up to so many seconds are added to each event at random."""
    event_before_response: float = 0.0
    """The Send event goes out at once and the answer to the call comes this many seconds later."""
    legacy_notifications: bool = False
    """Bounces, complaints and deliveries also come in the form of identity topics."""

    webhook_down: bool = False
    """HTTP deliveries fail as if nobody listened, and are discarded after the retries."""

    def clear(self) -> None:
        """Everything off."""
        self.replace({})

    def replace(self, values: Mapping[str, Any]) -> None:
        """Exactly these are set. Raises ValueError for a name or value that does not fit."""
        parsed = parse(values)
        blank = Faults()
        for item in fields(self):
            setattr(self, item.name, parsed.get(item.name, getattr(blank, item.name)))

    def update(self, values: Mapping[str, Any]) -> None:
        """These are set, the others stay. Raises ValueError as `replace`."""
        for name, value in parse(values).items():
            setattr(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """Every switch with its value."""
        return asdict(self)


def parse(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by field name, of the right type; a rule may be a Rule or a JSON object."""
    blank = Faults()
    known = {item.name: getattr(blank, item.name) for item in fields(Faults)}
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f"there is no fault named {name}: {', '.join(sorted(known))}")
        parsed[name] = _parse_value(name, known[name], value)
    return parsed


def _parse_value(name: str, blank: Any, value: Any) -> Any:
    if isinstance(blank, Rule):
        return _parse_rule(name, value)
    if isinstance(blank, bool):
        fits = isinstance(value, bool)
    elif isinstance(blank, list):
        fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
    else:
        fits = (value is None and blank is None) or _is_number(value)
    if not fits:
        raise ValueError(f"{name} cannot be {value!r}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parse_rule(name: str, value: Any) -> Rule:
    if isinstance(value, Rule):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} needs an object such as {{'every': 10}}")
    unknown = set(value) - {item.name for item in fields(Rule)}
    if unknown:
        raise ValueError(f"{name} knows no {', '.join(sorted(unknown))}")
    rule = Rule(**{**value, "calls": 0, "fired": 0})
    rule.status = str(rule.status)
    return rule
