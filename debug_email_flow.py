"""Checks the whole path of a mail and of its events, and prints what to do.

`python debug_email_flow.py [--json]`; exit code 1 if a check failed.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from aws.clients import AwsClients
from config import ConfigError, Settings, load_settings
from database import make_engine, make_sessions
from services.diagnosis import Check, Level, diagnose

_COLOURS = {Level.OK: "32", Level.WARN: "33", Level.FAIL: "31"}
_NAME_WIDTH = 20


def main(argv: Sequence[str] | None = None, load: Callable[[], Settings] = load_settings) -> int:
    """Run all checks and print them; 1 if any failed."""
    parser = argparse.ArgumentParser(prog="debug_email_flow.py", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    checks = _checks(load)
    print(_as_json(checks) if options.json else _as_text(checks, colour=sys.stdout.isatty()))
    return 1 if any(check.level is Level.FAIL for check in checks) else 0


def _checks(load: Callable[[], Settings]) -> list[Check]:
    try:
        settings = load()
    except ConfigError as error:
        step = "Mend .env (see .env.example), then run this again for all other checks."
        return [Check(1, "Settings", Level.FAIL, " ".join(error.problems), step)]
    engine = make_engine(settings.database_url)
    clients = AwsClients(settings)
    try:
        return diagnose(settings, make_sessions(engine), clients, datetime.now(UTC))
    finally:
        clients.close()
        engine.dispose()


def _as_json(checks: list[Check]) -> str:
    document = {
        "ok": all(check.level is not Level.FAIL for check in checks),
        "checks": [
            {
                "number": check.number,
                "name": check.name,
                "status": check.level.value,
                "finding": check.finding,
                "next_step": check.next_step,
            }
            for check in checks
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _as_text(checks: list[Check], *, colour: bool) -> str:
    width = max(40, min(110, shutil.get_terminal_size().columns) - _NAME_WIDTH - 12)
    lines = []
    for check in checks:
        word = f"{check.level.value:<4}"
        if colour:
            word = f"\033[{_COLOURS[check.level]}m{word}\033[0m"
        margin = " " * (_NAME_WIDTH + 12)
        found = _wrapped(check.finding, width) or [""]
        lines.append(f"{check.number:>3}  {word}  {check.name:<{_NAME_WIDTH}} {found[0]}")
        lines.extend(margin + line for line in found[1:])
        for number, line in enumerate(_wrapped(check.next_step, width - 2)):
            lines.append(margin + ("→ " if number == 0 else "  ") + line)
    counts = {level: sum(check.level is level for check in checks) for level in Level}
    summary = f"{counts[Level.OK]} OK, {counts[Level.WARN]} WARN, {counts[Level.FAIL]} FAIL"
    return "\n".join([*lines, "", summary])


def _wrapped(sentence: str, width: int) -> list[str]:
    return textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(main())
