"""What an object store says, in the words of a person who has to mend it.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, and what the drivers of files
and tables (Rust's `object_store`) make of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from levada.errors import ConfigError, Fatal, LevadaError, Retriable

_KEYS = "check the credentials in storage_options"
_AGAIN = "it is tried again"
_REACH = "check the network, and the endpoint in storage_options"
_RIGHTS = (
    "the key needs s3:ListBucket of the bucket, and s3:GetObject, PutObject and DeleteObject below `path`"
)

#: Part of an answer -> what to raise, what to say and the advice; the first that is found counts.
_MEANINGS: tuple[tuple[str, type[LevadaError], str, str], ...] = (
    ("NoSuchBucket", ConfigError, "there is no {bucket}", "create it, or mend `path`"),
    ("InvalidAccessKeyId", ConfigError, "the store does not know the access key", _KEYS),
    ("InvalidToken", ConfigError, "the store does not accept the session token", _KEYS),
    ("ExpiredToken", ConfigError, "the session token has expired", "get a new one"),
    ("SignatureDoesNotMatch", ConfigError, "the secret does not belong to the access key", _KEYS),
    ("RequestTimeTooSkewed", Fatal, "this machine's clock is wrong", "set it: the store refuses signatures"),
    ("AuthorizationHeaderMalformed", ConfigError, "the bucket is in another region", "mend AWS_REGION"),
    ("PermanentRedirect", ConfigError, "the bucket is in another region", "mend AWS_REGION"),
    ("301 Moved Permanently", ConfigError, "the bucket is in another region", "mend AWS_REGION"),
    ("AccessDenied", ConfigError, "the access key has no right to this", _RIGHTS),
    ("403 Forbidden", ConfigError, "the store refuses: wrong credentials, or no right to this", _KEYS),
    ("401 Unauthorized", ConfigError, "the store refuses: wrong credentials, or no right to this", _KEYS),
    ("Connection refused", Retriable, "can't reach the store{host}: connection refused", _REACH),
    ("dns error", Retriable, "can't reach the store{host}: there is no such host", _REACH),
    ("peer certificate", ConfigError, "the certificate of the store{host} is not accepted", _REACH),
    ("timed out", Retriable, "the store{host} did not answer in time", _AGAIN),
    ("error sending request", Retriable, "can't reach the store{host}", _REACH),
    ("SlowDown", Retriable, "the store{host} asks for fewer requests", _AGAIN),
    ("429 Too Many Requests", Retriable, "the store{host} asks for fewer requests", _AGAIN),
    ("503 Service Unavailable", Retriable, "the store{host} is busy (503)", _AGAIN),
    ("500 Internal Server Error", Retriable, "the store{host} has a fault of its own (500)", _AGAIN),
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: What is worth telling of an answer in XML, which may name keys as well.
_TOLD = re.compile(r"<(?:Code|Message)>([^<]*)<")
_CHAIN = re.compile(r"^(?:Kernel error -> |Generic \w+ error: )+")
_BUCKET = re.compile(r"<BucketName>([^<]+)<")
_IN_URL = re.compile(r"^\w+://([^/\s]+)")
_HOST = re.compile(r"\bError performing [A-Z]+ \w+://(?:[^@/\s]*@)?([^/\s]+)")
#: Shorter values are no secrets, and masking them would make the text unreadable.
_SHORTEST = 4
_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)


def fault(text: str, where: str) -> LevadaError | None:
    """What a store's answer means; None where it is not known.

    Args:
        text: as the driver tells it.
        where: the table or the URL.
    """
    found = next((meaning for meaning in _MEANINGS if meaning[0] in text), None)
    if found is None:
        return None
    _, kind, what, hint = found
    host, bucket = _HOST.search(text), _BUCKET.search(text) or _IN_URL.search(where)
    told = what.format(
        host=f" at {host[1]}" if host else "", bucket=f"bucket {bucket[1]!r}" if bucket else "such bucket"
    )
    return kind(told, where=where, hint=hint)


def shown(text: str, options: Mapping[str, str]) -> str:
    """A driver's text in one line, without its colours, its XML and what the options keep secret."""
    head, _, answer = " ".join(_COLOUR.sub("", text).replace(" ↳", ":").split()).partition("<?xml")
    told = " ".join([head.replace(" :", ":"), *(found[1] for found in _TOLD.finditer(answer))])
    for name, value in options.items():
        if len(value) >= _SHORTEST and _SECRET.search(name):
            told = told.replace(value, "***")
    return _CHAIN.sub("", told).strip()
