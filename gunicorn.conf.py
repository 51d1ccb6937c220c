"""How gunicorn serves the product: `gunicorn "app:create_app()"`, with any number of workers.

The scheduler runs beside the workers under a supervisor. The application is built before the
workers are forked, so that a new worker is warm at once and shares the work with the others from
its first second. No database connection and no thread is there when they are, so that none is
shared between processes.

SIGHUP makes new workers of the application as it was loaded at the start. New code or settings need
a restart, or SIGUSR2, which starts a second gunicorn beside this one.
"""

import gc
import os
import sys
from typing import Any

import supervisor
from config import ConfigError, load_settings
from launcher import first_start
from web.warm_up import warm_up

try:
    _settings = load_settings()
except ConfigError as error:
    sys.exit(str(error))

bind = f"127.0.0.1:{_settings.port}"
workers = int(os.environ.get("WEB_CONCURRENCY", max(2, min(8, os.cpu_count() or 2))))
worker_class = "gthread"
threads = 16  # most wait for a commit, and those that wait together share one
timeout = 120
graceful_timeout = 10
keepalive = 5
max_requests = 50_000  # a fresh process now and then keeps memory flat
max_requests_jitter = 10_000  # not all workers at once
preload_app = True
control_socket_disable = True
accesslog = None

_supervisors: list[supervisor.Handle] = []


def on_starting(server: object) -> None:
    """Refuse to serve over tables this version does not know."""
    problem = first_start.schema_problem(_settings)
    if problem:
        sys.exit(problem)


def when_ready(server: Any) -> None:
    """The port is ours: say where, start what runs beside the web, and make a page once."""
    for line in first_start.welcome(_settings):
        print(line, flush=True)
    if supervisor.children_for(_settings):
        _supervisors.append(supervisor.Handle())
    warm_up(server.app.wsgi())
    # What is loaded stays: the collector's full looks, of 0.1 s and more, pass over it. Its small
    # ones come less often than by default, since nearly all of a request is gone at its end.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def on_exit(server: object) -> None:
    """The workers are gone: end the scheduler, drained, then the simulator."""
    while _supervisors:
        _supervisors.pop().stop()
