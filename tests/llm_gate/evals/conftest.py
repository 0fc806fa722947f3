"""Small banks and recordings, and suites over them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_gate.contract import EntryProposal
from llm_gate.engines.rules import rule
from llm_gate.evals.data.cases import Case, write_cases

MakeProposal = Callable[..., EntryProposal]
CaseMaker = Callable[[int], list[Case]]


def _proposal(make_proposal: MakeProposal, number: int) -> EntryProposal:
    """Every third is near the floor, every fourth of the rest is late."""
    changed: dict[str, object] = {"trend_60_atr_milli": (3500, 0, -3500)[number % 3]}
    changed["regime"] = ("up/calm", "flat/calm", "down/calm")[number % 3]
    if number % 3 == 0:
        changed["room_to_floor_risks_milli"] = 1500
    elif number % 4 == 0:
        changed["minutes_to_flat"] = 20
    return make_proposal(proposal_id=hashlib.md5(str(number).encode()).hexdigest(), **changed)


@pytest.fixture(scope="session")
def bank_of(make_proposal: MakeProposal) -> CaseMaker:
    """So many bank cases, labelled by the three-line rule, every second one for tuning."""

    def bank(count: int) -> list[Case]:
        proposals = [_proposal(make_proposal, number) for number in range(count)]
        return [
            Case(
                case_id=f"bank-{number}",
                source="bank",
                split="tune" if number % 2 else "held_out",
                proposal=proposal,
                label=rule(proposal).label,
                why="as the rule says",
            )
            for number, proposal in enumerate(proposals)
        ]

    return bank


@pytest.fixture(scope="session")
def recording_of(make_proposal: MakeProposal) -> CaseMaker:
    """So many recorded proposals, ten a session, all held out: what the rule vetoes loses 1 R, the rest wins 1 R."""

    def recording(count: int) -> list[Case]:
        proposals = [_proposal(make_proposal, 1000 + number) for number in range(count)]
        return [
            Case(
                case_id=f"recorded-{number}",
                source="recorded",
                split="held_out",
                proposal=proposal,
                outcome_r_milli=-1000 if rule(proposal).label == "veto" else 1000,
                session=number // 10,
            )
            for number, proposal in enumerate(proposals)
        ]

    return recording


@pytest.fixture
def suite_file(tmp_path: Path, bank_of: CaseMaker, recording_of: CaseMaker) -> Path:
    """Rules, a coin and two scripts over 60 bank cases and 60 recorded ones."""
    write_cases([*bank_of(60), *recording_of(60)], tmp_path / "cases.jsonl")
    path = tmp_path / "suite.toml"
    path.write_text(
        f"""
name = "small"
cases = ["{tmp_path / "cases.jsonl"}"]
trials = "{tmp_path / "trials.jsonl"}"
models = [{{engine = "rules"}}, {{engine = "random"}}, {{engine = "always-approve"}}]
passes = [{{}}, {{repeats = 3, orders = 2, sample = 6}}]
[[assertions]]
metric = "accuracy"
where = {{model = "rules", group = "fields"}}
at_least = 1.0
"""
    )
    return path
