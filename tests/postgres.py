"""A throw-away PostgreSQL server for the tests, started from the binaries of this machine.

Durability is off unless asked for: nothing in it outlives the test run.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.ports import free_port

#: Empties every table that holds rows and puts back what came with the schema.
_RESET = """
DO $$
DECLARE name text; filled text[]; found boolean;
BEGIN
  FOR name IN SELECT tablename FROM pg_tables
              WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM public.%I)', name) INTO found;
    IF found THEN filled := filled || format('public.%I', name); END IF;
  END LOOP;
  EXECUTE 'TRUNCATE ' || array_to_string(filled, ', ') || ' RESTART IDENTITY CASCADE';
  INSERT INTO public.installation SELECT * FROM saved.installation;
  INSERT INTO public.buckets SELECT * FROM saved.buckets;
END $$
"""
_SAVE = """
CREATE SCHEMA saved;
CREATE TABLE saved.installation AS TABLE public.installation;
CREATE TABLE saved.buckets AS TABLE public.buckets;
"""


class PostgresMissing(Exception):
    """This machine cannot run a PostgreSQL server; the text says what is missing."""


@dataclass
class PostgresServer:
    """A server on loopback; `url(name)` is the address of one of its databases."""

    command: list[str]  # without the port
    identity: dict[str, Any]
    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start it on its port; False if it ended (the port was taken)."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "-c", f"port={self.port}"], stdout=log, stderr=log, **self.identity
            )
        return _answers(self.process, self)

    def url(self, database: str) -> str:
        """SQLAlchemy's address of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement outside any transaction, as CREATE DATABASE needs it."""
        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname={database}", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def remember_contents(self, database: str) -> None:
        """Keep a copy of what came with the schema, for `reset`."""
        self.execute(_SAVE, database)

    def reset(self, database: str) -> None:
        """Make a database as fresh as it was; a tenth of the time of a new one.

        Whoever is still connected is cut off, as a left-over child process would be.
        """
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        self.execute(_RESET, database)

    def crash(self) -> None:
        """End the server at once, whoever is connected, without writing down what is in memory."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End the server at once and remove its files."""
        self.crash()
        shutil.rmtree(self.folder, ignore_errors=True)


def find_binaries() -> Path:
    """The folder of the newest `initdb` on this machine, or PostgresMissing."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if folders:
        return max(folders, key=lambda folder: int(folder.parent.name.split(".")[0]))
    found = shutil.which("initdb")
    if found is None:
        raise PostgresMissing("no PostgreSQL server programs (Debian: apt install postgresql)")
    return Path(found).resolve().parent


def start_postgres(*, durable: bool = False, **settings: str) -> PostgresServer:
    """Make a cluster in a temporary folder and start it on a free port of loopback.

    `durable` leaves fsync, full_page_writes and autovacuum as PostgreSQL has them; `settings`
    are further ones. Run as root it uses the system user `postgres`, since the server refuses
    root. Raises PostgresMissing where that cannot work.
    """
    binaries = find_binaries()
    folder = Path(tempfile.mkdtemp(prefix="bes-postgres-"))
    identity: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            shutil.rmtree(folder)
            raise PostgresMissing("running as root and there is no user postgres") from None
        os.chown(folder, user.pw_uid, user.pw_gid)
        identity |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = folder / "data"
    command = f"{binaries}/initdb -D {data} -U postgres -A trust -N -E UTF8 --no-locale"
    subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL, **identity)
    options = _OPTIONS | ({} if durable else _IN_MEMORY) | settings
    parts = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    server = PostgresServer([f"{binaries}/postgres", "-D", str(data), *parts], identity, folder)
    for _ in range(5):
        server.port = free_port()
        if server.start():
            return server
    text = (folder / "log").read_text(errors="replace")[-2000:]
    server.stop()
    raise RuntimeError(f"PostgreSQL did not start:\n{text}")


_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "max_wal_size": "4GB",
}
_IN_MEMORY = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}


def _answers(process: subprocess.Popen[bytes], server: PostgresServer) -> bool:
    """Wait until it takes connections; False if the process ended (its port was taken)."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return True
    return False
