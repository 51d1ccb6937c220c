"""Runs a module of the product as a child process that ends when its parent is gone.

`python -m launcher.child PARENT_PID MODULE [ARGUMENTS]`. A parent that was killed can tell its
children nothing, so the child looks at who its parent is, twice a second.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

#: How long a child may take to end by itself after SIGTERM, in seconds.
DRAIN_SECONDS = 20


def end_with(parent: int) -> None:
    """Send this process SIGTERM as soon as its parent is another than `parent`."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(DRAIN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    module = sys.argv[2]
    sys.argv[1:] = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
