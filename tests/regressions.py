"""A saved regression with weights of one's choice, on numbers as they are."""

from pathlib import Path

from llm_gate.engines.logistic import Column, LogisticFold, LogisticModel
from llm_gate.engines.proposal_numbers import numbers_of
from llm_gate.prompts.facts import smallest_proposal


def regression(**weights: float) -> LogisticModel:
    """No weight but those given; it approves from a chance of one half on."""
    names = numbers_of(smallest_proposal())
    return LogisticModel(
        columns=tuple(Column(name=name, mean=0.0, scale=1.0, weight=weights.get(name, 0.0)) for name in names),
        intercept=0.0,
        slope=1.0,
        shift=0.0,
        threshold=0.5,
        penalty=1.0,
        cases=10,
        sessions=10,
        cases_digest="0" * 64,
        last_session=9,
        in_sample=False,
        folds=(LogisticFold(sessions=10, cases=10, loss=0.6),),
    )


def saved(path: Path, **weights: float) -> Path:
    """`regression` in a file."""
    path.write_text(regression(**weights).model_dump_json(), encoding="utf-8")
    return path
