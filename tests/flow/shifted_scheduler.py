"""`scheduler.py` on a host whose clock is wrong by as many seconds as a file says, at any time.

SQLite has no clock but its host's, so its clock is wrong by as much.
"""

from __future__ import annotations

import datetime as module
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
_file = Path(os.environ["CLOCK_OFFSET_FILE"])
_true_time = time.time


def _shifted_time() -> float:
    return _true_time() + float(_file.read_text())


class _Shifted(module.datetime):
    @classmethod
    def now(cls, tz: module.tzinfo | None = None) -> _Shifted:
        return cls.fromtimestamp(_shifted_time(), tz)


def _shift_sqlite(connection: Any, record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.create_function(
            "julianday", 1, lambda _: _shifted_time() / 86400.0 + 2440587.5
        )  # fmt: skip


time.time = _shifted_time
module.datetime = _Shifted  # type: ignore[misc]

from sqlalchemy import Engine, event  # noqa: E402 - they keep what they import

event.listen(Engine, "connect", _shift_sqlite)

import scheduler  # noqa: E402

sys.exit(scheduler.main())
