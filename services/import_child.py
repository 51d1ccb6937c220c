"""The program that reads and judges a file for services.import_ahead; it knows no database."""

from __future__ import annotations

import gc
import os
import pickle
import sys
from itertools import islice

from domain.file_problems import FileProblem
from domain.recipient_files import recipient_rows
from services.import_batches import prepare
from services.recipients import PIECE, ImportOptions, open_table


def main() -> None:
    """Answer with batches and then None, or with the FileProblem that ends them."""
    path, parameters, target, done = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent's
    gc.disable()  # rows hold no cycles
    out = sys.stdout.buffer
    try:
        with open_table(path, ImportOptions.from_parameters(parameters)) as table:
            rows = recipient_rows(table.rows, table.layout)
            for _ in islice(rows, done):
                pass
            while chunk := list(islice(rows, PIECE)):
                pickle.dump(prepare(chunk, target), out, pickle.HIGHEST_PROTOCOL)
        pickle.dump(None, out)
        out.flush()
    except FileProblem as problem:
        pickle.dump(problem, out)
        out.flush()
    except BrokenPipeError:  # the importing process is gone, and with it whoever would read on
        os._exit(1)


if __name__ == "__main__":
    main()
