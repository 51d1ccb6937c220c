"""What all commands share: the session, one-line refusals, JSON or aligned columns on stdout."""

from __future__ import annotations

import getpass
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from botocore.exceptions import BotoCoreError
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session, sessionmaker

from config import Settings
from database import writing
from domain.rendering import TemplateProblem
from services import exports
from services.campaigns import Refused
from services.users import UserProblem

#: Errors whose text is meant for the person at the terminal.
_REFUSALS = (Refused, TemplateProblem, UserProblem)

#: The ID of a campaign: no larger than one can be in the database.
campaign_argument = click.argument("campaign_id", metavar="ID", type=click.IntRange(1, 2**31 - 1))
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


class Nouns(AppGroup):
    """A group of commands; what they refuse becomes one line on stderr and exit code 1.

    A wrong argument is refused in the same way, as scripts rely on it.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command and translate its refusals."""
        try:
            return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            place = (error.ctx or ctx).command_path
            refuse(f"{error.format_message()} See: {place} --help")
        except _REFUSALS as refusal:
            refuse(str(refusal))
        except (OperationalError, ProgrammingError) as error:
            text = str(error.orig)
            if "no such table" in text or "does not exist" in text or "no such column" in text:
                refuse("The database lacks this version's tables. Run: python update_db_schema.py")
            refuse(f"The database does not answer: {text}")
        except BotoCoreError as error:
            refuse(f"AWS cannot be used as it is set up: {error}")


def refuse(sentence: str) -> NoReturn:
    """End the command with exit code 1 and one line."""
    raise click.ClickException(" ".join(sentence.split()))


def settings() -> Settings:
    """The settings of this installation."""
    found: Settings = current_app.extensions["bes"].settings
    return found


def sessions() -> sessionmaker[Session]:
    """The factory of sessions of this installation."""
    found: sessionmaker[Session] = current_app.extensions["bes"].sessions
    return found


@contextmanager
def reading() -> Iterator[Session]:
    """A session that only reads."""
    with sessions()() as session:
        yield session


@contextmanager
def changing() -> Iterator[Session]:
    """A session inside one writing step: all of it happens, or nothing."""
    with sessions()() as session, writing(session):
        yield session


def now() -> datetime:
    """The present moment."""
    return datetime.now(UTC)


def person() -> str:
    """Who did it, for the history: the account at this terminal."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "the command line"


def read_text(path: str) -> str:
    """The text of a file; `-` is stdin."""
    try:
        if path == "-":
            return sys.stdin.read()
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        refuse(f"{path} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        refuse(f"{path} is not UTF-8 text.")


def existing_file(path: str) -> Path:
    """The path of a file that can be read."""
    found = Path(path)
    if not found.is_file():
        refuse(f"There is no file {path}.")
    return found


def write_out(pieces: Iterable[bytes], output: str | None) -> Path | None:
    """Write to stdout, or whole to a file, whose path is returned; a half one is never left."""
    if output is None:
        sys.stdout.buffer.writelines(pieces)
        return None
    target = Path(output)
    unfinished = target.with_name(f"{target.name}.part")
    try:
        with unfinished.open("wb") as file:
            file.writelines(pieces)
        unfinished.replace(target)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        refuse(f"{output} cannot be written: {error.strerror}.")
    return target.resolve()


def answer(document: Mapping[str, Any], as_json: bool, words: str) -> None:
    """Print the document, or the words for a person."""
    click.echo(json.dumps(document, ensure_ascii=False) if as_json else words)


def columns(rows: Sequence[Sequence[object]], heads: Sequence[str] = ()) -> str:
    """Rows as aligned columns, numbers to the right; `heads` adds a line of column names."""
    table = [[_cell(value) for value in row] for row in rows]
    if heads:
        table.insert(0, list(heads))
    if not table:
        return ""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    right = [
        all(isinstance(row[i], int | float) for row in rows) if rows else False
        for i in range(len(widths))
    ]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        )
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in table)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr, if stderr is a terminal; call the result with (done, total)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def show(done: int, total: int | None) -> None:
            bar.length = max(total or 0, done, 1)
            bar.update(done - bar.pos)

        yield show


@contextmanager
def interruptible(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C set `stop`, so that work ends after its present step and not in the middle."""
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def export_rows(
    rows: Iterable[exports.Row],
    document: dict[str, Any],
    kind: str,
    output: str | None,
    as_json: bool,
) -> None:
    """Write an export to a file or to stdout, and say where it is."""
    if as_json and output is None:
        refuse("--json needs --output FILE: stdout cannot hold the document and the export.")
    path = write_out(exports.FORMATS[kind](rows), output)
    if path is not None:
        document |= {"format": kind, "output": str(path)}
        answer(document, as_json, f"The export is in {output}.")
