"""The mails that were accepted: the newest whole, of all of them addresses, counts and times.

A mail keeps what events need; its body stays in the request it came with, and requests are
compressed by the block, where likeness between mails makes them small.
"""

from __future__ import annotations

import zlib
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

BLOCK_BYTES: Final = 262_144
BLOCK_ITEMS: Final = 64


class Block:
    """Request bodies, compressed together once the block is full."""

    __slots__ = ("_ends", "_open", "_sealed", "_size")

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._sealed = b""
        self._ends: list[int] = []
        self._size = 0

    @property
    def full(self) -> bool:
        """Whether the next body belongs to another block."""
        return self._size >= BLOCK_BYTES or len(self._ends) >= BLOCK_ITEMS

    def add(self, body: bytes) -> int:
        """The place of the body in this block."""
        self._open.append(body)
        self._size += len(body)
        self._ends.append(self._size)
        if self.full:
            self._sealed = zlib.compress(b"".join(self._open), 1)
            self._open = []
        return len(self._ends) - 1

    def get(self, place: int) -> bytes:
        """The body at a place."""
        if not self.full:
            return self._open[place]
        start = self._ends[place - 1] if place else 0
        return zlib.decompress(self._sealed)[start : self._ends[place]]


@dataclass(slots=True, eq=False)
class Mail:
    """One accepted message. Times are epoch seconds; `entry` is its place in a bulk call."""

    received: float
    region: str
    message_id: str
    operation: str
    source: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    reply_to: tuple[str, ...]
    subject: str
    headers: tuple[tuple[str, str], ...]
    content_type: str
    tags: dict[str, str]
    configuration_set: str
    block: Block
    place: int
    entry: int = 0
    sequence: int = 0
    state: str = "Accepted"
    history: list[tuple[float, str]] = field(default_factory=list)

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everyone who gets it."""
        return self.to + self.cc + self.bcc

    @property
    def request(self) -> bytes:
        """The body of the call that sent it."""
        return self.block.get(self.place)


def bare_address(text: str) -> str:
    """The address in `Name <address>`."""
    if text.endswith(">"):
        return text[text.rfind("<") + 1 : -1].strip()
    return text.strip()


class Outbox:
    """Accepted mails; `keep` of them whole."""

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.mails: deque[Mail] = deque()
        self.by_id: dict[str, Mail] = {}
        self.counts: Counter[str] = Counter()
        self.times: array[float] = array("d")
        self.total = 0
        self._block = Block()

    def store(self, body: bytes) -> tuple[Block, int]:
        """Keep a request body for the mails in it."""
        if self._block.full:
            self._block = Block()
        return self._block, self._block.add(body)

    def add(self, mail: Mail) -> None:
        """One accepted mail: counted per recipient."""
        self.total += 1
        mail.sequence = self.total
        for recipient in mail.recipients:
            self.counts[bare_address(recipient)] += 1
            self.times.append(mail.received)
        self.mails.append(mail)
        self.by_id[mail.message_id] = mail
        if len(self.mails) > self.keep:
            del self.by_id[self.mails.popleft().message_id]

    def newest(
        self,
        *,
        before: int | None = None,
        search: str = "",
        to: str = "",
        tag: tuple[str, str] | None = None,
    ) -> Iterator[Mail]:
        """Kept mails from the newest on, older than sequence number `before`."""
        search = search.lower()
        for mail in reversed(self.mails):
            if before is not None and mail.sequence >= before:
                continue
            if to and to not in map(bare_address, mail.recipients):
                continue
            if tag and mail.tags.get(tag[0]) != tag[1]:
                continue
            if search and not (
                search in mail.subject.lower()
                or any(search in recipient.lower() for recipient in mail.recipients)
            ):
                continue
            yield mail
