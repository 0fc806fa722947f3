"""A message survives the wire exactly; whatever is not exactly a message is refused by one exception."""

import json
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from orchestrator.messaging import wire
from orchestrator.messaging.wire import (
    MAX_ARRAYS,
    MAX_DEPTH,
    MAX_FRAME,
    Array,
    Envelope,
    Heartbeat,
    Message,
    Ready,
    Refused,
    SchemaVersionError,
    Shutdown,
    WireError,
    WorkerFailed,
    catalogue_of,
    clean_cause,
    decode,
    encode,
)


class Ask(Message):
    """A question of these tests."""

    kind: Literal["ask"] = "ask"
    number: int
    share: Decimal = Decimal("0.5")
    legal: tuple[bool, ...] = ()
    note: str = Field("", max_length=20)


class Uncatalogued(Message):
    """Not in the catalogue."""

    kind: Literal["other"] = "other"


CATALOGUE = catalogue_of([Ask])
ARRAY = np.arange(6, dtype="<f4").reshape(2, 3)
FRAMES = encode(Envelope("run1", "a-1", None, Ask(number=7), (ARRAY,)), CATALOGUE)


def changed(**fields: Any) -> list[bytes]:
    """The good message with header fields replaced."""
    return [json.dumps({**json.loads(FRAMES[0]), **fields}).encode(), *FRAMES[1:]]


def nested(levels: int, opened: str, closed: str) -> Any:
    """An empty list or object, so many with those around it, of which header and body are the first."""
    return json.loads(opened * (levels - 3) + ("[]" if opened == "[" else "{}") + closed * (levels - 3))


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"x":', "}")])
def test_what_is_nested_deeper_than_the_limit_is_refused_for_it(opened: str, closed: str) -> None:
    """One level less is refused for what it holds; braces in a text are no levels."""
    for levels, fault in ((MAX_DEPTH + 2, f"nested deeper than {MAX_DEPTH}"), (MAX_DEPTH + 1, "ask: number: Field")):
        with pytest.raises(WireError, match=fault):
            decode(changed(body={"share": nested(levels, opened, closed)}), CATALOGUE)
    assert decode(changed(body={"number": 7, "note": "[" * 20}), CATALOGUE).message == Ask(number=7, note="[" * 20)


def spec(dtype: object = "<f4", shape: object = (2, 3)) -> list[dict[str, object]]:
    return [{"dtype": dtype, "shape": shape}]


@pytest.mark.parametrize("dtype", ["<f4", "<i4", "<i8", "|b1"])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 5), (1, 2, 3, 4)])
def test_round_trip_keeps_message_and_arrays(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    sent = Envelope("run1", "a-1", "b-2", Ask(number=-5, share=Decimal("0.1"), legal=(True, False), note="é\n"))

    got = decode(encode(sent._replace(arrays=(array,)), CATALOGUE), CATALOGUE)

    assert got[:4] == sent[:4]
    assert got.arrays[0].dtype == np.dtype(dtype)
    assert got.arrays[0].shape == array.shape
    assert np.array_equal(got.arrays[0], array)


@pytest.mark.parametrize(
    "message",
    [Ready(serves={"checkpoint": "ab"}), Heartbeat(), WorkerFailed(cause="x"), Refused(cause="y"), Shutdown()],
)
def test_the_workers_own_messages_are_always_in_the_catalogue(message: Message) -> None:
    got = decode(encode(Envelope("r", "i", None, message), CATALOGUE), CATALOGUE)

    assert got.message == message


def test_a_transposed_array_travels_in_its_own_order() -> None:
    (_, frame) = encode(Envelope("r", "i", None, Ask(number=1), (ARRAY.T,)), CATALOGUE)

    assert frame == ARRAY.T.copy().tobytes()


def test_arrays_come_out_read_only() -> None:
    assert not decode(FRAMES, CATALOGUE).arrays[0].flags.writeable


MALFORMED = {
    "no frames": [],
    "empty header": [b""],
    "not JSON": [b"hello"],
    "an HTTP request": [b"GET / HTTP/1.1\r\n\r\n"],
    "not UTF-8": [b"\xff\xfe{}"],
    "UTF-16": [FRAMES[0].decode().encode("utf-16"), *FRAMES[1:]],
    "byte order mark": [b"\xef\xbb\xbf" + FRAMES[0], *FRAMES[1:]],
    "a list": [b"[]"],
    "null": [b"null"],
    "cut short": [FRAMES[0][:-1], *FRAMES[1:]],
    "another end": [FRAMES[0][:-1] + b"]", *FRAMES[1:]],
    "text after it": [FRAMES[0] + b"{}", *FRAMES[1:]],
    "duplicate key": [FRAMES[0][:-1] + b',"id":"b-2"}', *FRAMES[1:]],
    "duplicate key in the body": [FRAMES[0].replace(b'"number":7', b'"number":7,"number":8'), *FRAMES[1:]],
    "deep lists": [b"[" * 30_000 + b"]" * 30_000],
    "deep body": changed(body={"number": json.loads("[" * 40 + "]" * 40)}),
    "header too long": [b" " * MAX_FRAME + FRAMES[0], *FRAMES[1:]],
    "too many frames": [FRAMES[0], *[b""] * (MAX_ARRAYS + 1)],
    "unknown header key": changed(more=1),
    "missing header key": [FRAMES[0].replace(b'"re": null, ', b""), *FRAMES[1:]],
    "version as text": changed(v="1"),
    "version as boolean": changed(v=True),
    "version null": changed(v=None),
    "empty id": changed(id=""),
    "id with a newline": changed(id="a-1\n"),
    "id as a number": changed(id=1),
    "id too long": changed(id="a" * 65),
    "id with a path": changed(id="../a"),
    "re as a number": changed(re=0),
    "run as a list": changed(run=["run1"]),
    "unknown kind": changed(kind="approve_everything"),
    "kind as a list": changed(kind=["ask"]),
    "kind null": changed(kind=None),
    "kind with a lone surrogate": changed(kind="\ud800"),
    "kind of the body differs": changed(body={"kind": "heartbeat", "number": 1}),
    "body missing a field": changed(body={}),
    "body with another field": changed(body={"number": 1, "size": 2}),
    "body as a list": changed(body=[]),
    "body null": changed(body=None),
    "number as text": changed(body={"number": "7"}),
    "number as boolean": changed(body={"number": True}),
    "number as float": changed(body={"number": 7.5}),
    "NaN": [FRAMES[0].replace(b":7", b":NaN"), *FRAMES[1:]],
    "infinity by overflow": [FRAMES[0].replace(b":7", b":1e400"), *FRAMES[1:]],
    "endless digits": [FRAMES[0].replace(b":7", b":" + b"9" * 5000), *FRAMES[1:]],
    "share of NaN": changed(body={"number": 1, "share": "NaN"}),
    "note too long": changed(body={"number": 1, "note": "n" * 21}),
    "note with a lone surrogate": changed(body={"number": 1, "note": "\udfff"}),
    "array missing": FRAMES[:1],
    "array unannounced": changed(arrays=[]),
    "array cut short": [FRAMES[0], FRAMES[1][:-1]],
    "array too long": [FRAMES[0], FRAMES[1] + b"\0"],
    "array over the limit": [FRAMES[0], bytes(MAX_FRAME + 1)],
    "arrays as an object": changed(arrays={}),
    "array without a shape": changed(arrays=[{"dtype": "<f4"}]),
    "array with more": changed(arrays=[{"dtype": "<f4", "shape": [2, 3], "order": "F"}]),
    "array of objects": changed(arrays=spec(dtype="|O")),
    "array of doubles": changed(arrays=spec(dtype="<f8", shape=[3])),
    "big endian": changed(arrays=spec(dtype=">f4")),
    "dtype as a list": changed(arrays=spec(dtype=["<f4"])),
    "shape as text": changed(arrays=spec(shape="23")),
    "shape with text": changed(arrays=spec(shape=["2", 3])),
    "shape with a boolean": changed(arrays=spec(shape=[True, 6])),
    "shape negative": changed(arrays=spec(shape=[-2, -3])),
    "shape with a float": changed(arrays=spec(shape=[2.0, 3])),
    "shape of five axes": changed(arrays=spec(shape=[1, 1, 1, 2, 3])),
    "shape huge with a zero": [changed(arrays=spec(shape=[10**18, 0]))[0], b""],
    "boolean that is 2": [changed(arrays=spec(dtype="|b1", shape=[3]))[0], b"\0\2\1"],
}


@pytest.mark.parametrize("frames", MALFORMED.values(), ids=MALFORMED.keys())
def test_whatever_is_malformed_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode(frames, CATALOGUE)


def test_another_schema_version_is_named_with_the_message_it_came_in() -> None:
    with pytest.raises(SchemaVersionError, match="schema version 3, here it is 1") as refused:
        decode(changed(v=3, kind="new_kind", more="of the future"), CATALOGUE)

    assert refused.value.message_id == "a-1"


def test_a_bad_body_is_refused_with_the_place_and_the_message_id() -> None:
    with pytest.raises(WireError, match="ask: number") as refused:
        decode(changed(body={"number": "7"}), CATALOGUE)

    assert refused.value.message_id == "a-1"


@pytest.mark.parametrize(
    ("message", "array"),
    [
        (Uncatalogued(), ARRAY),
        (Ask(number=1), np.zeros(3, "<f8")),
        (Ask(number=1), np.zeros(MAX_FRAME + 1, "|b1")),
        (Ready(serves={"x": "y" * MAX_FRAME}), ARRAY),
    ],
)
def test_what_cannot_be_read_is_not_sent(message: Message, array: Array) -> None:
    with pytest.raises(WireError):
        encode(Envelope("r", "i", None, message, (array,)), CATALOGUE)


def test_a_cause_can_always_travel() -> None:
    failed = WorkerFailed(cause=clean_cause("\ud800 und ein Gruß" + "x" * 9999))

    got = decode(encode(Envelope("r", "i", None, failed), CATALOGUE), CATALOGUE)

    assert got.message == failed


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_bytes_are_refused_by_wire_error_alone(frames: list[bytes]) -> None:
    with pytest.raises(WireError):
        decode(frames, CATALOGUE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(["v", "run", "id", "re", "kind", "body", "arrays"]), JSON)
def test_any_value_in_any_header_field_is_a_message_or_a_wire_error(field: str, value: object) -> None:
    try:
        got = decode(changed(**{field: value}), CATALOGUE)
    except WireError:
        return
    assert encode(got, CATALOGUE)


@given(st.integers(0, len(FRAMES[0]) - 1), st.integers(0, 255))
def test_any_changed_byte_of_the_header_is_a_message_or_a_wire_error(place: int, byte: int) -> None:
    header = bytearray(FRAMES[0])
    header[place] = byte
    try:
        got = decode([bytes(header), FRAMES[1]], CATALOGUE)
    except WireError:
        return
    assert encode(got, CATALOGUE)


def strictly(frames: list[bytes]) -> Envelope:
    """The same message with other spacing, which only the strict reader takes."""
    assert frames[0].startswith(b'{"v": ')
    return decode([b'{"v":  ' + frames[0][6:], *frames[1:]], CATALOGUE)


@given(st.integers(0, len(FRAMES[0]) - 1), st.binary(max_size=3), st.integers(0, 4))
def test_a_message_as_we_write_it_is_read_as_any_other(place: int, put: bytes, cut: int) -> None:
    """What the quick reader takes, the strict one takes too, and as the same."""
    frames = [FRAMES[0][:place] + put + FRAMES[0][place + cut :], FRAMES[1]]
    if not frames[0].startswith(b'{"v": '):
        return
    try:
        quick = decode(frames, CATALOGUE)
    except WireError:
        with pytest.raises(WireError):
            strictly(frames)
        return
    strict = strictly(frames)
    assert quick[:4] == strict[:4]
    assert all(map(np.array_equal, quick.arrays, strict.arrays))


def test_what_we_write_is_read_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_header", None)

    assert decode(FRAMES, CATALOGUE).message == Ask(number=7)
