"""The tiny model's upper layers are taught: adapters merged into an ordinary folder, and nothing where nothing is."""

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_gate.cli import app
from llm_gate.errors import RequestError
from llm_gate.evals.data.cases import Case, write_cases
from llm_gate.prompts.prompt_files import Prompt, find_prompt
from llm_gate.teaching import fit_lora
from llm_gate.teaching.fit_head import chances_of
from llm_gate.teaching.hidden_states import Reader
from llm_gate.teaching.lessons import lessons_of
from llm_gate.teaching.states_file import StatesFile
from llm_gate.teaching.taught_folder import TaughtCard, read_card, taught_on
from llm_gate.teaching.tune_head import FOLDS
from llm_gate.teaching.tune_lora import Progress, lower_states_path, tune_lora
from llm_gate.teaching.upper_layers import UpperLayers
from tests.llm_gate.teaching.conftest import MakeCases, say_nothing
from tests.optional import skip_module_without

skip_module_without("torch")
skip_module_without("peft", "peft is not installed (requirements/tune.txt)")

SHORT = """+++
purpose = "Two facts in few words: short, as the tiny model reads letter by letter."
schema = "entry_proposal.v1"
fields = ["trend_240", "session_part"]
modes = ["choice"]

[letters]
A = "approve"
B = "shrink"
C = "veto"
+++
@user
{{ trend_240 }} {{ session_part }}
"""
QUIET = Progress(say_nothing, lambda what, number, most: None)


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "short.v1.md").write_text(SHORT)
    return find_prompt("short.v1", folder)


@pytest.fixture(scope="module")
def reader(tiny_folder: Path) -> Reader:
    return Reader(tiny_folder)


def chances(folder: Path, prompt: Prompt, cases: list[Case], tmp_path: Path) -> np.ndarray:
    """[N, L] what the model of ``folder`` says of each case, read as any model is."""
    taught = Reader(folder)
    rows = taught.letters(prompt.front.letters).rows.astype(np.float64)
    with StatesFile(tmp_path / f"{folder.name}.read", taught.width) as kept:
        states = taught.states([prompt.render(case.proposal) for case in cases], kept, say_nothing)
    return chances_of(states, rows)


def pays_by_two_facts(case: Case) -> bool:
    """With the 240-minute trend by day, against it late."""
    goes_with = (case.proposal.context.trend_240_atr_milli > 0) == (case.proposal.side == "buy")
    return goes_with != (case.proposal.context.session_part == "late")


def test_adapters_are_merged_into_the_weights_and_the_model_stays_as_it_was(
    reader: Reader, prompt: Prompt, make_cases: MakeCases, tmp_path: Path
) -> None:
    """What the adapted layers make of a case is what the merged weights make of it."""
    import torch

    before = {name: weight.clone() for name, weight in reader.model.state_dict().items()}
    upper = UpperLayers(reader, prompt, seed=3)
    chats = [prompt.render(case.proposal) for case in make_cases(12)]
    with StatesFile(tmp_path / "lower", upper.kept_width) as kept:
        below = upper.below(chats, kept, say_nothing)
    with upper.adapted() as adapted:
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
        with torch.inference_mode():
            said = upper.states(below).numpy()
        merged = upper.merged(adapted)

    assert all(torch.equal(before[name], weight) for name, weight in reader.model.state_dict().items())
    other = Reader(reader.folder)
    assert not other.model.load_state_dict(merged, strict=False).unexpected_keys
    with StatesFile(tmp_path / "whole", other.width) as kept:
        whole = other.states(chats, kept, say_nothing)
        plain = reader.states(chats, StatesFile(tmp_path / "plain", other.width), say_nothing)
    assert np.abs(whole - said).max() < 1e-4 < 1e-2 < np.abs(plain - said).max()


def test_what_there_is_to_find_is_found_and_the_folder_is_an_ordinary_one(
    reader: Reader, prompt: Prompt, make_cases: MakeCases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_lora, "MOST_EPOCHS", 2)
    cases, told = make_cases(500, win=0.95, lose=0.05, two_facts=True), []
    out, upper = tmp_path / "taught", UpperLayers(reader, prompt, seed=0)
    progress = Progress(say_nothing, lambda what, number, most: told.append((what, number)))

    card = tune_lora(lessons_of(cases), prompt, upper, out, progress=progress)

    assert card.found and card.adapters is not None and card.steps == card.adapters.epochs > 0
    assert card.loss_same is not None and card.loss_taught < card.loss_same < card.loss_before
    assert told[0] == ("folds", 1) and told[-1] == ("all cases", card.steps)
    assert read_card(out) == card and "taught on 250 cases" in taught_on(card)
    held_out = [case for case in cases if case.split == "held_out"]
    approved = chances(out, prompt, held_out, tmp_path).argmax(axis=1) == 0
    pays = np.array([pays_by_two_facts(case) for case in held_out])
    assert (approved == pays).mean() > 0.9
    again = tune_lora(
        lessons_of(cases), prompt, UpperLayers(reader, prompt, seed=0), tmp_path / "again", progress=QUIET
    )
    assert chances(tmp_path / "again", prompt, held_out, tmp_path) == pytest.approx(
        chances(out, prompt, held_out, tmp_path), abs=1e-6
    )
    assert again.model_dump(exclude={"seconds_states", "seconds_fit"}) == card.model_dump(
        exclude={"seconds_states", "seconds_fit"}
    )


def test_what_the_output_layer_alone_finds_is_kept_where_the_adapters_find_nothing(
    reader: Reader, prompt: Prompt, make_cases: MakeCases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the fold that judges the adapters the outcomes are dealt anew; the other four still say the same."""
    monkeypatch.setattr(fit_lora, "MOST_EPOCHS", 1)
    cases, out = make_cases(500, win=0.95, lose=0.05, two_facts=True), tmp_path / "taught"
    lessons = lessons_of(cases)
    r, last = lessons.r.copy(), lessons.folds(FOLDS)[-1]
    r[last] = np.random.default_rng(1).permutation(r[last])

    card = tune_lora(lessons._replace(r=r), prompt, UpperLayers(reader, prompt, seed=0), out, progress=QUIET)

    assert card.found and card.steps == 0
    before, after = reader.model.state_dict(), Reader(out).model.state_dict()
    changed = {name for name in before if not (before[name] == after[name]).all()}
    assert changed == {"lm_head.weight"}
    held_out = [case for case in cases if case.split == "held_out"]
    approved = chances(out, prompt, held_out, tmp_path).argmax(axis=1) == 0
    assert (approved == np.array([pays_by_two_facts(case) for case in held_out])).mean() > 0.65


def test_where_nothing_is_found_the_layers_stay_and_everything_is_approved(
    reader: Reader, prompt: Prompt, make_cases: MakeCases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(fit_lora, "MOST_EPOCHS", 1)
    cases, out = make_cases(200, win=0.3, lose=0.3, seed=5), tmp_path / "taught"

    card = tune_lora(lessons_of(cases), prompt, UpperLayers(reader, prompt, seed=0), out, progress=QUIET)

    assert not card.found
    before, after = reader.model.state_dict(), Reader(out).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name != "lm_head.weight")
    assert (chances(out, prompt, cases[:20], tmp_path).argmax(axis=1) == 0).all()


def test_the_command_keeps_lower_states_and_refuses_what_it_cannot_teach(
    tiny_folder: Path, make_cases: MakeCases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_lora, "MOST_EPOCHS", 1)
    write_cases(make_cases(100), tmp_path / "cases.jsonl")
    out = tmp_path / "taught"
    asked = ["tune", str(tmp_path / "cases.jsonl"), "--method", "lora", "--model", str(tiny_folder), "--out", str(out)]

    ended = CliRunner().invoke(app, asked)

    assert ended.exit_code == 0, ended.output
    card = read_card(out)
    assert isinstance(card, TaughtCard) and card.method == "lora" and card.cases == 50
    assert lower_states_path(out).exists() and "passes, " in ended.output
    assert "is there already" in str(CliRunner().invoke(app, asked).exception)
    monkeypatch.setitem(sys.modules, "peft", None)
    without = CliRunner().invoke(app, [*asked[:-1], str(tmp_path / "other")])
    assert "needs peft: pip install 'trigate[tune]'" in str(without.exception)


def test_a_model_of_other_layers_is_refused(reader: Reader, prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "model", object())

    with pytest.raises(RequestError, match="teach its head instead"):
        UpperLayers(reader, prompt, seed=0)
