"""The tiny model is taught: an ordinary folder, parted embeddings, a card, and no case read twice."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_gate.cli import app
from llm_gate.errors import RequestError
from llm_gate.evals.data.cases import write_cases
from llm_gate.prompts.prompt_files import find_prompt
from llm_gate.serving.model_folders import check_model, read_config
from llm_gate.teaching.hidden_states import Reader
from llm_gate.teaching.lessons import Lessons, lessons_of
from llm_gate.teaching.states_file import StatesFile
from llm_gate.teaching.taught_folder import TaughtCard, read_card
from llm_gate.teaching.tune_head import states_path, tune_head
from tests.llm_gate.teaching.conftest import MakeCases, say_nothing, tied
from tests.optional import skip_module_without

skip_module_without("torch")

PROMPT = find_prompt("entry_taught.v1")


@pytest.fixture(scope="module")
def reader(tiny_folder: Path) -> Reader:
    return Reader(tiny_folder)


@pytest.fixture(scope="module")
def lessons(make_cases: MakeCases) -> Lessons:
    return lessons_of(make_cases(160))


def test_the_folder_holds_other_rows_for_the_letters_and_else_the_same_model(
    reader: Reader, lessons: Lessons, tmp_path: Path
) -> None:
    import torch

    out = tmp_path / "taught"

    card = tune_head(lessons, PROMPT, reader, out, step=say_nothing)

    check_model(out)
    before, after = reader.model.state_dict(), Reader(out).model.state_dict()
    letters = reader.letters(PROMPT.front.letters)
    others = [token for token in range(len(before["lm_head.weight"])) if token not in letters.tokens]
    assert torch.equal(before["lm_head.weight"][others], after["lm_head.weight"][others])
    assert not torch.equal(before["lm_head.weight"], after["lm_head.weight"])
    assert all(torch.equal(before[name], after[name]) for name in before if name != "lm_head.weight")
    assert read_card(out) == card and card.cases == 80 and card.cases_digest == lessons.digest
    assert card.source == reader.model_id and card.last_session == 15 and sum(card.fold_sessions) == card.sessions


def test_embeddings_that_share_their_matrix_are_parted_from_the_letters(
    reader: Reader, lessons: Lessons, tmp_path: Path
) -> None:
    import torch

    shared = Reader(tied(reader.folder, tmp_path / "tied"))
    assert shared.model.lm_head.weight is shared.model.model.embed_tokens.weight

    tune_head(lessons, PROMPT, shared, tmp_path / "taught", step=say_nothing)

    taught = Reader(tmp_path / "taught").model
    assert read_config(tmp_path / "taught")["tie_word_embeddings"] is False
    assert torch.equal(taught.model.embed_tokens.weight, shared.model.model.embed_tokens.weight)
    assert not torch.equal(taught.model.embed_tokens.weight, taught.lm_head.weight)


def test_a_command_that_was_stopped_goes_on_with_what_it_kept(reader: Reader, lessons: Lessons, tmp_path: Path) -> None:
    out, seen = tmp_path / "taught", []

    def stop_half_way(done: int, total: int) -> None:
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune_head(lessons, PROMPT, reader, out, step=stop_half_way)
    assert not out.exists()
    tune_head(lessons, PROMPT, reader, out, step=lambda done, total: seen.append(done))
    tune_head(lessons, PROMPT, reader, tmp_path / "whole", step=say_nothing)

    assert seen[0] == 31 and seen[-1] == 80
    weights = "model.safetensors"
    assert (out / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


def test_a_folder_that_is_there_a_damaged_file_and_a_mode_that_is_not_taught_are_refused(
    reader: Reader, lessons: Lessons, tmp_path: Path
) -> None:
    out = tmp_path / "taught"
    states_path(out).write_bytes(b"x" * (36 + 4 * reader.width))
    with pytest.raises(RequestError, match=r"taught\.states: record 1 is damaged"):
        tune_head(lessons, PROMPT, reader, out, step=say_nothing)
    states_path(out).unlink()
    out.mkdir()
    with pytest.raises(RequestError, match="is there already"):
        tune_head(lessons, PROMPT, reader, out, step=say_nothing)


def test_a_state_times_the_rows_is_what_the_model_says(reader: Reader, lessons: Lessons, tmp_path: Path) -> None:
    """One forward pass of the whole model over the first case."""
    import torch

    chat = PROMPT.render(lessons.cases[0].proposal)
    letters = reader.letters(PROMPT.front.letters)

    with StatesFile(tmp_path / "s.states", reader.width) as kept:
        state = reader.states([chat], kept, say_nothing)[0]
    with torch.inference_mode():
        logits = reader.model(torch.tensor([reader._tokens.of_chat(chat)])).logits[0, -1]

    said = logits[list(letters.tokens)].numpy()
    assert state @ letters.rows.T.astype(np.float64) == pytest.approx(said, abs=1e-4)


def test_the_command_says_what_it_taught(make_cases: MakeCases, tiny_folder: Path, tmp_path: Path) -> None:
    write_cases(make_cases(160), tmp_path / "cases.jsonl")
    line = ["tune", str(tmp_path / "cases.jsonl"), "--method", "head", "--model", str(tiny_folder)]

    ended = CliRunner().invoke(app, [*line, "--out", str(tmp_path / "taught")])

    assert ended.exit_code == 0, ended.output
    assert "80 cases of 16 sessions, prompt entry_taught.v1, model tiny@" in ended.output
    card = read_card(tmp_path / "taught")
    assert isinstance(card, TaughtCard) and card.apart is not None and card.found == (card.apart > 2)
    assert card.luck is not None and 1 / 200 <= card.luck <= 1
    assert (
        f"apart by {card.apart:.1f} standard errors; found beyond 2; of outcomes dealt anew {card.luck:.1%} are told"
        in (ended.output)
    )
    assert "80 of 80 cases" in ended.output and ended.output.rstrip().endswith("taught")
