"""Paths and URIs of settings: what leads somewhere, and what leads nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from stableanimator.limits.checks import CollectionName
from stableanimator.limits.places import STORES, Place


@pytest.mark.parametrize(
    ("schemes", "value"),
    [
        (STORES, "/data/a b/../c#d?e%00"),
        (STORES, "file:///data"),
        (STORES, "file://localhost/data"),
        (STORES, "s3://bucket"),
        (STORES, "s3://bucket/folder?region=x&endpoint_override=http://host"),
        (STORES, "gs://bucket/a/b"),
        (STORES, "abfs://container@account.dfs.core.windows.net/folder"),
        (("package",), "package://stableanimator.synthetic/weights/base"),
        (("http", "https"), "HTTPS://host.test/%00.mp4?x=1#y"),
    ],
)
def test_what_leads_somewhere(schemes: tuple[str, ...], value: str) -> None:
    assert Place(schemes).fault(value) is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "is '', a relative path"),
        ("data", "a relative path"),
        ("~/data", "a relative path"),
        ("ftp://host/a", "it must be an absolute path, or begin with file://, s3://"),
        ("S3://bucket/a", "begin with"),
        ("mock://a", "begin with"),
        ("hdfs://host/a", "begin with"),
        ("/data/a://b", "begin with"),
        ("://", "begin with"),
        ("s3://", "it names no bucket"),
        ("s3:///a", "it names no bucket"),
        ("s3://key:secret@/a", "it names no bucket"),
        ("gs://?x=1", "it names no bucket"),
        ("file://", "three slashes"),
        ("file://host/a", "three slashes"),
        ("file:///a%00b", "has a character that no path may have"),
        ("s3://bucket/a%0Ab", "has a character that no path may have"),
        ("/a\0b", "has a character that no path may have"),
        ("/a\ud800", "has a character that no path may have"),
        ("/" + "a" * 5000, "has 5001 characters"),
        (7, "must be a path, not 7"),
    ],
)
def test_what_leads_nowhere(value: Any, told: str) -> None:
    fault = Place(STORES).fault(value)
    assert fault is not None
    assert told in fault
    assert "\n" not in fault


def test_a_package_is_not_left() -> None:
    for value in ("package://a/../../etc", "package://a//etc/passwd", "package:///etc"):
        assert Place(("package",)).fault(value) is not None


def test_a_name_stands_where_there_is_no_slash() -> None:
    place = Place(STORES, named=CollectionName(("shipped",)))
    assert [place.fault(value) for value in ("latest", "shipped", "0a9f", "/data/a", "s3://bucket/a")] == [None] * 5
    for value in ("pairs.parquet", "nobody", "", "..", "data/pairs.parquet", "0A"):
        assert place.fault(value) is not None
