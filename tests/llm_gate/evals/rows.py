"""Rows of an evaluation's log, for tests that score them."""

from llm_gate.evals.data.log import Row

DIGEST = "0" * 64


def row(number: int, *, answer: str | None = "approve", p: float | None = None, **changed: object) -> Row:
    """A bank row whose truth is approve, or what the caller says."""
    fields: dict[str, object] = {
        "task": "entry",
        "prompt": "p.v1",
        "prompt_digest": DIGEST,
        "model": "m",
        "model_digest": "m@1",
        "mode": "choice",
        "order": 0,
        "repeat": 0,
        "case_id": f"c{number}",
        "case_digest": f"{number:064x}",
        "source": "bank",
        "split": "held_out",
        "regime": "up/calm",
        "outside_rules": False,
        "truth": "approve",
        "outcome_r_milli": None,
        "session": None,
        "rule_share_milli": 1000,
        "answer": answer,
        "share_milli": 1000 if answer == "approve" else 0,
        "probabilities": None if p is None else {"approve": p, "shrink": 0.0, "veto": 1 - p},
    }
    return Row.model_validate(fields | changed)


def recorded(number: int, p: float, r_milli: int, session: int) -> Row:
    """A recorded row."""
    return row(number, p=p, source="recorded", truth=None, outcome_r_milli=r_milli, session=session)
