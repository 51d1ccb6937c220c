"""Engines, sessions and the two kinds of transaction; the same code for SQLite and PostgreSQL.

Reads use a plain session (SQLite: BEGIN). Every writing step uses `writing`, which ends the
session's read transaction, takes the writer lock and begins with BEGIN IMMEDIATE, so that a
SQLite writer never upgrades a stale snapshot and never spins in busy waits.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import Float

_WRITE = "bes_write"
MAPPED_BYTES = 268_435_456
#: What SQLite keeps of the file (KiB); bulk writers touch pages of large indexes in random order.
_CACHE, _BULK_CACHE = 16_000, 64_000
#: So long a writing step waits for others on SQLite (seconds): far beyond their longest.
WRITER_WAIT_SECONDS = 20.0


class epoch_now(FunctionElement[float]):
    """The database's clock as epoch seconds (double); advances inside a transaction."""

    type = Float()
    inherit_cache = True


@compiles(epoch_now, "sqlite")
def _epoch_now_sqlite(element: Any, compiler: Any, **kw: Any) -> str:
    # unixepoch('subsec') is NULL before SQLite 3.42, julianday works everywhere.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_now, "postgresql")
def _epoch_now_postgresql(element: Any, compiler: Any, **kw: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


#: What a sender asks PostgreSQL is right by its indexes on tables of every size, also where they
#: were never analysed, and whatever the parameters: so each statement is planned once.
_BY_INDEX = (
    "".join(f" -c enable_{way}=off" for way in ("seqscan", "hashjoin", "mergejoin", "bitmapscan"))
    + " -c plan_cache_mode=force_generic_plan"
)


def make_engine(
    database_url: str | URL,
    *,
    pool_size: int = 10,
    mapped_bytes: int = MAPPED_BYTES,
    by_index: bool = False,
) -> Engine:
    """An engine for the product's database with durable commits.

    `database_url` is SQLAlchemy's form; a bare `postgresql://` or `postgres://` uses psycopg 3.
    SQLite gets WAL, `synchronous=FULL`, foreign keys and explicit BEGIN; PostgreSQL gets
    `synchronous_commit=on`: what SES was told must survive a power cut. Up to `mapped_bytes` of
    SQLite's file are mapped into memory, which counts as the process's own. `by_index` is for a
    sender's thread: PostgreSQL goes by indexes alone and plans each statement once, and a
    connection that was lost is noticed by the first statement, not by a question before it.
    """
    url = make_url(database_url)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() == "sqlite":
        return _sqlite_engine(url, pool_size, mapped_bytes)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=not by_index,
        connect_args={
            "connect_timeout": 10,
            "options": "-c synchronous_commit=on -c timezone=UTC -c jit=off"
            " -c idle_in_transaction_session_timeout=15000" + (_BY_INDEX if by_index else ""),
        },
    )
    if by_index:
        event.listen(engine, "rollback", _roll_back_quietly)
    return engine


def _roll_back_quietly(connection: Connection) -> None:
    """Roll back behind the driver's back: it would forget all statements it has prepared."""
    raw: Any = connection.connection.driver_connection
    if raw.pgconn.transaction_status != TransactionStatus.IDLE:
        raw.pgconn.exec_(b"ROLLBACK")


def reading_sessions(sessions: sessionmaker[Session]) -> sessionmaker[Session]:
    """Sessions for single reads: on PostgreSQL each is a transaction of its own, which saves two
    messages. Nothing is written through them."""
    with sessions() as session:
        engine = cast(Engine, session.get_bind())
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="AUTOCOMMIT")
    return sessionmaker(engine, expire_on_commit=False)


def _sqlite_engine(url: Any, pool_size: int, mapped_bytes: int) -> Engine:
    if url.database and url.database != ":memory:":
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        connect_args={"timeout": 30, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            f"cache_size=-{_CACHE}",
            f"mmap_size={mapped_bytes}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """The factory of sessions used outside Flask (scheduler, commands, poller)."""
    return sessionmaker(engine, expire_on_commit=False)


@contextmanager
def writing(session: Session) -> Iterator[Session]:
    """One writing step: begin, yield, commit; roll back if the body raises.

    For entry points only. Ends whatever read transaction the session had open (its changes
    that were not flushed are lost: read first, write inside). On SQLite it waits for the
    writer lock, a file beside the database, before BEGIN IMMEDIATE. Bulk writers keep a step
    under 20 ms while others write (see `someone_waits`) and leave the block in between.
    """
    session.rollback()
    session.expire_all()  # what was read before may have changed: it is read again when asked
    engine = session.get_bind()
    with _writer_lock(engine):
        try:
            session.connection(execution_options={_WRITE: True})
            yield session
            session.commit()
        except BaseException:
            session.rollback()
            raise


def begin_immediate(connection: Connection) -> Connection:
    """The connection, whose transactions on SQLite begin with BEGIN IMMEDIATE from now on."""
    return connection.execution_options(**{_WRITE: True})


class DatabaseBusy(OperationalError):
    """Another program holds SQLite's writer lock for too long; nothing was changed."""

    def __init__(self, seconds: float) -> None:
        sentence = f"The database is busy: another program has been writing for {seconds:.0f} s."
        super().__init__("BEGIN IMMEDIATE", None, TimeoutError(sentence))


@contextmanager
def _writer_lock(bind: Any) -> Iterator[None]:
    """Serialise SQLite writers of all processes and threads through flock; no-op elsewhere.

    They take turns in the order in which they came. Raises DatabaseBusy when one that was
    stopped or hangs keeps the lock for WRITER_WAIT_SECONDS.
    """
    database = bind.engine.url.database
    if bind.dialect.name != "sqlite" or not database or database == ":memory:":
        yield
        return
    # A new open file description for each step: flock then works between threads as well.
    descriptor = os.open(f"{database}.writer-lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _wait_for_turn(descriptor, _queue(database), WRITER_WAIT_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)


def _queue(database: str) -> Path:
    return Path(f"{database}.writer-queue")


def someone_waits(session: Session) -> bool:
    """Whether another writer waits for the end of this one's step; never on PostgreSQL."""
    database = session.get_bind().engine.url.database
    if not is_sqlite(session) or not database or database == ":memory:":
        return False
    with _queue(database).open("a") as queue:
        try:
            fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _wait_for_turn(descriptor: int, path: Path, seconds: float) -> None:
    """Wait in flock's own queue, which knows no deadline: so a thread waits there for us."""
    turn: Future[None] = Future()

    def wait() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if turn.set_running_or_notify_cancel():
            turn.set_result(None)
        else:  # nobody waits any more
            os.close(descriptor)

    with path.open("a") as queue:
        fcntl.flock(queue, fcntl.LOCK_SH)  # seen by `someone_waits`
        threading.Thread(target=wait, name="writer-lock", daemon=True).start()
        try:
            turn.result(seconds)
        except BaseException as error:
            if not turn.cancel():  # it came at the last moment
                os.close(descriptor)
            if isinstance(error, TimeoutError):
                raise DatabaseBusy(seconds) from None
            raise


def is_sqlite(session: Session) -> bool:
    """Whether this session talks to SQLite."""
    return session.get_bind().dialect.name == "sqlite"


def text_array(values: Iterable[str]) -> str:
    """Texts as PostgreSQL writes an array, for a cast: the driver takes ten times as long for a
    list. None of them holds a NUL, which PostgreSQL has no room for."""
    escaped = "\0".join(values).replace("\\", "\\\\").replace('"', '\\"')
    return '{"' + escaped.replace("\0", '","') + '"}'


def bytes_array(values: Iterable[bytes]) -> str:
    """The same for bytes; none for no values."""
    return "{" + ",".join([f'"\\\\x{one.hex()}"' for one in values]) + "}"


@contextmanager
def bulk_session(sessions: sessionmaker[Session]) -> Iterator[Session]:
    """A session for a bulk writer whose work can be repeated, such as an import.

    On SQLite its commits do not wait for the disk one by one (after a power cut the newest of
    them may be gone, whole and in order) and it moves the log into the database itself, with
    `Checkpoints`, so that no sender's commit pays for it.
    """
    with sessions() as session:
        if not is_sqlite(session):
            yield session
            return
        engine = cast(Engine, session.get_bind())
    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.execute("PRAGMA synchronous=NORMAL")
        raw.execute("PRAGMA wal_autocheckpoint=0")
        mapped_bytes = raw.execute("PRAGMA mmap_size").fetchone()[0]
        raw.execute("PRAGMA mmap_size=0")  # memory stays flat however large the file grows
        raw.execute(f"PRAGMA cache_size=-{_BULK_CACHE}")
        try:
            with Session(connection, expire_on_commit=False) as session:
                yield session
            raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        finally:
            raw.execute(f"PRAGMA cache_size=-{_CACHE}")
            raw.execute("PRAGMA shrink_memory")
            raw.execute(f"PRAGMA mmap_size={mapped_bytes}")
            raw.execute("PRAGMA wal_autocheckpoint=1000")
            raw.execute("PRAGMA synchronous=FULL")


class Checkpoints:
    """Moves what a `bulk_session` writes from SQLite's log into the database file, by a thread of
    its own: waiting for the disk takes as long as the writing. Call `step` between the steps.

    The thread goes on until little is left; that is moved here, with nothing written meanwhile,
    so that the log begins anew instead of growing. Nobody who reads or writes is held up.
    """

    def __init__(self, session: Session, *, every: int = 100) -> None:
        bind = session.get_bind()
        self._engine = bind.engine if bind.dialect.name == "sqlite" else None
        self._every = every  # steps
        self._steps = 0
        self._thread: threading.Thread | None = None

    def step(self) -> None:
        """One more writing step is done."""
        self._steps += 1
        if self._engine is None or self._steps < self._every:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._move, args=(3,), name="checkpoint")
            self._thread.start()
        elif not self._thread.is_alive():
            self._move(1)
            self._thread, self._steps = None, 0

    def close(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()

    def _move(self, times: int) -> None:
        if self._engine is None:
            return
        with closing(self._engine.raw_connection()) as connection:
            raw: Any = connection.driver_connection
            for _ in range(times):
                raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
