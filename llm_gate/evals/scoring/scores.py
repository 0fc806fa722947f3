"""Every figure of an evaluation: rows grouped by who answered what, each group scored with intervals."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from llm_gate.evals.data.log import Row
from llm_gate.evals.scoring.intervals import Figure, block_weights, figure, mean_of
from llm_gate.evals.scoring.metrics import (
    ReliabilityBin,
    accuracy,
    agreement,
    auc,
    brier,
    calibration_error,
    macro_f1,
    majority_rate,
    reliability,
)
from llm_gate.evals.scoring.money import Stake, money

ALL = "all"
Name = TypeVar("Name")
REGIME_RESAMPLES = 500


class Who(NamedTuple):
    """Who answered what, how."""

    task: str
    model: str
    prompt: str
    mode: str

    @property
    def name(self) -> str:
        """For a command line: model/prompt/mode, and the task where it is not the entry."""
        return "/".join((self.model, self.prompt, self.mode) + (() if self.task == "entry" else (self.task,)))


class Score(NamedTuple):
    """The figures of one group of cases."""

    who: Who
    split: str
    group: str
    """fields (what the three-line rule reads), outside, bank (both), or recorded."""
    regime: str
    """One, or all."""
    figures: dict[str, Figure]
    bins: tuple[ReliabilityBin, ...] = ()
    """Of P(approve), for the reliability diagram."""
    errors: dict[str, int] = {}  # noqa: RUF012 - never changed
    """Missing verdicts by cause."""


def scores_of(rows: Sequence[Row]) -> list[Score]:
    """The scores of every answerer, split and group of cases, whole and by regime."""
    found = []
    for who, own in _by(rows, lambda row: Who(row.task, row.model, row.prompt, row.mode)).items():
        for split, of_split in _by(own, lambda row: row.split).items():
            for group, of_group in _groups(of_split).items():
                found.append(_score(who, split, group, ALL, of_group))
                found += [
                    _score(who, split, group, regime, of_regime)
                    for regime, of_regime in sorted(_by(of_group, lambda row: row.regime).items())
                ]
    return found


def first_answers(rows: Iterable[Row]) -> list[Row]:
    """One row a case: the prompt's own letters, asked once."""
    return [row for row in rows if row.order == 0 and row.repeat == 0]


def stakes_of(rows: Iterable[Row]) -> list[Stake]:
    """The recorded proposals that ran to their end."""
    return [
        Stake(row.session, row.r, row.share_milli / 1000, row.answer, row.rule_share_milli / 1000)
        for row in rows
        if row.r is not None and row.session is not None
    ]


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    bank = [row for row in rows if row.source == "bank"]
    found = {
        "bank": bank,
        "fields": [row for row in bank if not row.outside_rules],
        "outside": [row for row in bank if row.outside_rules],
        "recorded": [row for row in rows if row.source == "recorded"],
    }
    return {name: own for name, own in found.items() if own}


def _by(rows: Iterable[Row], name_of: Callable[[Row], Name]) -> dict[Name, list[Row]]:
    found: dict[Name, list[Row]] = defaultdict(list)
    for row in rows:
        found[name_of(row)].append(row)
    return found


def _score(who: Who, split: str, group: str, regime: str, rows: Sequence[Row]) -> Score:
    firsts = first_answers(rows)
    figures = _label_figures(firsts, regime) | _service_figures(rows, firsts)
    bins: tuple[ReliabilityBin, ...] = ()
    if who.task == "entry":
        figures |= _approval_figures(firsts, regime) | _agreement_figures(rows)
        figures |= money(stakes_of(firsts)) if group == "recorded" else {}
        bins = _bins(firsts)
    errors = Counter(row.error or "no verdict" for row in rows if row.answer is None)
    return Score(who, split, group, regime, figures, bins, dict(errors.most_common()))


def _label_figures(firsts: Sequence[Row], regime: str) -> dict[str, Figure]:
    labelled = [(row.truth, row.answer) for row in firsts if row.truth is not None]
    if not labelled:
        return {}
    truth, said = [pair[0] for pair in labelled], [pair[1] for pair in labelled]
    weights = block_weights(range(len(truth)), resamples=2000 if regime == ALL else REGIME_RESAMPLES)
    return {
        "accuracy": figure(accuracy(truth, said), weights),
        "macro_f1": figure(macro_f1(truth, said), weights),
        "majority": Figure(majority_rate(truth), rows=len(truth)),
    }


def _approval_figures(firsts: Sequence[Row], regime: str) -> dict[str, Figure]:
    """Shares of each answer, and what P(approve) is worth against the label, or a win where there is no label."""
    said = [row.answer for row in firsts]
    sessions = [row.case_digest if row.session is None else row.session for row in firsts]
    resamples = 2000 if regime == ALL else REGIME_RESAMPLES
    weights = block_weights(sessions, resamples=resamples)
    shares = {"approve_rate": "approve", "shrink_rate": "shrink", "veto_rate": "veto"}
    found = {name: figure(mean_of([answer == label for answer in said]), weights) for name, label in shares.items()}
    rated = _rated(firsts)
    if not rated:
        return found
    odds, true = [row.p_approve or 0.0 for row, _ in rated], [came_true for _, came_true in rated]
    groups = [row.case_digest if row.session is None else row.session for row, _ in rated]
    weights = block_weights(groups, resamples=resamples)
    return found | {
        "auc": figure(auc(true, odds), weights),
        "brier": figure(brier(true, odds), weights),
        "ece": figure(calibration_error(true, odds), weights),
    }


def _bins(firsts: Sequence[Row]) -> tuple[ReliabilityBin, ...]:
    rated = _rated(firsts)
    if not rated:
        return ()
    return tuple(reliability([came_true for _, came_true in rated], [row.p_approve or 0.0 for row, _ in rated]))


def _rated(firsts: Sequence[Row]) -> list[tuple[Row, bool]]:
    """Rows with a P(approve), and whether approving was right."""
    found = []
    for row in firsts:
        came_true = _approvable(row)
        if row.p_approve is not None and came_true is not None:
            found.append((row, came_true))
    return found


def _approvable(row: Row) -> bool | None:
    if row.truth is not None:
        return row.truth == "approve"
    return None if row.r is None else row.r > 0


def _agreement_figures(rows: Sequence[Row]) -> dict[str, Figure]:
    pairs = {
        "agreement_repeats": agreement((row.case_digest, row.answer) for row in rows if row.order == 0),
        "agreement_orders": agreement((row.case_digest, row.answer) for row in rows if row.repeat == 0),
    }
    return {
        name: figure(mean_of(shares), block_weights(range(len(shares)))) for name, shares in pairs.items() if shares
    }


def _service_figures(rows: Sequence[Row], firsts: Sequence[Row]) -> dict[str, Figure]:
    waited = np.array([1000 * row.latency_s for row in rows if row.answer is not None])
    late = Figure(sum(row.error == "timeout" for row in rows) / len(rows), rows=len(rows))
    bad = Figure(sum(row.error in ("malformed", "foreign") for row in rows) / len(rows), rows=len(rows))
    found = {
        "answers": Figure(float(len(rows)), rows=len(rows)),
        "cases": Figure(float(len(firsts)), rows=len(firsts)),
        "malformed": bad,
        "late": late,
        "no_verdict": Figure(sum(row.answer is None for row in rows) / len(rows), rows=len(rows)),
    }
    if len(waited):
        found["latency_p50_ms"] = Figure(float(np.quantile(waited, 0.5)), rows=len(waited))
        found["latency_p99_ms"] = Figure(float(np.quantile(waited, 0.99)), rows=len(waited))
    for name in ("prompt_tokens", "completion_tokens"):
        counted = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        if counted:
            found[name] = Figure(float(np.mean(counted)), rows=len(counted))
    return found
