"""The program that reads and judges a file for services.import_ahead; it knows no database.

Rows come in runs sorted by address: what is written together then lies together in the index of
addresses, which is larger than what a database keeps at hand. Runs begin at the same rows every
time, so that an import can go on in the middle of one.
"""

from __future__ import annotations

import gc
import os
import pickle
import queue
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter
from typing import Any

from domain.file_problems import FileProblem
from domain.recipient_files import RecipientRow, recipient_rows
from services.import_batches import Batch, Target, gathered, prepare
from services.recipients import PIECE, ImportOptions, open_table

#: Rows of a run: a second of work, and 20 MB.
RUN = 50_000


def main() -> None:
    """Answer with batches and then None, or with the FileProblem that ends them."""
    asked = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent's
    gc.disable()  # rows hold no cycles
    ahead: queue.Queue[Any] = queue.Queue(RUN // PIECE)  # a run is made while one is written
    writer = threading.Thread(target=_answer, args=(ahead,), name="answers")
    writer.start()
    try:
        for piece in pieces(*asked):
            ahead.put(piece)
        ahead.put(None)
    except FileProblem as problem:
        ahead.put(problem)
    writer.join()


def pieces(path: Any, parameters: dict[str, Any], target: Target, done: int) -> Iterator[Batch]:
    """All that is left to write of a file of which so many rows are."""
    with open_table(path, ImportOptions.from_parameters(parameters)) as table:
        rows = recipient_rows(table.rows, table.layout)
        done_of_run = done % RUN
        for _ in islice(rows, done - done_of_run):
            pass
        while (run := gathered(_judged(rows, target), RUN)).rows:
            for piece in in_order(run):
                if done_of_run > 0:
                    done_of_run -= piece.rows
                else:
                    yield piece


def in_order(run: Batch) -> Iterator[Batch]:
    """A run as pieces: first what was refused, then the others sorted by address."""
    if run.refused or run.said_no:
        yield Batch(rows=len(run.refused), refused=run.refused, said_no=run.said_no)
    run.candidates.sort(key=attrgetter("address"))  # stable: the first of doubles stays the first
    for start in range(0, len(run.candidates), PIECE):
        some = run.candidates[start : start + PIECE]
        yield Batch(rows=len(some), candidates=some)


def _judged(rows: Iterator[RecipientRow], target: Target) -> Iterator[Batch]:
    while chunk := list(islice(rows, PIECE)):
        yield prepare(chunk, target)


def _answer(ahead: queue.Queue[Any]) -> None:
    out = sys.stdout.buffer
    try:
        while True:
            said = ahead.get()
            pickle.dump(said, out, pickle.HIGHEST_PROTOCOL)
            if not isinstance(said, Batch):
                break
        out.flush()
    except BrokenPipeError:  # the importing process is gone, and with it whoever would read on
        os._exit(1)


if __name__ == "__main__":
    main()
