"""What is secret in a text, and the text without it: the one rule for logs, errors, records and addresses.

s3://KEY:SECRET@bucket/x            s3://***@bucket/x
https://h/a.mp4?token=abc           https://h/a.mp4?token=***
Authorization: Bearer abc           Authorization: ***
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]*@", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&;#])([^\s=?&;#\"'<>]+)=([^\s&;#\"'<>]*)")
_SECRET = re.compile(
    r"x-(amz|goog|oss|cos|ms)-.+"
    r"|.*(token|secret|passw(or)?d|signature|credentials?|api_?key|access_?key(_?id)?|access_?id)"
    r"|(.*[_.-])?(key|sig|auth|jwt|hmac|session|pwd|pass|policy|key-pair-id|hdnts|hdnea)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|cookie|set-cookie|x-api-key)([\"']?\s*[:=]\s*[\"']?)[^\r\n\"']+", re.IGNORECASE
)
_TOKEN = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,})\b")

_MARK = re.compile(r"\*\*\*[0-9a-f]{8}")  # of `public_url`
_SIGNATURES = ("x-amz-signature", "x-goog-signature", "x-oss-signature", "signature", "sig")
_SIGNED = re.compile(
    r"x-(amz|goog|oss)-(algorithm|credential|date|expires|signedheaders|signature|security-token|content-sha256)"
    r"|signature|sig|expires|policy|key-pair-id|(aws|oss)accesskeyid|googleaccessid"
    r"|sv|ss|srt|sr|sp|se|st|spr|sip|skoid|sktid|skt|ske|sks|skv",
    re.IGNORECASE,
)
"""What signing adds to a URL (S3, Google, OSS, CloudFront, Azure): another each time, for the same file."""
_NO_SECRET = ("abfs", "abfss", "gs", "gcs", "hdfs", "viewfs")
"""Schemes whose URIs may have a name before the @ that is none: a container, `anonymous`, a user."""


def redacted(text: str) -> str:
    """A text without the secrets that can be told in it. Doing it again changes nothing."""
    text = _USER.sub(r"\1***@", text)
    text = _PARAMETER.sub(lambda found: _hidden(found) if _SECRET.fullmatch(found[2]) else found[0], text)
    return _TOKEN.sub("***", _HEADER.sub(r"\1\2***", text))


def _hidden(found: re.Match[str]) -> str:
    kept = found[3] if _MARK.fullmatch(found[3]) else "***"
    return f"{found[1]}{found[2]}={kept}"


def redacted_tree(value: Any) -> Any:
    """The same of every text in a JSON-like value."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {name: redacted_tree(each) for name, each in value.items()}
    return [redacted_tree(each) for each in value] if isinstance(value, (list, tuple)) else value


def public_url(url: str) -> str:
    """An http(s) URL as tables keep it: without user and password, without what signing adds, and with a mark of 32
    bits in the place of any other secret, so that two files that differ in it alone (`?key=…`) stay two."""
    base, question, query = url.partition("?")
    base = _USER.sub(r"\1***@", base)
    parts = query.split("&") if question else []
    signed = any(_name(part).lower() in _SIGNATURES for part in parts)
    kept = [_marked(base, part) for part in parts if not (signed and _SIGNED.fullmatch(_name(part)))]
    return redacted(base + (question if kept else "") + "&".join(kept))


def _name(part: str) -> str:
    return part.partition("=")[0]


def _marked(base: str, part: str) -> str:
    name, equals, value = part.partition("=")
    if not value or _MARK.fullmatch(value) or not _SECRET.fullmatch(name):
        return part
    return f"{name}{equals}***{hashlib.sha256(f'{base} {part}'.encode()).hexdigest()[:8]}"


def holds_credentials(uri: str) -> bool:
    """Whether the path or URI of a filesystem carries a password or key, before its host or as an option."""
    if "://" not in uri:
        return False
    scheme, rest = uri.split("://", 1)
    user, at, _ = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if at and (":" in user or scheme.lower() not in _NO_SECRET):
        return True
    return any(_SECRET.fullmatch(_name(part)) for part in urlsplit(uri).query.split("&"))


WAY_OUT = (
    "which settings, tables and pages would show; take them out: the environment (AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY), a profile (AWS_PROFILE) or the machine's own role gives them"
)
"""What to do where a URI holds credentials."""


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def log_to_stderr(form: str = "%(asctime)s %(name)s: %(message)s") -> None:
    """Logging of a process that is a job's, redacted, tracebacks too; where logging is set up, it stays so."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(form, "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
