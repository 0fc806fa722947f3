"""Recorded cases whose outcome hangs on the 240-minute trend, alone or with the part of the session."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_gate.evals.data.cases import Case

MakeCases = Callable[..., list[Case]]


def say_nothing(done: int, total: int) -> None:
    """A step that nobody watches."""


def tied(folder: Path, out: Path) -> Path:
    """The model of ``folder`` with one matrix for embeddings and output layer, as small models often have."""
    import transformers

    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model.config.tie_word_embeddings = True
    model.lm_head.weight = model.get_input_embeddings().weight
    shutil.copytree(folder, out)
    model.save_pretrained(out)
    return out


@pytest.fixture(scope="session")
def make_cases(make_proposal: Callable[..., Any]) -> MakeCases:
    """``count`` cases, five a session, half to tune; 3 R in a share ``win`` where the condition holds, else `lose`."""

    def make(
        count: int, *, win: float = 0.45, lose: float = 0.15, two_facts: bool = False, seed: int = 0
    ) -> list[Case]:
        generator = np.random.default_rng(seed)
        cases = []
        for number in range(count):
            side, late = generator.choice(["buy", "sell"]), bool(generator.random() < 0.5)
            trend = int(generator.integers(1000, 9000) * generator.choice([-1, 1]))
            holds = ((trend > 0) == (side == "buy")) != (two_facts and late)
            won = generator.random() < (win if holds else lose)
            proposal = make_proposal(
                proposal_id=hashlib.md5(f"{seed}/{number}".encode()).hexdigest(),
                side=str(side),
                trend_240_atr_milli=trend,
                trend_60_atr_milli=int(generator.normal(0, 3000)),
                session_part="late" if late else "midday",
                volume_percentile=int(generator.integers(0, 101)),
            )
            cases.append(
                Case(
                    case_id=proposal.proposal_id,
                    source="recorded",
                    split="tune" if number < count // 2 else "held_out",
                    proposal=proposal,
                    outcome_r_milli=2950 if won else -1050,
                    session=number // 5,
                    in_sample=False,
                )
            )
        return cases

    return make
