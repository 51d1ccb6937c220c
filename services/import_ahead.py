"""Has a large file read and judged by a process of its own, ahead of the one that writes, so that
an import uses two cores. The other side is services.import_child.
"""

from __future__ import annotations

import fcntl
import pickle
import subprocess
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

from domain.file_problems import FileProblem
from services.import_batches import Batch, Target

#: Smaller files are read faster than a process starts (bytes).
WORTH_IT = 4 * 1024**2
#: What may be read ahead (bytes): a few thousand rows.
_AHEAD = 1024**2
_ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "services.import_child"]


def batches(
    path: Path, parameters: dict[str, Any], target: Target, done: int
) -> Generator[Batch, None, None]:
    """The rows of a file after the first `done`, judged, some hundred at a time.

    `parameters` are those of ImportOptions. Raises FileProblem as the reader would. Close the
    generator to end the process before the end of the file.
    """
    child = subprocess.Popen(COMMAND, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    asked, answers = cast(IO[bytes], child.stdin), cast(IO[bytes], child.stdout)
    try:
        with suppress(AttributeError, OSError):  # only a larger pipe than usual, where it can be
            fcntl.fcntl(answers.fileno(), fcntl.F_SETPIPE_SZ, _AHEAD)
        with asked:
            pickle.dump((path.resolve(), parameters, target, done), asked)
        while (said := pickle.load(answers)) is not None:  # noqa: S301 - from our own program
            if isinstance(said, FileProblem):
                raise said
            yield said
    finally:
        child.kill()
        child.wait()
        answers.close()
