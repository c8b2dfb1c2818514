"""What is masked in URLs, texts and source code, and what is refused as a literal password."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.core.redaction import has_password, redact, redact_source, shown

SECRET, OTHER = "s3cret/p@ss", "p@ss/w:s3cret"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://me:{SECRET}@host:5432/db",
        f"a failure at http://me:{SECRET}@host/path, retry",
        f"https://{SECRET.replace('/', '')}@host",
        f"http://host/?user=me&password={SECRET}&x=1",
        f"mysql+pymysql://:{SECRET}@host/db?ssl=1",
    ],
)
def test_redact_masks_urls_anywhere_in_a_text(text):
    safe = redact(text)
    assert "p@ss" not in safe
    assert "s3cret" not in safe
    assert "***" in safe
    assert "host" in safe


def test_redact_masks_a_password_in_pieces():
    safe = redact("nonnumeric port: 's3cret'", f"http://me:{SECRET}@host")
    assert safe == "nonnumeric port: '***'"


@pytest.mark.parametrize("text", ["sqlite:///mlflow.db", "http://host:5000/a", "me@host.org", "a: b@c", "key=1"])
def test_redact_leaves_the_harmless_alone(text):
    assert redact(text) == text


def test_redact_keeps_json_whole():
    text = json.dumps({"a": "http://host:80", "b": "x@y", "c": f"http://me:{SECRET}@host"}, separators=(",", ":"))
    assert json.loads(redact(text)) == {"a": "http://host:80", "b": "x@y", "c": "http://***@host"}


PLACES = [
    "postgresql://me:{}@host:5432/db",
    "mysql+pymysql://:{}@host/db?ssl=1",
    "postgresql://me:{}@host:port/db",
    "postgresql:/me:{}@host/db",
    "me:{}@host/db",
    "postgresql://host/db?user=me&password={}",
    "postgresql://host/db?p%61ssword={}&x=1",
    "mssql+pyodbc:///?odbc_connect=UID%3Dme;PWD%3D{}",
    "sqlite:///study.db?auth_token={}",
]


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=60, deadline=None)
@given(inner=st.text("aB3@/?#:; %'\"=.", max_size=12))
def test_no_password_is_shown(place, inner):
    safe = shown(place.format(f"qZ7{inner}Xk9"))
    assert "***" in safe
    assert "qZ7" not in safe
    assert "Xk9" not in safe


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        (None, "in memory"),
        ("", ""),
        ("study.db", "study.db"),
        ("sqlite:///a:b@c%20d.db?timeout=5", "sqlite:///a:b@c%20d.db?timeout=5"),
        ("journal:///data/a@b.log", "journal:///data/a@b.log"),
        ("postgresql://host:5432/db?sslmode=require", "postgresql://host:5432/db?sslmode=require"),
        ("postgresql://me:s3cret@host:5432/db", "postgresql://***@host:5432/db"),
        ("postgresql://host/db?user=me&password=a&x=1", "postgresql://host/db?user=me&password=***&x=1"),
    ],
)
def test_what_is_no_secret_is_shown(url, safe):
    assert shown(url) == safe


@pytest.mark.parametrize(
    ("text", "url", "safe"),
    [
        (f"at postgresql://me:{OTHER}@host/db, retry", "", "at postgresql://***@host/db, retry"),
        (f"http://host/?user=me&password={OTHER}&x=1", "", "http://host/?user=me&password=***&x=1"),
        ("nonnumeric port: 's3cret'", f"http://me:{OTHER}@host", "nonnumeric port: '***'"),
        ("no option 'p@ss'", "postgresql://host/db?password=p%40ss", "no option '***'"),
        ("me@host.org a: b@c key=1 sqlite:///a.db", "sqlite:///a.db", "me@host.org a: b@c key=1 sqlite:///a.db"),
    ],
)
def test_redact_masks_the_password_of_a_url_and_nothing_else(text, url, safe):
    assert redact(text, url) == safe


@pytest.mark.parametrize(
    "line",
    ['api_key = "abcdef123456"', "PASSWORD=abcdef123456", "token: abcdef123456", '+    "client_secret": "abcdef123456",',
     "export AWS_SECRET_ACCESS_KEY=abcdef123456"],
)  # fmt: skip
def test_source_loses_what_names_tell_to_be_secret(line):
    assert "abcdef" not in redact_source(line)
    assert "***" in redact_source(line)


@pytest.mark.parametrize(
    "line",
    [
        "n_tokens = 1000000",
        "max_token=12345678",
        "token_id = self.next_token2(x)",
        "password = ${oc.env:PASSWORD}",
        "secrets.token_hex(3)",
        "token = next(it)",
    ],
)
def test_source_keeps_what_is_no_secret(line):
    assert redact_source(line) == line


LITERAL = [
    "postgresql://me:s3cret@host:5432/db",
    "postgresql://me:s3/cr3t@host/db",
    "postgresql+psycopg://:s3cret@host/db",
    "[sqlite:///a.db,postgresql://me:s3cret@host/db]",
    'http://me:s3"cret@host',
    "postgresql://host/db?user=me&password=s3cret",
    "http://host/?access_token=s3cret&x=1",
    "http://host/?API_KEY=s3cret",
]


@pytest.mark.parametrize("text", LITERAL)
def test_a_literal_password_is_found_and_masked(text):
    assert has_password(text)
    assert has_password(f"run at {text}")
    masked = redact(text, text)
    assert not any(piece in masked for piece in ("s3", "cr3t", "cret"))


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:${oc.env:PASSWORD}@host/db",
        "${oc.env:STUDY_URL}",
        "postgresql://host/db?password=${oc.env:PASSWORD}",
        "postgresql://me@host/db",
        "http://host:5000/a@b",
        "sqlite:///a:b@c.db",
        "see me@host.org: key=1",
        "password=s3cret",
    ],
)
def test_interpolations_ports_and_user_names_are_no_literal_password(text):
    assert not has_password(text)
