"""How one message looks on a socket: a JSON header frame, then its arrays as raw frames; strict both ways."""

import json
import math
import re as regex
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

SCHEMA_VERSION = 1
MAX_FRAME = 64 * 1024
"""Bytes of a header or of an array."""
MAX_ARRAYS = 8
MAX_DEPTH = 16
DTYPES = ("<f4", "<i4", "<i8", "|b1")
_HEADER_KEYS = frozenset(("v", "run", "id", "re", "kind", "body", "arrays"))
_NAME_TEXT = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_NAME = regex.compile(rf"\A{_NAME_TEXT}\Z")
_AS_WE_WRITE = regex.compile(
    rf'{{"v": {SCHEMA_VERSION}, "run": "({_NAME_TEXT})", "id": "({_NAME_TEXT})", "re": (?:null|"({_NAME_TEXT})"), '
    r'"kind": "([a-z_]{1,64})", "arrays": (\[(?:{"dtype": ".{3}", "shape": \[[0-9, ]{0,32}\]}(?:, )?){0,8}\]),"body":'
)

Array = np.ndarray[Any, np.dtype[Any]]
Catalogue = Mapping[str, type[BaseModel]]
"""Which model each ``kind`` is."""


class WireError(Exception):
    """Frames that are not a message of ours."""

    message_id: str | None = None
    """Id of the message, where that much could be read."""


class SchemaVersionError(WireError):
    """A whole message, written for another version of the schema."""


class Message(BaseModel):
    """Base of a message: it never changes, and takes no key or type that it does not declare."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Ready(Message):
    """A worker can answer; ``serves`` names what it loaded (digests, versions), for the manifest."""

    kind: Literal["ready"] = "ready"
    serves: dict[str, str] = Field(default_factory=dict)


class Heartbeat(Message):
    """A worker waits for requests; sent between requests, never during one."""

    kind: Literal["heartbeat"] = "heartbeat"


class WorkerFailed(Message):
    """A worker cannot go on and ends."""

    kind: Literal["worker_failed"] = "worker_failed"
    cause: str = Field(max_length=2000)


class Refused(Message):
    """A worker could not read the request that this answers."""

    kind: Literal["refused"] = "refused"
    cause: str = Field(max_length=2000)


class Shutdown(Message):
    """End in order, with exit status 0."""

    kind: Literal["shutdown"] = "shutdown"


class Envelope(NamedTuple):
    """A message with what a reader needs to match it."""

    run: str
    id: str
    re: str | None
    """Id of the message that this one answers."""
    message: BaseModel
    arrays: tuple[Array, ...] = ()


class _Spec(NamedTuple):
    """What a header says of one array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    size: int
    """Bytes of it."""


class _Head(NamedTuple):
    """All that a header says; its arrays are still to be read."""

    run: str
    id: str
    re: str | None
    message: BaseModel
    specs: tuple[_Spec, ...]


class Received(NamedTuple):
    """A message that came in."""

    sender: str
    """Name of the worker, or ``runner``."""
    id: str
    message: BaseModel
    arrays: tuple[Array, ...] = ()


class Reply(NamedTuple):
    """What a worker answers."""

    message: BaseModel
    arrays: tuple[Array, ...] = ()


def catalogue_of(models: Iterable[type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """The models under the default of their ``kind`` field, with the workers' own messages (ready, heartbeat ...)."""
    every: tuple[type[BaseModel], ...] = (*models, Ready, Heartbeat, WorkerFailed, Refused, Shutdown)
    catalogue = {str(model.model_fields["kind"].default): model for model in every}
    assert len(catalogue) == len(every), "two models share a kind"
    return catalogue


def clean_cause(cause: str) -> str:
    """Text that can travel as a ``cause``: ASCII, and not too long."""
    return cause.encode("ascii", "backslashreplace").decode("ascii")[:2000]


def encode(envelope: Envelope, catalogue: Catalogue) -> list[bytes]:
    """The frames of a message.

    Raises:
        WireError: a frame passes the limits, or the model is not in the catalogue.
    """
    kind = getattr(envelope.message, "kind", "")
    if catalogue.get(kind) is not type(envelope.message):
        raise WireError(f"{type(envelope.message).__name__} is not in the catalogue")
    run, message_id, re, message, arrays = envelope
    text = (
        f'{{"v": {SCHEMA_VERSION}, "run": {_quoted(run)}, "id": {_quoted(message_id)}, '
        f'"re": {"null" if re is None else _quoted(re)}, "kind": "{kind}", '
        f'"arrays": [{", ".join([_spec_text(array.dtype.str, array.shape) for array in arrays])}],'
        f'"body":{message.model_dump_json()}}}'
    )
    frames = [text.encode("utf-8"), *[array.tobytes() for array in arrays]]
    _check_limits(frames)
    if bad := [array.dtype.str for array in arrays if array.dtype.str not in DTYPES]:
        raise WireError(f"arrays of {bad[0]} do not travel, only {', '.join(DTYPES)}")
    return frames


@lru_cache(maxsize=256)
def _spec_text(dtype: str, shape: tuple[int, ...]) -> str:
    return _WRITER.encode({"dtype": dtype, "shape": list(shape)})


def decode(frames: Sequence[bytes], catalogue: Catalogue) -> Envelope:
    """The message that the frames hold; arrays are read-only views of them.

    Raises:
        SchemaVersionError: a message of another version.
        WireError: anything else that is not exactly a message of the catalogue; no other exception comes out.
    """
    _check_limits(frames)
    head = _as_we_write(frames[0], catalogue) or _as_json(frames[0], catalogue)
    try:
        arrays = _arrays(head.specs, frames[1:])
    except WireError as error:
        error.message_id = head.id
        raise
    return Envelope(head.run, head.id, head.re, head.message, arrays)


def _check_limits(frames: Sequence[bytes]) -> None:
    if not 1 <= len(frames) <= 1 + MAX_ARRAYS:
        raise WireError(f"{len(frames)} frames, not 1 to {1 + MAX_ARRAYS}")
    if (longest := max(map(len, frames))) > MAX_FRAME:
        raise WireError(f"a frame of {longest} bytes is over the limit of {MAX_FRAME}")


def _as_we_write(frame: bytes, catalogue: Catalogue) -> _Head | None:
    """What a header says that is to the byte one of `encode`; None for any other.

    Nearly all are, and take less than half of the time so. Any other, a fault or another sender's spacing, is left to
    the strict reader, which says what is wrong; so is what might be nested too deep.
    """
    if frame.count(b"{") + frame.count(b"[") > MAX_DEPTH or not frame.endswith(b"}"):
        return None
    try:
        text = frame.decode("utf-8")
        if (found := _AS_WE_WRITE.match(text)) is None or (model := catalogue.get(found[4])) is None:
            return None
        body = text[found.end() : -1]
        message = model.model_validate_json(body)
        specs = _specs_as_written(found[5])
    except (ValueError, WireError):  # pydantic's own is a ValueError
        return None
    if message.model_dump_json() != body:  # a key twice, a number in another form
        return None
    return _Head(found[1], found[2], found[3], message, specs)


def _as_json(frame: bytes, catalogue: Catalogue) -> _Head:
    header = _header(frame)
    try:
        message, specs = _message(header, catalogue), _specs(header["arrays"])
    except WireError as error:
        error.message_id = header["id"]
        raise
    return _Head(header["run"], header["id"], header["re"], message, specs)


def _header(frame: bytes) -> dict[str, Any]:
    try:
        header = _READER.decode(frame.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise WireError(f"header is not strict JSON: {error}") from None
    if not isinstance(header, dict):
        raise WireError("header is not a JSON object")
    if frame.count(b"{") + frame.count(b"[") > MAX_DEPTH:  # else it cannot be deeper
        _check_depth(header)
    if type(header.get("v")) is int and header["v"] != SCHEMA_VERSION:
        mismatch = SchemaVersionError(f"schema version {header['v']}, here it is {SCHEMA_VERSION}")
        mismatch.message_id = header["id"] if _is_name(header.get("id")) else None
        raise mismatch
    if header.keys() != _HEADER_KEYS or type(header["v"]) is not int:
        raise WireError(f"header has not exactly the keys {', '.join(sorted(_HEADER_KEYS))}, or v is no integer")
    if not (_is_name(header["run"]) and _is_name(header["id"]) and (header["re"] is None or _is_name(header["re"]))):
        raise WireError("run, id or re is not an identifier")
    return header


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.match(value) is not None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


# Made once: json.loads and json.dumps make a new one at every message that is not read or written by their defaults.
_READER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
_WRITER = json.JSONEncoder(allow_nan=False)


def _check_depth(value: object) -> None:
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise WireError(f"header is nested deeper than {MAX_DEPTH}")
        inner = [x for x in level if isinstance(x, dict)]
        level = [item for x in inner for item in x.values()] + [i for x in level if isinstance(x, list) for i in x]
        depth += 1


def _message(header: dict[str, Any], catalogue: Catalogue) -> BaseModel:
    kind = header["kind"]
    model = catalogue.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise WireError(f"kind {str(kind)[:64]!r} is not in the catalogue")
    try:
        # Back to text: only pydantic's JSON mode is strict and still takes a decimal or a tuple.
        return model.model_validate_json(_WRITER.encode(header["body"]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise WireError(f"{kind}: {place or 'body'}: {first['msg']}") from None
    except ValueError as error:
        raise WireError(f"{kind}: {error}") from None


def _specs(listed: object) -> tuple[_Spec, ...]:
    if not isinstance(listed, list):
        raise WireError("a header's arrays are a list")
    return tuple(map(_spec, listed))


def _spec(listed: object) -> _Spec:
    if not isinstance(listed, dict) or listed.keys() != {"dtype", "shape"} or listed["dtype"] not in DTYPES:
        raise WireError(f"an array needs exactly a shape and a dtype out of {', '.join(DTYPES)}")
    shape = listed["shape"]
    if not (isinstance(shape, list) and len(shape) <= 4 and all(type(n) is int and 0 <= n <= MAX_FRAME for n in shape)):
        raise WireError("an array's shape is up to 4 counts")
    dtype = np.dtype(listed["dtype"])
    return _Spec(dtype, tuple(shape), math.prod(shape) * dtype.itemsize)


@lru_cache(maxsize=256)
def _specs_as_written(text: str) -> tuple[_Spec, ...]:
    """The specs that a list in our own writing holds: a worker's messages name the same few."""
    return _specs(_READER.decode(text))


def _arrays(specs: tuple[_Spec, ...], frames: Sequence[bytes]) -> tuple[Array, ...]:
    if len(specs) != len(frames):
        raise WireError(f"{len(frames)} array frames do not match the header's list")
    return tuple(map(_array, specs, frames))


def _array(spec: _Spec, frame: bytes) -> Array:
    dtype, shape, size = spec
    if size != len(frame):
        raise WireError(f"{len(frame)} bytes are not an array {dtype.str} of shape {list(shape)}")
    if dtype.kind == "b" and frame.strip(b"\x00\x01"):
        raise WireError("a boolean array holds a byte that is neither 0 nor 1")
    return np.frombuffer(frame, dtype).reshape(shape) if frame else np.empty(shape, dtype)
