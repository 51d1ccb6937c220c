"""What becomes of a mail, by its recipient's address: a list of steps with their delays.

Addresses at simulator.amazonses.com do what their local part says; a `+label` may follow.
As the mailbox simulator of SES has them:

- `success`: Send, Delivery
- `bounce`: Send, Bounce Permanent/General (5.1.1)
- `complaint`: Send, Delivery, Complaint (abuse)
- `ooto`: Send, Delivery (the automatic reply goes to the Return-Path, no event tells of it)
- `suppressionlist`: Send, Bounce Permanent/Suppressed

Further ones, which only this stand-in has:

- `softbounce`: Send, DeliveryDelay, Bounce Transient/General; the label may name another
  sub-type: `softbounce+mailboxfull`, `+messagetoolarge`, `+contentrejected`,
  `+attachmentrejected`
- `undetermined`: Send, Bounce Undetermined/Undetermined
- `delay`: Send, DeliveryDelay, Delivery
- `reject`: Send, Reject (bad content)
- `open`, `click`: Send, Delivery, Open (and Click)
- `machineopen`: Send, Delivery, Open by a machine
- `autoreply`: Send, Delivery, Bounce Transient/General, as SES reports out-of-office replies
- `notspam`: Send, Delivery, Complaint with feedback type not-spam
- `unsubscribe`: Send, Delivery, then the one-click POST of RFC 8058 on its List-Unsubscribe URL
- `silent`: Send and nothing more

Any other address gets an outcome from `Mix`, the same one each time, by a hash of the address.
Delays are seconds at event speed 1, scaled down from the hours that real mail servers take.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

SIMULATOR_DOMAIN: Final = "simulator.amazonses.com"


class Kind(StrEnum):
    """What happens, spelled as in `eventType`."""

    SEND = "Send"
    DELIVERY = "Delivery"
    BOUNCE = "Bounce"
    COMPLAINT = "Complaint"
    REJECT = "Reject"
    OPEN = "Open"
    CLICK = "Click"
    RENDERING_FAILURE = "Rendering Failure"
    DELIVERY_DELAY = "DeliveryDelay"
    SUBSCRIPTION = "Subscription"
    UNSUBSCRIBE = "one-click unsubscribe"
    """No event: the recipient's mail program posts to the List-Unsubscribe URL."""


# MatchingEventTypes of an event destination spell the same kinds otherwise.
API_NAMES: Final = {
    Kind.SEND: "SEND",
    Kind.DELIVERY: "DELIVERY",
    Kind.BOUNCE: "BOUNCE",
    Kind.COMPLAINT: "COMPLAINT",
    Kind.REJECT: "REJECT",
    Kind.OPEN: "OPEN",
    Kind.CLICK: "CLICK",
    Kind.RENDERING_FAILURE: "RENDERING_FAILURE",
    Kind.DELIVERY_DELAY: "DELIVERY_DELAY",
    Kind.SUBSCRIPTION: "SUBSCRIPTION",
}


class Step(NamedTuple):
    """One thing that happens `delay` seconds after acceptance; `detail` is its sub-type."""

    kind: Kind
    delay: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of ordinary addresses (0 to 1). What is left over is delivered at once.

    The first group excludes each other; the second happens to delivered mail beside it.
    """

    bounce: float = 0.012
    soft_bounce: float = 0.008
    undetermined: float = 0.001
    delay: float = 0.015
    silent: float = 0.0
    reject: float = 0.0

    complaint: float = 0.0005
    auto_reply: float = 0.004
    open: float = 0.28
    """Opened by a person."""
    unsubscribe: float = 0.002
    """Opened, then unsubscribed by one click; part of `open`."""
    machine_open: float = 0.07
    """Opened by a machine, within a second or two of delivery."""
    click: float = 0.05
    """Opened and clicked by a person; part of `open`."""

    @classmethod
    def all_delivered(cls) -> Mix:
        """Every ordinary address gets its mail and does nothing with it."""
        return cls(**{item.name: 0.0 for item in fields(cls)})

    @classmethod
    def parse(cls, text: str) -> Mix:
        """From `bounce=0.05,open=0.5`; raises ValueError for other words."""
        values = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name.strip() not in {item.name for item in fields(cls)}:
                raise ValueError(f"no outcome is called {name.strip()}")
            values[name.strip()] = float(value)
        return cls(**values)


def local_and_label(address: str) -> tuple[str, str]:
    """Local part before the first `+` and the label after it, both in lower case."""
    local = address.rpartition("@")[0].lower()
    name, _, label = local.partition("+")
    return name, label


def is_simulator_address(address: str) -> bool:
    """Whether the local part decides."""
    return address.lower().endswith("@" + SIMULATOR_DOMAIN)


def plan(address: str, mix: Mix) -> tuple[Step, ...]:
    """The steps after Send for one recipient, in order of time."""
    if is_simulator_address(address):
        name, label = local_and_label(address)
        return _named(name, label)
    return _mixed(_numbers(address), mix)


_SOFT_TYPES: Final = {
    "general": "General",
    "mailboxfull": "MailboxFull",
    "messagetoolarge": "MessageTooLarge",
    "contentrejected": "ContentRejected",
    "attachmentrejected": "AttachmentRejected",
}

_DELIVERED: Final = Step(Kind.DELIVERY, 0.4)
_SCRIPTS: Final[dict[str, tuple[Step, ...]]] = {
    "success": (_DELIVERED,),
    "ooto": (_DELIVERED,),
    "bounce": (Step(Kind.BOUNCE, 0.5, "Permanent/General"),),
    "suppressionlist": (Step(Kind.BOUNCE, 0.3, "Permanent/Suppressed"),),
    "complaint": (_DELIVERED, Step(Kind.COMPLAINT, 1.2, "abuse")),
    "notspam": (_DELIVERED, Step(Kind.COMPLAINT, 1.2, "not-spam")),
    "undetermined": (Step(Kind.BOUNCE, 0.8, "Undetermined/Undetermined"),),
    "delay": (Step(Kind.DELIVERY_DELAY, 0.8), Step(Kind.DELIVERY, 3.0)),
    "reject": (Step(Kind.REJECT, 0.3),),
    "open": (_DELIVERED, Step(Kind.OPEN, 1.5)),
    "machineopen": (_DELIVERED, Step(Kind.OPEN, 0.7, "machine")),
    "click": (_DELIVERED, Step(Kind.OPEN, 1.5), Step(Kind.CLICK, 2.0)),
    "autoreply": (_DELIVERED, Step(Kind.BOUNCE, 1.0, "Transient/General")),
    "unsubscribe": (_DELIVERED, Step(Kind.UNSUBSCRIBE, 1.5)),
    "silent": (),
}


@lru_cache(maxsize=256)
def _named(name: str, label: str) -> tuple[Step, ...]:
    if name == "softbounce":
        first_word = label.partition("-")[0]
        subtype = _SOFT_TYPES.get(first_word, "General")
        delay_type = "MailboxFull" if subtype == "MailboxFull" else "TransientCommunicationFailure"
        return (
            Step(Kind.DELIVERY_DELAY, 0.8, delay_type),
            Step(Kind.BOUNCE, 2.5, f"Transient/{subtype}"),
        )
    return _SCRIPTS.get(name, (Step(Kind.BOUNCE, 0.5, "Permanent/NoEmail"),))


def _numbers(address: str) -> tuple[float, float, float, float]:
    """Four numbers in [0, 1) that belong to an address."""
    digest = hashlib.blake2b(address.lower().encode(), digest_size=16).digest()
    scale = 2.0**-32
    return (
        int.from_bytes(digest[0:4]) * scale,
        int.from_bytes(digest[4:8]) * scale,
        int.from_bytes(digest[8:12]) * scale,
        int.from_bytes(digest[12:16]) * scale,
    )


def _mixed(numbers: tuple[float, float, float, float], mix: Mix) -> tuple[Step, ...]:
    fate, pace, mood, kind = numbers
    arrival = 0.2 + 1.8 * pace
    fate -= mix.bounce
    if fate < 0:
        subtype = ("NoEmail", "General", "General", "Suppressed")[int(kind * 4)]
        return (Step(Kind.BOUNCE, arrival, f"Permanent/{subtype}"),)
    fate -= mix.soft_bounce
    if fate < 0:
        subtype = ("General", "MailboxFull", "MailboxFull", "ContentRejected")[int(kind * 4)]
        delay_type = "MailboxFull" if subtype == "MailboxFull" else "TransientCommunicationFailure"
        return (
            Step(Kind.DELIVERY_DELAY, arrival, delay_type),
            Step(Kind.BOUNCE, arrival + 3 + 4 * kind, f"Transient/{subtype}"),
        )
    fate -= mix.undetermined
    if fate < 0:
        return (Step(Kind.BOUNCE, arrival, "Undetermined/Undetermined"),)
    fate -= mix.silent
    if fate < 0:
        return ()
    fate -= mix.reject
    if fate < 0:
        return (Step(Kind.REJECT, arrival),)
    fate -= mix.delay
    if fate < 0:
        late = arrival + 2 + 6 * kind
        return (
            Step(Kind.DELIVERY_DELAY, arrival, "TransientCommunicationFailure"),
            *_delivered(late, mood, kind, mix),
        )
    return _delivered(arrival, mood, kind, mix)


def _delivered(at: float, mood: float, kind: float, mix: Mix) -> tuple[Step, ...]:
    """Delivery and what the reader does then; mood chooses one reaction."""
    delivery = Step(Kind.DELIVERY, at)
    mood -= mix.complaint
    if mood < 0:
        return (delivery, Step(Kind.COMPLAINT, at + 1 + 9 * kind, "abuse"))
    mood -= mix.auto_reply
    if mood < 0:
        return (delivery, Step(Kind.BOUNCE, at + 0.5, "Transient/General"))
    mood -= mix.machine_open
    if mood < 0:
        return (delivery, Step(Kind.OPEN, at + 0.2 + kind, "machine"))
    mood -= mix.open
    if mood >= 0:
        return (delivery,)
    # A reader: mood is now below zero by a number between 0 and the share of readers.
    reading = Step(Kind.OPEN, at + 1 + 9 * kind)
    if mood + mix.unsubscribe > 0:
        return (delivery, reading, Step(Kind.UNSUBSCRIBE, reading.delay + 1))
    if mood + mix.unsubscribe + mix.click > 0:
        return (delivery, reading, Step(Kind.CLICK, reading.delay + 2 * kind))
    return (delivery, reading)
