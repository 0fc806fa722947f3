"""How one message looks on a socket: a JSON header frame, then its arrays as raw frames; strict both ways."""

import json
import math
import re as regex
from collections.abc import Iterable, Mapping, Sequence
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
_NAME = regex.compile(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")

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
    kinds = [kind for kind, model in catalogue.items() if model is type(envelope.message)]
    if not kinds:
        raise WireError(f"{type(envelope.message).__name__} is not in the catalogue")
    header = {
        "v": SCHEMA_VERSION,
        "run": envelope.run,
        "id": envelope.id,
        "re": envelope.re,
        "kind": kinds[0],
        "arrays": [{"dtype": array.dtype.str, "shape": list(array.shape)} for array in envelope.arrays],
    }
    text = _WRITER.encode(header)[:-1] + ',"body":' + envelope.message.model_dump_json() + "}"
    frames = [text.encode("utf-8"), *(np.ascontiguousarray(array).tobytes() for array in envelope.arrays)]
    _check_limits(frames)
    if bad := [array.dtype.str for array in envelope.arrays if array.dtype.str not in DTYPES]:
        raise WireError(f"arrays of {bad[0]} do not travel, only {', '.join(DTYPES)}")
    return frames


def decode(frames: Sequence[bytes], catalogue: Catalogue) -> Envelope:
    """The message that the frames hold; arrays are read-only views of them.

    Raises:
        SchemaVersionError: a message of another version.
        WireError: anything else that is not exactly a message of the catalogue; no other exception comes out.
    """
    _check_limits(frames)
    header = _header(frames[0])
    try:
        message = _message(header, catalogue)
        arrays = _arrays(header["arrays"], frames[1:])
    except WireError as error:
        error.message_id = header["id"]
        raise
    return Envelope(header["run"], header["id"], header["re"], message, arrays)


def _check_limits(frames: Sequence[bytes]) -> None:
    if not 1 <= len(frames) <= 1 + MAX_ARRAYS:
        raise WireError(f"{len(frames)} frames, not 1 to {1 + MAX_ARRAYS}")
    if (longest := max(len(frame) for frame in frames)) > MAX_FRAME:
        raise WireError(f"a frame of {longest} bytes is over the limit of {MAX_FRAME}")


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


def _arrays(specs: object, frames: Sequence[bytes]) -> tuple[Array, ...]:
    if not isinstance(specs, list) or len(specs) != len(frames):
        raise WireError(f"{len(frames)} array frames do not match the header's list")
    return tuple(_array(spec, frame) for spec, frame in zip(specs, frames, strict=True))


def _array(spec: object, frame: bytes) -> Array:
    if not isinstance(spec, dict) or spec.keys() != {"dtype", "shape"} or spec["dtype"] not in DTYPES:
        raise WireError(f"an array needs exactly a shape and a dtype out of {', '.join(DTYPES)}")
    shape = spec["shape"]
    if not (isinstance(shape, list) and len(shape) <= 4 and all(type(n) is int and 0 <= n <= MAX_FRAME for n in shape)):
        raise WireError("an array's shape is up to 4 counts")
    dtype = np.dtype(spec["dtype"])
    if math.prod(shape) * dtype.itemsize != len(frame):
        raise WireError(f"{len(frame)} bytes are not an array {spec['dtype']} of shape {shape}")
    if dtype.kind == "b" and frame.strip(b"\x00\x01"):
        raise WireError("a boolean array holds a byte that is neither 0 nor 1")
    return np.frombuffer(frame, dtype).reshape(shape) if frame else np.empty(shape, dtype)
