"""A real PostgreSQL in a folder of its own, which a test starts, restarts and stops. No system's cluster is touched.

As root it runs as another user, since PostgreSQL refuses root.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
from support.mlflow_servers import free_port

DEBIAN = Path("/usr/lib/postgresql")  # where Debian puts each version's programs, and not into PATH
USERS = ("postgres", "nobody")  # the first that exists runs the server when the tests run as root


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, of the newest version there is; None if there is none."""
    versions = [p for p in DEBIAN.glob("*/bin") if (p / "initdb").exists() and p.parent.name.isdecimal()]
    if versions:
        return max(versions, key=lambda p: int(p.parent.name))
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


class Cluster:
    """One server on a free port of this host, with a password that has to be given."""

    def __init__(self, programs: Path, options: str = "") -> None:
        self.programs, self.port, self.options = programs, free_port(), options
        self.password = f"pw-{secrets.token_hex(8)}"
        self.root = Path(tempfile.mkdtemp(prefix="postgres-"))
        self.data, self.log = self.root / "data", self.root / "server.log"
        self.owner = next(u for u in USERS if u in {p.pw_name for p in pwd.getpwall()}) if os.getuid() == 0 else None
        if self.owner:
            shutil.chown(self.root, self.owner)
        self.running = False

    def start(self) -> Cluster:
        word = self.root / "password"
        word.write_text(self.password)
        if self.owner:
            shutil.chown(word, self.owner)
        self._run(
            "initdb", "-D", self.data, "-U", "phalanx", "--pwfile", word, "-A", "scram-sha-256", "-N", "-E", "UTF8"
        )
        word.unlink()
        options = f"-p {self.port} -k {self.root} -c listen_addresses=127.0.0.1 -c max_connections=200 {self.options}"
        self._run("pg_ctl", "start", "-w", "-D", self.data, "-l", self.log, "-o", options)
        self.running = True
        return self

    def restart(self, how: str = "immediate") -> None:
        """`fast` ends every connection; `immediate` is a crash, from which the server recovers as it starts."""
        self._run("pg_ctl", "restart", "-w", "-D", self.data, "-l", self.log, "-m", how)

    def stop(self) -> None:
        if self.running:
            self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", "immediate")
        self.running = False
        shutil.rmtree(self.root, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://phalanx:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str) -> str:
        """The URL of a new and empty database."""
        self.ask(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def ask(self, statement: str, database: str = "postgres") -> list[tuple]:
        """The rows of a statement."""
        at = {"host": "127.0.0.1", "port": self.port, "user": "phalanx", "password": self.password}
        with psycopg.connect(**at, dbname=database, autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [self.programs / program, *map(str, arguments)], user=self.owner, cwd=self.root, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={"LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stderr}{self.log.read_text() if self.log.exists() else ''}"
