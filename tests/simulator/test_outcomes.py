"""What an address means: the named ones exactly, the ordinary ones in the right proportions."""

from __future__ import annotations

from collections import Counter

import pytest

from ses_simulator.outcomes import Kind, Mix, Step, plan


def kinds(steps: tuple[Step, ...]) -> list[str]:
    return [f"{step.kind} {step.detail}".strip() for step in steps]


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("success", ["Delivery"]),
        ("bounce", ["Bounce Permanent/General"]),
        ("complaint", ["Delivery", "Complaint abuse"]),
        ("ooto", ["Delivery"]),
        ("suppressionlist", ["Bounce Permanent/Suppressed"]),
        ("softbounce", ["DeliveryDelay TransientCommunicationFailure", "Bounce Transient/General"]),
        (
            "softbounce+mailboxfull",
            ["DeliveryDelay MailboxFull", "Bounce Transient/MailboxFull"],
        ),
        (
            "softbounce+messagetoolarge-7",
            ["DeliveryDelay TransientCommunicationFailure", "Bounce Transient/MessageTooLarge"],
        ),
        ("undetermined", ["Bounce Undetermined/Undetermined"]),
        ("delay", ["DeliveryDelay", "Delivery"]),
        ("reject", ["Reject"]),
        ("open", ["Delivery", "Open"]),
        ("machineopen", ["Delivery", "Open machine"]),
        ("click", ["Delivery", "Open", "Click"]),
        ("autoreply", ["Delivery", "Bounce Transient/General"]),
        ("notspam", ["Delivery", "Complaint not-spam"]),
        ("unsubscribe", ["Delivery", "one-click unsubscribe"]),
        ("silent", []),
        ("anything-else", ["Bounce Permanent/NoEmail"]),
    ],
)
def test_simulator_addresses_do_what_they_say(local: str, expected: list[str]) -> None:
    everything_bounces = Mix(bounce=1.0)
    for address in (local, local.upper(), local if "+" in local else f"{local}+label-3"):
        steps = plan(f"{address}@simulator.amazonses.com", everything_bounces)
        assert kinds(steps) == expected


def test_steps_are_in_order_of_time() -> None:
    for number in range(3000):
        delays = [step.delay for step in plan(f"reader{number}@example.org", Mix())]
        assert delays == sorted(delays)
        assert all(delay > 0 for delay in delays)


def test_an_ordinary_address_always_has_the_same_outcome() -> None:
    for number in range(200):
        once = plan(f"reader{number}@example.org", Mix())
        assert once == plan(f"READER{number}@example.org", Mix())


def test_ordinary_addresses_come_in_the_proportions_of_the_mix() -> None:
    mix = Mix(
        bounce=0.10,
        soft_bounce=0.05,
        undetermined=0.02,
        delay=0.10,
        silent=0.03,
        reject=0.02,
        complaint=0.02,
        auto_reply=0.03,
        open=0.30,
        unsubscribe=0.05,
        click=0.10,
        machine_open=0.07,
    )
    count = 40_000
    seen: Counter[str] = Counter()
    for number in range(count):
        steps = plan(f"reader{number}@example.org", mix)
        words = kinds(steps)
        seen.update({word.partition(" ")[0] for word in words})
        seen["silent"] += not words
        seen["machine"] += "Open machine" in words
        seen["auto"] += "Delivery" in words and "Bounce Transient/General" in words
        seen["hard"] += any(word.startswith("Bounce Permanent") for word in words)
    delivered = 1 - mix.bounce - mix.soft_bounce - mix.undetermined - mix.silent - mix.reject
    expected = {
        "Delivery": delivered,
        "hard": mix.bounce,
        "DeliveryDelay": mix.delay + mix.soft_bounce,
        "silent": mix.silent,
        "Reject": mix.reject,
        "Complaint": mix.complaint * delivered,
        "auto": mix.auto_reply * delivered,
        "Open": (mix.open + mix.machine_open) * delivered,
        "machine": mix.machine_open * delivered,
        "Click": mix.click * delivered,
        "one-click": mix.unsubscribe * delivered,
    }
    for name, share in expected.items():
        assert seen[name] / count == pytest.approx(share, abs=0.006), name


def test_default_mix_is_a_healthy_list() -> None:
    seen: Counter[Kind] = Counter()
    for number in range(20_000):
        seen.update({step.kind for step in plan(f"reader{number}@example.org", Mix())})
    assert 0.96 < seen[Kind.DELIVERY] / 20_000 < 0.99
    assert seen[Kind.COMPLAINT] / 20_000 < 0.001
    assert 0.30 < seen[Kind.OPEN] / 20_000 < 0.38


def test_mix_is_read_from_words() -> None:
    assert Mix.parse("bounce=0.5, open=0") == Mix(bounce=0.5, open=0.0)
    with pytest.raises(ValueError, match="no outcome is called bounces"):
        Mix.parse("bounces=1")


def test_nobody_does_anything_when_all_is_only_delivered() -> None:
    for number in range(500):
        assert kinds(plan(f"reader{number}@example.org", Mix.all_delivered())) == ["Delivery"]
