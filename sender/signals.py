"""Ends in order what a signal asks to end."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType


def stop_on_signals(stop: threading.Event, *numbers: signal.Signals) -> None:
    """Set `stop` when one of these signals comes.

    A handler runs in the main thread wherever that is, perhaps while it holds the event's own
    lock, for which `set` would wait for ever. So it only writes a byte, and a thread sets it.
    """
    reader, writer = os.pipe()

    def on_signal(number: int, frame: FrameType | None) -> None:
        os.write(writer, b".")

    def wait() -> None:
        os.read(reader, 1)
        stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, on_signal)
