"""One line of the journal: canonical, checksummed, chained to the line before; pure.

A line is ``crc32 SP body LF``: eight lower hex digits and canonical JSON with ``n`` (number from 1), ``p`` (digest
of the previous body), ``d`` (1 if durable before append returned), ``s`` (number of the last record before this one
that has ``d`` = 1, so certainly on disk), ``t`` (type) and the payload. All of it follows from the records alone:
a run that was killed and continued has the same bytes as one that never was.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

NO_DIGEST = "0" * 32
MAX_LINE = 1 << 20
_OWN_KEYS = frozenset("npdst")
_INT64 = 1 << 63
_AS_THEY_ARE = frozenset((str, bool, type(None)))
_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class Record(NamedTuple):
    """One event of a run."""

    number: int
    """Counts from 1 without gaps."""
    type: str
    payload: dict[str, Any]
    """Integers, strings, booleans, nulls, lists and objects only."""
    synced: bool
    """Whether the record was durable before append returned."""
    digest: str
    """32 hex digits over the body, which holds the digest of the record before."""


class Chain(NamedTuple):
    """What the next line has to continue."""

    length: int = 0
    head: str = NO_DIGEST
    """Digest of the last body."""
    last_synced: int = 0
    """Number of the last record with ``sync``, 0 before the first."""

    def line(self, type: str, payload: Mapping[str, Any], *, sync: bool) -> bytes:
        """The line of the next record.

        Raises:
            TypeError: the payload holds a float or anything else that is not canonical.
            ValueError: the payload uses one of the keys n, p, d, s, t, or the line passes MAX_LINE.
        """
        if clash := _OWN_KEYS & payload.keys():
            raise ValueError(f"payload of {type!r} uses the journal's own keys {sorted(clash)}")
        chained = {"n": self.length + 1, "p": self.head, "d": int(sync), "s": self.last_synced, "t": type}
        body = _canonical({**payload, **chained})
        if len(body) + 10 > MAX_LINE:
            raise ValueError(f"a {type!r} record of {len(body)} bytes is over the limit of {MAX_LINE}")
        return _line(body)

    def after(self, line: bytes, *, sync: bool) -> "Chain":
        """The chain with ``line`` at its end."""
        length = self.length + 1
        return Chain(length, _digest(line[9:-1]), length if sync else self.last_synced)

    def accepts(self, body: Mapping[str, Any]) -> bool:
        """Whether ``body`` follows the last record: by its number, the hash before it and its synced mark."""
        return (body["n"], body["p"], body["s"]) == (self.length + 1, self.head, self.last_synced)


def whole_body(line: bytes) -> dict[str, Any] | None:
    """The body of a line that is, byte for byte, what its own content encodes to, else None."""
    encoded = line[9:-1]
    if line != _line(encoded):
        return None
    try:
        body = json.loads(encoded)
        whole = isinstance(body, dict) and _canonical(body) == encoded
    except (ValueError, TypeError, RecursionError):
        return None
    types = {"n": int, "p": str, "d": int, "s": int, "t": str}
    return body if whole and all(type(body.get(key)) is kind for key, kind in types.items()) else None


def record_of(line: bytes) -> Record:
    """The record of a verified line."""
    body = json.loads(line[9:])
    payload = {key: value for key, value in body.items() if key not in _OWN_KEYS}
    return Record(body["n"], body["t"], payload, body["d"] == 1, _digest(line[9:-1]))


def difference(derived: bytes, recorded: bytes) -> str:
    """Which record and field make two lines differ, in words."""
    new, old = json.loads(derived[9:]), json.loads(recorded[9:])
    place = f"record {old['n']} was recorded as {old['t']!r}"
    if new["t"] != old["t"]:
        return f"{place}, now it comes out as {new['t']!r}"
    key = next(key for key in sorted(new.keys() | old.keys()) if _shown(new, key) != _shown(old, key))
    return f"{place} with {key!r} = {_shown(old, key)}, now it is {_shown(new, key)}"


def _shown(body: Mapping[str, Any], key: str) -> str:
    return json.dumps(body[key], sort_keys=True) if key in body else "absent"


def _line(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()


def _canonical(value: object) -> bytes:
    if not _repeats(value):
        _refuse_unrepeatable(value, "record")
    return _encoded(value).encode("ascii")


def _repeats(value: object) -> bool:
    """Whether all of ``value`` comes back from JSON as it goes in; `_refuse_unrepeatable` names what does not."""
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str or not (type(item) in _AS_THEY_ARE or _repeats(item)):
                return False
        return True
    if type(value) is list:
        return all(map(_repeats, value))
    return type(value) in _AS_THEY_ARE or (type(value) is int and -_INT64 <= value < _INT64)


def _refuse_unrepeatable(value: Any, place: str) -> None:
    """Raise TypeError at the first part that would not come back from JSON as it went in."""
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"{place}: the key {key!r} is no str")
            _refuse_unrepeatable(item, f"{place}.{key}")
    elif kind is list:
        for index, item in enumerate(value):
            _refuse_unrepeatable(item, f"{place}[{index}]")
    elif not _repeats(value):
        raise TypeError(
            f"{place}: {value!r} ({kind.__name__}) cannot be journalled: only int of 64 bits, str, bool, ..."
        )
