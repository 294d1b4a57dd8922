from __future__ import annotations

import io
import logging
import pickle

import pytest

from stableanimator.errors import FetchError, InputError
from stableanimator.redaction import holds_credentials, log_to_stderr, public_url, redacted, redacted_tree

SECRETS = [
    "s3://AKID:hush@bucket/x",
    "http://me:hush@proxy:3128",
    "postgresql+psycopg2://me:hush@host/runs",
    "https://h/a.mp4?X-Amz-Credential=a&X-Amz-Signature=hush",
    "https://h/a.mp4?sv=2024&sig=hush%3D",
    "https://h/a.mp4?Expires=1&Signature=hush&Key-Pair-Id=k",
    "HTTPSConnectionPool(host='h', port=443): Max retries exceeded with url: /a.mp4?token=hush (Caused by …)",
    "https://h/v?api_key=hush",
    "https://h/v?v=1&amp;access_token=hush#t",
    "https://h/#access_token=hush",
    "s3://bucket/x?secret_key=hush&region=x",
    "abfs://box@account/x?account_key=hush",
    "{'Authorization': 'Bearer hush', 'Accept': '*/*'}",
    "Cookie: session=hush; other=hush",
    "Proxy-Authorization: Basic hush",
    "token hf_hushhushhushhushhush of the hub",
    "ftp://h:21/?password=hush",
]


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_taken_out_once_and_for_all(text: str) -> None:
    clean = redacted(text)
    assert "hush" not in clean
    assert "***" in clean
    assert redacted(clean) == clean


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/set?region=x&endpoint_override=http%3A%2F%2Fhost%3A9000#frame=3",
        "https://h/watch?v=abc&t=12",
        "give http://HEAD:8265 with the port of its dashboard; mail me@host",
        "sqlite:////a@b/mlflow.db",
        "/data/a@b/c.mp4",
        "train.loop.learning_rate=1; key=value",
        "a.b=value, monkey=3 and ?monkey=3",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_errors_and_rows_hold_none_wherever_they_are_told() -> None:
    error = pickle.loads(pickle.dumps(InputError("s3://a:hush@b/c cannot be read")))
    assert str(error) == "s3://***@b/c cannot be read"
    row = pickle.loads(pickle.dumps(FetchError("timeout", "url: /a?token=hush")))
    assert (str(row), row.detail) == ("timeout: url: /a?token=***", "url: /a?token=***")
    assert redacted_tree({"a": ["s3://a:hush@b", 1], "b": None}) == {"a": ["s3://***@b", 1], "b": None}


def test_a_log_holds_none_not_even_in_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, root = io.StringIO(), logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr("sys.stderr", shown)
    log_to_stderr()
    try:
        raise OSError("http://me:hush@proxy refuses")
    except OSError:
        logging.getLogger("x").exception("fetching %s", "https://h/a?sig=hush")
    assert "fetching https://h/a?sig=***" in shown.getvalue()
    assert "OSError: http://***@proxy refuses" in shown.getvalue()
    assert "hush" not in shown.getvalue()


def test_a_stored_url_is_the_same_however_it_was_signed() -> None:
    amazon = "https://b.s3.amazonaws.com/a.mp4?versionId=7&X-Amz-Date={0}&X-Amz-Credential={0}&X-Amz-Signature={0}"
    azure = "https://a.blob.core.windows.net/c/a.mp4?sv={0}&se={0}&sp=r&sig={0}"
    front = "https://d.cloudfront.net/a.mp4?Expires={0}&Signature={0}&Key-Pair-Id={0}"
    assert {public_url(amazon.format(number)) for number in (1, 2)} == {amazon.partition("&")[0]}
    for url in (azure, front):
        assert {public_url(url.format(number)) for number in (1, 2)} == {url.partition("?")[0]}
    assert public_url("https://me:hush@h/a?x=1") == "https://***@h/a?x=1"
    assert public_url("https://h/a?sv=1&expires=3&x=1") == "https://h/a?sv=1&expires=3&x=1"  # nothing is signed


def test_files_that_a_secret_alone_tells_apart_stay_two() -> None:
    one, other = (public_url(f"https://h/get?key={name}&x=1") for name in ("a.mp4", "b.mp4"))
    assert one != other
    assert one.startswith("https://h/get?key=***")
    assert "a.mp4" not in one
    assert public_url(one) == redacted(one) == one
    assert public_url("https://h/get?key=a.mp4&x=1") == one


@pytest.mark.parametrize(
    ("uri", "holds"),
    [
        ("s3://key:secret@bucket/x", True),
        ("s3://key@bucket/x", True),
        ("s3://bucket/x?secret_key=a", True),
        ("s3://bucket/x?region=a&access_key=b", True),
        ("abfs://container:password@account.dfs.core.windows.net/x", True),
        ("hdfs://me:secret@host/x", True),
        ("abfs://container@account.dfs.core.windows.net/x", False),
        ("gs://anonymous@bucket/x", False),
        ("s3://bucket/a@b?region=x&endpoint_override=h", False),
        ("/data/a:b@c?secret_key=d", False),
        ("file:///data/x", False),
    ],
)
def test_places_hold_credentials_before_the_host_or_as_options(uri: str, holds: bool) -> None:
    assert holds_credentials(uri) == holds
