"""Cases of one length are read together: to the states that each has alone, on any number of cores, kept as before."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from llm_gate.engines.base import Turn
from llm_gate.prompts.prompt_files import find_prompt
from llm_gate.teaching.hidden_states import BATCH, Reader, Work
from llm_gate.teaching.packed_linears import packed_linears
from llm_gate.teaching.states_file import State, StatesFile
from tests.llm_gate.teaching.conftest import MakeCases, say_nothing

pytest.importorskip("torch")

PROMPT = find_prompt("entry_taught.v1")
SAME = 1e-4
"""How far a state may lie from the model's own for the case alone, whose sums are taken in another order."""


@pytest.fixture(scope="module")
def reader(tiny_folder: Path) -> Reader:
    return Reader(tiny_folder)


@pytest.fixture(scope="module")
def chats(make_cases: MakeCases) -> list[tuple[Turn, ...]]:
    return [PROMPT.render(case.proposal) for case in make_cases(60)]


@pytest.fixture
def one_core() -> Iterator[None]:
    """This process may use one core alone."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    yield
    os.sched_setaffinity(0, usual)


def states(reader: Reader, chats: Sequence[tuple[Turn, ...]], path: Path) -> np.ndarray:
    with StatesFile(path, reader.width) as kept:
        return reader.states(chats, kept, say_nothing)


def test_states_of_a_batch_are_those_that_the_model_has_for_each_case_alone(
    reader: Reader, chats: list[tuple[Turn, ...]], tmp_path: Path
) -> None:
    import torch

    lengths = [len(reader.tokens_of(chat)) for chat in chats]
    assert max(map(lengths.count, lengths)) > BATCH and len(set(lengths)) > 2, "else nothing is batched, or all is"

    read = states(reader, chats, tmp_path / "s.states")

    with torch.inference_mode():
        for chat, state in zip(chats, read, strict=True):
            told = torch.tensor([reader.tokens_of(chat)])
            alone = reader.model(told, output_hidden_states=True, use_cache=False).hidden_states[-1][0, -1]
            assert state == pytest.approx(alone.numpy(), abs=SAME)
    assert np.ptp(read, axis=0).max() > 100 * SAME, "else one state for all would pass"


def test_a_state_is_the_same_to_the_bit_beside_others_and_alone(
    reader: Reader, chats: list[tuple[Turn, ...]], tmp_path: Path
) -> None:
    together = states(reader, chats, tmp_path / "all.states")

    alone = [states(reader, [chat], tmp_path / "alone.states")[0] for chat in chats[:12]]

    assert np.array_equal(alone, together[:12])


def test_one_core_gives_the_bytes_of_all(
    reader: Reader, chats: list[tuple[Turn, ...]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    states(reader, chats, tmp_path / "all.states")

    request.getfixturevalue("one_core")
    states(reader, chats, tmp_path / "one.states")

    assert (tmp_path / "one.states").read_bytes() == (tmp_path / "all.states").read_bytes()


def test_states_that_were_kept_before_cases_were_batched_are_still_used(
    reader: Reader, chats: list[tuple[Turn, ...]], tmp_path: Path
) -> None:
    """Their key was the model and the tokens; a state that no model makes shows whose it is."""
    path, old = tmp_path / "old.states", np.full(reader.width, 7.0, np.float32)
    key = hashlib.sha256(f"{reader.model_id}/{reader.tokens_of(chats[1])}".encode()).digest()
    with StatesFile(path, reader.width) as kept:
        kept.append(key, old)

    read = states(reader, chats[:3], path)

    assert np.array_equal(read[1], old) and not (read[[0, 2]] == 7.0).any()


def test_who_stops_does_not_wait_for_batches_that_nobody_began(reader: Reader, tmp_path: Path) -> None:
    """400 batches of 20 ms, stopped at the first case."""
    tokens, begun = [[number] for number in range(400 * BATCH)], []

    def read(batch: Sequence[list[int]]) -> Sequence[State]:
        begun.append(len(batch))
        time.sleep(0.02)
        return [np.full(reader.width, ids[0], np.float32) for ids in batch]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with StatesFile(tmp_path / "s.states", reader.width) as kept, pytest.raises(KeyboardInterrupt):
        reader.kept_for(tokens, tokens, Work(len, read), kept, stop)

    assert set(begun) == {BATCH} and len(begun) < 400


def test_a_model_reads_through_packed_matrices_only_for_that_long(reader: Reader) -> None:
    import torch

    told = torch.tensor([[5, 6, 7]])
    linears = [module for module in reader.model.base_model.modules() if isinstance(module, torch.nn.Linear)]

    with torch.inference_mode():
        before = reader.model.base_model(told).last_hidden_state
        with packed_linears(reader.model.base_model):
            assert all("forward" in vars(linear) for linear in linears)
            packed = reader.model.base_model(told).last_hidden_state
        after = reader.model.base_model(told).last_hidden_state

    assert torch.equal(before, after) and not any("forward" in vars(linear) for linear in linears)
    assert packed.numpy() == pytest.approx(before.numpy(), abs=SAME)
