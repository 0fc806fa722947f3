"""A size line halves what a gate approved near the floor, nothing else, and only of the gate that it was fitted for."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from llm_gate.contract import EntryProposal, Resize, Reviewed
from llm_gate.engines.rules import RulesEngine
from llm_gate.engines.scripted import ScriptedEngine
from llm_gate.errors import RequestError
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt
from llm_gate.review.gate import Gate, GateConfig
from llm_gate.review.size_line import AskedAs, read_size, size_in_words
from tests.size_lines import THREE_RISKS, size_line

MakeProposal = Callable[..., EntryProposal]
RULES = AskedAs(engine=RulesEngine.name, model=RulesEngine.model)


def written(path: Path, gate: AskedAs, **changed: int) -> Path:
    path.write_text(size_line(gate, **changed).model_dump_json())
    return path


def of(engine: ScriptedEngine) -> AskedAs:
    prompt = find_prompt(DEFAULT_PROMPT)
    return AskedAs(engine=engine.name, model=engine.model, prompt_digest=prompt.digest, mode="choice")


def reviewed(engine: ScriptedEngine | RulesEngine, proposal: EntryProposal, path: Path) -> Reviewed:
    return asyncio.run(Gate(engine, find_prompt(DEFAULT_PROMPT), GateConfig(size=path)).review(proposal))


@pytest.mark.parametrize(("room", "kind"), [(THREE_RISKS - 1, "resize"), (THREE_RISKS, "approve"), (-5, "resize")])
def test_an_approved_entry_is_halved_from_the_line_down(
    make_proposal: MakeProposal, tmp_path: Path, room: int, kind: str
) -> None:
    engine = ScriptedEngine(["approve"])
    path = written(tmp_path / "size.json", of(engine))

    told = reviewed(engine, make_proposal(room_to_floor_risks_milli=room), path)

    assert told.outcome.kind == kind
    assert told.sized == (read_size(path).digest if kind == "resize" else None)
    if isinstance(told.outcome, Resize):
        assert told.outcome.size_factor == Decimal("0.5") and told.reason_source == "code"
        assert told.outcome.reason == f"room of {room / 1000:.2f} risks to the floor, under 3"


@pytest.mark.parametrize("label", ["veto", "shrink"])
def test_what_the_gate_stopped_already_stays_as_it_is(make_proposal: MakeProposal, tmp_path: Path, label: str) -> None:
    """A line can only make an entry smaller, and halves none twice."""
    engine = ScriptedEngine([label])
    near = make_proposal(room_to_floor_risks_milli=1_000)

    told = reviewed(engine, near, written(tmp_path / "size.json", of(engine)))

    alone = asyncio.run(Gate(ScriptedEngine([label]), find_prompt(DEFAULT_PROMPT), GateConfig()).review(near))
    assert told.outcome == alone.outcome and told.sized is None


def test_full_size_everywhere_halves_nothing(make_proposal: MakeProposal, tmp_path: Path) -> None:
    path = written(tmp_path / "size.json", RULES, halve_under=0)

    told = reviewed(RulesEngine(), make_proposal(room_to_floor_risks_milli=2_000), path)

    assert told.outcome.kind == "approve"
    assert size_in_words(read_size(path).saved) == (
        "full size everywhere: of 2 lines none was worth more on left-out sessions"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"engine": "vllm"}, "of another engine: vllm, not rules"),
        ({"model": "other@1"}, "of another model: other@1"),
        ({"prompt_digest": "e" * 64}, "of another prompt: eeee"),
        ({"mode": "json"}, "of another mode: json, not choice"),
        ({"calibration": "c" * 64}, r"of another calibration: c+, not none"),
    ],
)
def test_a_line_of_another_gate_is_refused(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    path = written(tmp_path / "size.json", RULES.model_copy(update=changed))

    with pytest.raises(RequestError, match=said):
        Gate(RulesEngine(), find_prompt(DEFAULT_PROMPT), GateConfig(size=path))


def test_other_halves_other_rules_and_other_files_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "size.json", RULES)
    with pytest.raises(RequestError, match="shrink_factor differs"):
        Gate(RulesEngine(), find_prompt(DEFAULT_PROMPT), GateConfig(size=path, shrink_factor=Decimal("0.25")))
    with pytest.raises(RequestError, match=r"under the rules of a pack as they were read then, .* under another pack"):
        read_size(path).refuse_other_pack("another pack", "1" * 64)
    read_size(path).refuse_other_pack("a pack", "0" * 64)
    for content in ("", "{}", path.read_text().replace("gate_size.v1", "gate_size.v2")):
        path.write_text(content)
        with pytest.raises(RequestError, match="is no size line"):
            read_size(path)


def test_settings_without_a_line_hold_no_word_of_it() -> None:
    """So that a run without one keeps its name."""
    assert "size" not in GateConfig().model_dump() and "size" in GateConfig(size=Path("x")).model_dump()
