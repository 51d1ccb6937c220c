"""The sample campaign: everybody once, every outcome, and below the limits of the guard."""

from __future__ import annotations

from collections import Counter

from launcher.demo import RECIPIENTS, recipients
from ses_simulator.outcomes import Kind, Mix, plan


def test_sample_has_everybody_once() -> None:
    addresses = [address for address, _, _ in recipients()]
    assert len(addresses) == len({address.lower() for address in addresses}) == RECIPIENTS


def test_sample_shows_every_outcome_without_being_paused() -> None:
    kinds: Counter[str] = Counter()
    for address, _, _ in recipients():
        kinds.update({f"{step.kind.value} {step.detail}".strip() for step in plan(address, Mix())})
    hard = sum(count for kind, count in kinds.items() if kind.startswith("Bounce Permanent"))
    assert 0 < hard < RECIPIENTS * 0.04
    assert 0 < kinds["Complaint abuse"] < 3
    for kind in (Kind.DELIVERY, Kind.OPEN, Kind.CLICK, Kind.UNSUBSCRIBE, Kind.REJECT):
        assert kinds[kind.value], kind
    assert any(kind.startswith("DeliveryDelay") for kind in kinds)
    assert kinds["Bounce Transient/MailboxFull"]
    assert kinds["Open machine"]
