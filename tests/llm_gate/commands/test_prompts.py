"""llm-gate prompts: what is listed, shown, compared and refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llm_gate.commands.prompts import prompts_app
from llm_gate.contract import EntryProposal
from llm_gate.errors import PromptError, RequestError
from llm_gate.prompts.prompt_files import find_prompt, prompts_folder


def said(*arguments: str) -> list[str]:
    """The lines that the command prints; whatever it raises is raised here."""
    ended = CliRunner().invoke(prompts_app, list(arguments), catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.stdout.splitlines()


def test_prompts_are_listed_with_digest_fields_and_modes() -> None:
    rows = {row["name"]: row for row in json.loads(said("list", "--json")[0])}

    assert rows["entry_review.v1"]["digest"] == find_prompt("entry_review.v1").digest
    assert rows["entry_review.v1"]["examples"] == 9
    assert rows["entry_notes.v1"]["fields"][-1] == "notes"
    assert rows["entry_rules.v1"]["modes"] == ["choice", "json"]
    assert len(said("list")) == len(rows) == 6


def test_a_prompt_is_shown_as_the_model_reads_it(make_proposal: Callable[..., EntryProposal], tmp_path: Path) -> None:
    path = tmp_path / "proposal.json"
    path.write_text(make_proposal(side="sell").model_dump_json())

    lines = said("show", "entry_review.v1", "--proposal", str(path))

    assert lines[-1].startswith("60-minute trend: AGAINST")
    assert not any("{{" in line for line in lines)
    assert said("show", "entry_review.v1")[-1].startswith("60-minute trend: {{ trend_60 }}")


def test_two_prompts_are_compared_by_front_matter_and_line_by_line() -> None:
    lines = said("diff", "entry_facts.v1", "entry_notes.v1")

    assert lines[1:4] == ["fields: +notes", "--- entry_facts.v1.md", "+++ entry_notes.v1.md"]
    assert "+{{ notes }}" in lines
    assert said("diff", "entry_facts.v1", "entry_facts.v1") == []


def test_an_own_prompt_is_checked_by_path(tmp_path: Path) -> None:
    shutil.copy(prompts_folder() / "entry_facts.v1.md", tmp_path / "mine.v3.md")

    assert said("lint", str(tmp_path / "mine.v3.md")) == [f"ok mine.v3 {find_prompt('entry_facts.v1').digest}"]


def test_all_prompts_pass_and_their_lengths_are_told() -> None:
    lines = said("lint", "--model", "tiny")

    assert sum(line.startswith("ok ") for line in lines) == 6
    assert sum(line.startswith("fits ") for line in lines) == 11  # entry_taught has one mode


def test_a_prompt_that_names_the_market_is_refused_with_line_and_word(tmp_path: Path) -> None:
    text = (prompts_folder() / "entry_facts.v1.md").read_text(encoding="utf-8")
    path = tmp_path / "mine.v1.md"
    path.write_text(text.replace("a futures trader", "a trader of NQ"), encoding="utf-8")

    with pytest.raises(PromptError, match=r"mine\.v1\.md: line 13: 'NQ' is a symbol"):
        said("lint", str(path))


def test_a_prompt_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PromptError, match="the model attends to 300"):
        said("lint", "--model", "tiny", "--context", "300")


def test_a_model_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"config\.json"):
        said("lint", "--model", str(tmp_path))
