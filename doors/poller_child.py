"""The process of doors.second_poller: `python -m doors.poller_child PARENT_PID`.

It polls and does nothing else, until SIGTERM or until its parent is gone.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading

from aws.clients import AwsClients
from config import load_settings
from database import make_engine, make_sessions
from doors.sqs_poller import COLLECT_AFTER, SqsPoller

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def main(parent: int) -> None:
    """Poll until told to end."""
    # Before any thread is there, so that none of them is ended by them: we fetch them ourselves.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = load_settings()
    engine = make_engine(settings.database_url, mapped_bytes=0)
    clients = AwsClients(settings)
    poller = SqsPoller(settings, make_sessions(engine), clients, looks_after=False)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    stop = threading.Event()
    polling = threading.Thread(target=poller.run, args=(stop,), name="poller")
    polling.start()
    while os.getppid() == parent and signal.sigtimedwait(_SIGNALS, 1.0) is None:
        pass
    stop.set()
    polling.join()
    clients.close()
    engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]))
