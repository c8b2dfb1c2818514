"""Where studies are kept: real SQLite files, real journals, and what people type wrongly."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
import sqlalchemy
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import IntegrityError, OperationalError

from phalanx.core.errors import RequestError, StorageLost
from phalanx.study import storage
from phalanx.study.storage import engine_for, in_memory, open_storage, with_retries


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def search(opened, n_trials=5, seed=0):
    """Adds trials to the study `s`; their values."""
    sampler = optuna.samplers.RandomSampler(seed=seed)
    study = optuna.create_study(storage=opened, study_name="s", sampler=sampler, load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=n_trials)
    return [trial.value for trial in study.trials]


def refusal(url):
    with pytest.raises(RequestError) as caught:
        open_storage(url)
    assert "hydra.sweeper.storage" in str(caught.value)
    return str(caught.value)


def test_a_study_can_stay_in_memory():
    opened = open_storage(None)
    assert len(search(opened)) == 5
    assert len(search(opened)) == 10
    assert in_memory(None)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_sqlite_can_stay_in_memory(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert in_memory(url)
    assert len(search(open_storage(url))) == 5
    assert list(tmp_path.iterdir()) == []


def test_sqlite_waits_for_others_and_not_for_the_disk(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    assert not in_memory(url)
    for engine in (open_storage(url).engine, engine_for(url)):
        with engine.connect() as connection:
            asked = ("journal_mode", "synchronous", "busy_timeout")
            assert [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked] == ["wal", 1, 60_000]


def test_sqlite_waits_for_others_also_at_the_first_connection(tmp_path, monkeypatch):
    other, slept = sqlite3.connect(tmp_path / "study.db", isolation_level=None), []
    other.execute("CREATE TABLE t (x)")
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO t VALUES (1)")
    monkeypatch.setattr(
        storage.time, "sleep", lambda s: slept.append(s) or (len(slept) == 2 and other.execute("COMMIT"))
    )
    with engine_for(f"sqlite:///{tmp_path / 'study.db'}").connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    assert len(slept) == 2


def test_an_option_in_the_url_comes_first(tmp_path):
    with engine_for(f"sqlite:///{tmp_path / 'study.db'}?timeout=7").connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 7000


@pytest.mark.parametrize("name", ["50%.db", "a b.db", "a#b@c.db", "{x}.db", "grün.db"])
def test_a_file_gets_the_name_that_was_typed(name, tmp_path):
    values = search(open_storage(f"sqlite:///{tmp_path / name}"))
    assert [file.name for file in tmp_path.glob("*.db")] == [name]
    assert search(open_storage(f"sqlite:///{tmp_path / name}"), n_trials=0) == values


def test_a_question_mark_in_a_file_name_is_not_dropped(tmp_path):
    assert "write ? as %3F" in refusal(f"sqlite:///{tmp_path / 'what?.db'}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "sqlite:///study.db"),
        ("study.db", "'study.db'"),
        ("sqlite:/study.db", "must be null or a URL"),
        ("nonsense://host/db", "must be null or a URL"),
        ("postgres://host/db", "postgresql://user:password@host/database"),
        ("postgresql://me:s3cret@host:port/db", "'postgresql://***@host:port/db'"),
        ("postgresql://me:s3cret/@host:port/db?password=s3cret", "@ is %40"),
        ("sqlite:///missing/study.db", "mkdir -p missing"),
        ("journal:///missing/study.log", "No such file"),
    ],
)
def test_what_cannot_be_opened_is_refused_by_name(url, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal(url)
    assert said in message
    assert "s3cret" not in message
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize(
    ("driver", "module", "package"),
    [
        ("postgresql+psycopg2", "psycopg2", "psycopg2-binary"),
        ("postgresql+psycopg", "psycopg", "'psycopg[binary]'"),
        ("mysql+pymysql", "pymysql", "pymysql"),
    ],
)
def test_a_missing_driver_is_named_with_what_to_type(driver, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    message = refusal(f"{driver}://me:s3cret@host/db")
    assert f"pip install {package}" in message
    assert f"{driver}://***@host/db" in message


def test_a_database_that_does_not_answer_is_refused_without_its_password(monkeypatch):
    def down():
        raise sqlite3.OperationalError("connection to 'host' as 'p@ss/s3cret' failed:\n  Connection refused.")

    monkeypatch.setattr(storage, "engine_for", lambda url: sqlalchemy.create_engine("sqlite:///x", creator=down))
    message = refusal("postgresql+psycopg2://me:p@ss/s3cret@host/db")
    assert "as '***' failed: Connection refused; other places are null" in message
    assert "s3cret" not in message


def test_a_server_that_was_restarted_is_noticed():
    settings_of = storage._settings(sqlalchemy.make_url("postgresql+psycopg2://me@host/db"))
    assert settings_of == {"connect_args": {"connect_timeout": 10}, "pool_pre_ping": True}
    own = storage._settings(sqlalchemy.make_url("postgresql+psycopg2://me@host/db?connect_timeout=3"))
    assert own["connect_args"] == {}


@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_a_file_that_is_something_else_is_refused_and_kept(scheme, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("To buy:\n - milk\n - " + "oats\n" * 200)
    before = file.read_bytes()
    assert ("not a database" if scheme == "sqlite" else "no journal of a study") in refusal(
        f"{scheme}://{'/' * (scheme == 'sqlite')}{file}"
    )
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal://"])
def test_a_folder_is_no_storage(scheme, tmp_path):
    refusal(f"{scheme}{tmp_path}")


def tables(file):
    with sqlite3.connect(file) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_the_database_of_another_program_gets_no_tables(tmp_path):
    file = tmp_path / "mlflow.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE experiments (name)")
        connection.execute("CREATE TABLE alembic_version (version_num)")
    assert "another program's tables (alembic_version, experiments" in refusal(f"sqlite:///{file}")
    assert tables(file) == {"alembic_version", "experiments"}


def test_tables_of_an_older_optuna_are_refused_with_what_to_do(tmp_path):
    file = tmp_path / "study.db"
    open_storage(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v2.6.0.a'")
    assert "optuna storage upgrade" in refusal(f"sqlite:///{file}")


CREATE = """
import sys
import optuna
from phalanx.study.storage import open_storage
print("ready", flush=True)
sys.stdin.readline()
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage=open_storage(sys.argv[1]), study_name="s", load_if_exists=True)
for _ in range(5):
    study.tell(study.ask(), 1.0)
"""


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal://"])
def test_several_processes_may_create_one_storage(scheme, tmp_path):
    url = f"{scheme}{tmp_path / 'study'}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    drivers = [subprocess.Popen([sys.executable, "-c", CREATE, url], **pipes) for _ in range(3)]
    assert [driver.stdout.readline() for driver in drivers] == ["ready\n"] * 3
    for driver in drivers:
        driver.stdin.write("go\n")
        driver.stdin.flush()
    ended = [driver.communicate(timeout=120) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0] * 3, ended
    study = optuna.load_study(storage=open_storage(url), study_name="s")
    assert [trial.number for trial in study.trials] == list(range(15))


@pytest.mark.parametrize("url", ["journal://study.log", "journal:study.log", "journal://./a/study.log"])
def test_a_relative_journal_is_refused_saying_why(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal(url)
    assert "another file for a driver that starts in another folder" in message
    assert f"hydra.sweeper.storage=journal://{tmp_path}/" in message
    assert list(tmp_path.iterdir()) == []


def test_a_whole_journal_is_left_as_it_is(tmp_path, caplog, monkeypatch):
    file = tmp_path / "a b%20c.log"
    url = f"journal://{tmp_path}/a b%2520c.log"
    values = search(open_storage(url))
    before = file.read_bytes()
    caplog.clear()
    # A killed driver's lock would be waited for.
    monkeypatch.setattr(storage.JournalFileOpenLock, "acquire", lambda lock: pytest.fail("locked"))
    assert [trial.value for trial in optuna.load_study(storage=open_storage(url), study_name="s").trials] == values
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]
    assert not caplog.records


TORN = [
    b'{"op_code":4,"worker_id":"0f',
    b'{"op_code":4,"worker_id":"0f\n',
    b'{"op_code":4,"worker_id":"0f"}',
    b'{"op_code":4,"wor{"op_code":5,"worker_id":"0f"}\n',
    b'{"op_code":4\n{"op_code":4\n{"op',
    b"\0" * 50,
    b"7\n",
]


@pytest.mark.parametrize("tail", TORN)
def test_a_torn_end_of_a_journal_is_set_aside(tail, tmp_path, caplog):
    file = tmp_path / "study.log"
    url = f"journal://{file}"
    values = search(open_storage(url))
    before = file.read_bytes()
    file.write_bytes(before + tail)
    opened = open_storage(url)
    assert file.read_bytes() == before
    assert (tmp_path / "study.log.torn").read_bytes() == tail
    assert f"its last {len(tail)} bytes are now in study.log.torn" in caplog.text
    assert search(opened, n_trials=2, seed=1)[:5] == values
    assert len(search(open_storage(url), n_trials=0)) == 7


def test_two_torn_ends_are_both_kept(tmp_path):
    file = tmp_path / "study.log"
    search(open_storage(f"journal://{file}"))
    for tail in TORN[:2]:
        with open(file, "ab") as stream:
            stream.write(tail)
        open_storage(f"journal://{file}")
    assert (tmp_path / "study.log.torn").read_bytes() == TORN[0] + TORN[1]


def test_a_journal_whose_first_line_is_torn_starts_again(tmp_path):
    file = tmp_path / "study.log"
    file.write_bytes(TORN[0])
    assert len(search(open_storage(f"journal://{file}"))) == 5


def test_a_torn_end_is_moved_once(tmp_path):
    file = tmp_path / "study.log"
    values = search(open_storage(f"journal://{file}"))
    file.write_bytes(file.read_bytes() + TORN[0])
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(open_storage, [f"journal://{file}"] * 4))
    assert (tmp_path / "study.log.torn").read_bytes() == TORN[0]
    assert [search(each, n_trials=0) for each in opened] == [values] * 4


def test_a_line_that_is_being_written_is_not_torn(tmp_path, monkeypatch, caplog):
    file = tmp_path / "study.log"
    values = search(open_storage(f"journal://{file}"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    acquire = storage.JournalFileOpenLock.acquire

    def done(lock):
        monkeypatch.undo()
        file.write_bytes(whole)
        return acquire(lock)

    monkeypatch.setattr(storage.JournalFileOpenLock, "acquire", done)
    opened = open_storage(f"journal://{file}")
    assert list(tmp_path.iterdir()) == [file]
    assert "torn" not in caplog.text
    assert search(opened, n_trials=0) == values


def test_damage_inside_a_journal_is_refused_and_kept(tmp_path):
    file = tmp_path / "study.log"
    search(open_storage(f"journal://{file}"))
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:4], TORN[1], *lines[4:]]))
    before = file.read_bytes()
    refusal(f"journal://{file}")
    assert file.read_bytes() == before


def lost(kind=OperationalError):
    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = kind("UPDATE", {}, Exception("server closed the connection"))
    return error


@pytest.mark.parametrize("error", [lost(), lost().__cause__, StorageInternalError("no cause")])
def test_a_lost_connection_is_waited_out(error, monkeypatch, caplog):
    left, slept = [error, error], []
    monkeypatch.setattr(storage.time, "sleep", slept.append)

    def call(a, b):
        if left:
            raise left.pop()
        return a + b

    assert with_retries(call, 2, 3) == 5
    assert slept == [0.5, 1.0]
    assert caplog.text.count("does not answer") == 2


def test_retries_end_with_an_error(monkeypatch):
    slept = []
    monkeypatch.setattr(storage.time, "sleep", slept.append)

    def call():
        raise lost()

    with pytest.raises(StorageLost, match="server closed the connection; everything finished is kept"):
        with_retries(call)
    assert slept == sorted(slept)
    assert 25 < sum(slept) < 40


@pytest.mark.parametrize("error", [lost(IntegrityError), lost(IntegrityError).__cause__, ValueError("no"), KeyError(1)])
def test_other_errors_pass_at_once(error, monkeypatch):
    calls = []
    monkeypatch.setattr(storage.time, "sleep", lambda s: pytest.fail("waited"))

    def call():
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        with_retries(call)
    assert len(calls) == 1


def test_the_reason_is_one_line_in_the_drivers_words():
    assert storage.reason(lost()) == "server closed the connection"
    assert storage.reason(ValueError()) == "ValueError"
    assert storage.reason(FileNotFoundError(2, "No such file", "x")) == "No such file"
