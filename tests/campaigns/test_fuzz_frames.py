"""A short run of the campaign over every decoder, and decoders with a defect that it must find."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from orchestrator.messaging.broker import BROKER_CATALOGUE
from orchestrator.messaging.catalogue import CATALOGUE
from orchestrator.messaging.row_feed import FEED_CATALOGUE
from tests.campaigns.frames import Frames, broker_messages, feed_messages, run_messages
from tests.campaigns.fuzz_frames import LONGEST_S, Decoder, decoders, fault_of, range_of


@pytest.mark.parametrize("name", list(decoders()))
def test_any_frames_are_a_message_or_the_one_error(name: str) -> None:
    found = range_of(name, decoders()[name], 1_000_000, 1500)

    assert found["violation"] == ""
    assert min(found["ended"][how] for how in ("read", "refused")) > 50


@pytest.mark.parametrize(
    ("examples", "catalogue"),
    [(run_messages(), CATALOGUE), (broker_messages(), BROKER_CATALOGUE), (feed_messages(), FEED_CATALOGUE)],
    ids=["run", "broker", "feed"],
)
def test_every_kind_of_message_is_among_the_good_ones(examples: list, catalogue: dict[str, type[BaseModel]]) -> None:
    assert {type(example.message) for example in examples} == set(catalogue.values())


def lets_another_error_out(frames: Frames) -> object:
    """As json.loads alone does."""
    return json.loads(frames[0] if frames else b"")


def reads_what_is_not_there(frames: Frames) -> object:
    """Whatever comes is another message each time."""
    return object()


def stays_long(frames: Frames) -> None:
    """Too long over every frame, whatever a loop takes on this machine and in this version of Python."""
    began_s = time.thread_time()
    while time.thread_time() - began_s <= LONGEST_S:
        pass


@pytest.mark.parametrize(
    ("read", "said"),
    [(lets_another_error_out, "Error"), (reads_what_is_not_there, "another message"), (stays_long, "it took")],
)
def test_a_planted_defect_is_found(read: Callable[[Frames], object], said: str) -> None:
    good = decoders()["run"].good

    found = range_of("run", Decoder(good, ZeroDivisionError, read, lambda one: read([])), 1, 200)

    assert said in found["violation"]


def test_good_messages_are_read(tmp_path: Path) -> None:
    for decoder in decoders().values():
        assert {fault_of(decoder, frames) for frames in decoder.good} == {("read", "")}
