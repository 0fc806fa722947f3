"""The regression as an engine: what it says of a case, blind and mirrored, and which files it refuses."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_gate.contract import Approve, EntryProposal, Veto
from llm_gate.engines.logistic import LogisticEngine, read_logistic
from llm_gate.engines.proposal_numbers import numbers_of
from llm_gate.errors import RequestError
from llm_gate.prompts.prompt_files import find_prompt
from llm_gate.review.gate import Gate, GateConfig
from tests.regressions import saved

MakeProposal = Callable[..., EntryProposal]


def test_it_approves_from_the_threshold_on_with_the_chance_of_a_win(
    make_proposal: MakeProposal, tmp_path: Path
) -> None:
    """Log-odds of 2 with the trend: 1 / (1 + e^-2) = 0.881; against it the rest."""
    file = read_logistic(saved(tmp_path / "gate.json", with_trend_240=2.0))
    gate = Gate(LogisticEngine(file), find_prompt("entry_review.v1"), GateConfig())

    with_it = asyncio.run(gate.review(make_proposal()))
    against = asyncio.run(gate.review(make_proposal(proposal_id="1" * 32, side="sell")))

    assert isinstance(with_it.outcome, Approve) and with_it.probabilities is not None
    assert with_it.probabilities["approve"] == pytest.approx(0.8808, abs=1e-4) and with_it.probabilities["shrink"] == 0
    assert isinstance(against.outcome, Veto) and "0.119, under 0.500" in against.outcome.reason
    assert with_it.model == file.name and file.name.startswith("gate@")


def test_a_mirrored_market_has_the_same_numbers_but_for_the_side(make_proposal: MakeProposal) -> None:
    up = {"to_session_high_atr_milli": 700, "to_session_low_atr_milli": 5200, "vwap_atr_milli": 900}
    down = {"to_session_high_atr_milli": 5200, "to_session_low_atr_milli": 700, "vwap_atr_milli": -900}
    trends = {f"trend_{minutes}_atr_milli": 1000 + minutes for minutes in (15, 60, 240)}

    bought = numbers_of(make_proposal(side="buy", regime="up/calm", **up, **trends))
    mirrored = {name: -value for name, value in trends.items()}
    sold = numbers_of(make_proposal(side="sell", regime="down/calm", **down, **mirrored))

    assert bought == {**sold, "buy": 1.0} and sold["buy"] == 0.0


def test_a_file_that_is_damaged_or_of_another_version_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "gate.json")
    whole = path.read_text()
    fewer = json.loads(whole)
    fewer["columns"] = fewer["columns"][1:]

    for text, said in ((whole[:-9], "is no regression"), (json.dumps(fewer), "not those of this version")):
        path.write_text(text)
        with pytest.raises(RequestError, match=said):
            read_logistic(path)
    with pytest.raises(RequestError, match="No such file"):
        read_logistic(tmp_path / "none.json")
