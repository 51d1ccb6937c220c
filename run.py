"""`make run`: prepares everything, then hands over to gunicorn (see gunicorn.conf.py).

`--setup` ends after preparing; `--demo` first launches a sample campaign on the simulator.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError

from config import ROOT, ConfigError, Settings, load_settings
from launcher import demo, first_start
from services.campaigns import Refused
from supervisor import answers
from update_db_schema import SchemaError, update

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Prepare, then serve until Ctrl-C; 1 with one sentence when it cannot."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python run.py")
    parser.add_argument("--setup", action="store_true", help="prepare, but start nothing")
    parser.add_argument("--demo", action="store_true", help="launch a sample campaign first")
    parser.add_argument("--end-with-parent", action="store_true", help="end when make is killed")
    options = parser.parse_args()
    try:
        settings = prepare()
        campaign_id = demo.launch_sample(settings) if options.demo else None
    except (ConfigError, SchemaError, Refused) as problem:
        print(problem, file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        print(f"The database cannot be used: {getattr(error, 'orig', error)}", file=sys.stderr)
        return 1
    if options.setup:
        print("All is set up. Start with: make run")
        return 0
    is_taken = answers(settings.port)
    if campaign_id is not None:
        print(f"The sample campaign: http://127.0.0.1:{settings.port}/campaigns/{campaign_id}")
        if is_taken:
            return 0
    if is_taken:
        print(
            f"Port {settings.port} is in use: stop what runs there, or set PORT in .env.",
            file=sys.stderr,
        )
        return 1
    if options.end_with_parent:
        _die_with_parent()
    return serve()


def serve() -> NoReturn:
    """Become gunicorn, which starts the scheduler and ends everything in order."""
    sys.stdout.flush()
    os.chdir(ROOT)
    command = [sys.executable, "-m", "gunicorn", "--log-level", "warning", "app:create_app()"]
    os.execv(sys.executable, command)  # noqa: S606 - the same Python, a fixed command


def prepare() -> Settings:
    """A `.env`, valid settings and the newest schema; raises ConfigError or SchemaError."""
    if first_start.write_env_file():
        print("Wrote .env with a fresh SECRET_KEY: your settings live there.")
    settings = load_settings()
    for name in update(settings.database_url):
        print(f"Applied {name}.")
    return settings


def _die_with_parent() -> None:
    """Linux: SIGTERM when the parent dies, also after exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
