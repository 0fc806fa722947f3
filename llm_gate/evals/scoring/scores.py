"""Every figure of an evaluation: rows grouped by who answered what, each group scored with intervals."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from llm_gate.evals.data.log import Row
from llm_gate.evals.scoring.intervals import LEVEL, RESAMPLES, Figure, block_weights, figure, mean_of
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
from llm_gate.evals.scoring.money import RecordedVerdict, money
from trigate.intervals import widened_level

ALL = "all"
Name = TypeVar("Name")
REGIME_RESAMPLES = 1000
SHARE = (0.0, 1.0)
"""The range of a metric that is a share or a probability."""


class Sampling(NamedTuple):
    """How intervals are drawn."""

    resamples: int = RESAMPLES
    level: float = LEVEL


USUAL = Sampling()


class Answerer(NamedTuple):
    """One model, or a control, asked one task with one prompt in one mode."""

    task: str
    model: str
    prompt: str
    mode: str

    @property
    def name(self) -> str:
        """For a command line: model/prompt/mode, and the task where it is not the entry."""
        return "/".join((self.model, self.prompt, self.mode) + (() if self.task == "entry" else (self.task,)))


def answerer_of(row: Row) -> Answerer:
    """Who gave the answer in ``row``."""
    return Answerer(task=row.task, model=row.model, prompt=row.prompt, mode=row.mode)


class Score(NamedTuple):
    """The figures of one group of cases."""

    answerer: Answerer
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
    scores = []
    for answerer, answers in _by(rows, answerer_of).items():
        for split, of_split in _by(answers, lambda row: row.split).items():
            for group, of_group in _groups(of_split).items():
                scores.append(_score(answerer, split, group, ALL, of_group))
                by_regime = sorted(_by(of_group, lambda row: row.regime).items())
                # The table is exploratory: it looks at every regime at once, so its intervals are widened for them.
                wide = Sampling(REGIME_RESAMPLES, widened_level(LEVEL, len(by_regime)))
                scores += [_score(answerer, split, group, name, members, wide) for name, members in by_regime]
    return scores


def first_answers(rows: Iterable[Row]) -> list[Row]:
    """One row a case: the prompt's own letters, asked once."""
    return [row for row in rows if row.order == 0 and row.repeat == 0]


def recorded_verdicts(rows: Iterable[Row]) -> list[RecordedVerdict]:
    """The recorded proposals that ran to their end."""
    return [
        RecordedVerdict(
            session=row.session,
            r=row.r,
            share=row.share_milli / 1000,
            label=row.answer,
            rule_share=row.rule_share_milli / 1000,
        )
        for row in rows
        if row.r is not None and row.session is not None
    ]


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    bank = [row for row in rows if row.source == "bank"]
    groups = {
        "bank": bank,
        "fields": [row for row in bank if not row.outside_rules],
        "outside": [row for row in bank if row.outside_rules],
        "recorded": [row for row in rows if row.source == "recorded"],
    }
    return {name: members for name, members in groups.items() if members}


def _by(rows: Iterable[Row], name_of: Callable[[Row], Name]) -> dict[Name, list[Row]]:
    groups: dict[Name, list[Row]] = defaultdict(list)
    for row in rows:
        groups[name_of(row)].append(row)
    return groups


def _score(
    answerer: Answerer, split: str, group: str, regime: str, rows: Sequence[Row], sampling: Sampling = USUAL
) -> Score:
    firsts = first_answers(rows)
    figures = _label_figures(firsts, sampling) | _service_figures(rows, firsts)
    bins: tuple[ReliabilityBin, ...] = ()
    if answerer.task == "entry":
        figures |= _approval_figures(firsts, sampling) | _agreement_figures(rows)
        figures |= money(recorded_verdicts(firsts), level=sampling.level) if group == "recorded" else {}
        bins = _bins(firsts)
    errors = Counter(row.error or "no verdict" for row in rows if row.answer is None)
    return Score(
        answerer=answerer,
        split=split,
        group=group,
        regime=regime,
        figures=figures,
        bins=bins,
        errors=dict(errors.most_common()),
    )


def _label_figures(firsts: Sequence[Row], sampling: Sampling) -> dict[str, Figure]:
    labelled = [(row.truth, row.answer) for row in firsts if row.truth is not None]
    if not labelled:
        return {}
    truth, answers = [pair[0] for pair in labelled], [pair[1] for pair in labelled]
    weights, level = block_weights(range(len(truth)), resamples=sampling.resamples), sampling.level
    return {
        "accuracy": figure(accuracy(truth, answers), weights, level=level, within=SHARE),
        "macro_f1": figure(macro_f1(truth, answers), weights, level=level, within=SHARE),
        "majority": Figure(majority_rate(truth), rows=len(truth)),
    }


def _approval_figures(firsts: Sequence[Row], sampling: Sampling) -> dict[str, Figure]:
    """Shares of each answer, and what P(approve) is worth against the label, or a win where there is no label."""
    answers = [row.answer for row in firsts]
    sessions = [row.case_digest if row.session is None else row.session for row in firsts]
    level = sampling.level
    weights = block_weights(sessions, resamples=sampling.resamples)
    shares = {"approve_rate": "approve", "shrink_rate": "shrink", "veto_rate": "veto"}
    figures = {
        name: figure(mean_of([answer == label for answer in answers]), weights, level=level, within=SHARE)
        for name, label in shares.items()
    }
    rated = _rated(firsts)
    if not rated:
        return figures
    p_approve, was_right = [row.p_approve or 0.0 for row, _ in rated], [came_true for _, came_true in rated]
    groups = [row.case_digest if row.session is None else row.session for row, _ in rated]
    weights = block_weights(groups, resamples=sampling.resamples)
    return figures | {
        "auc": figure(auc(was_right, p_approve), weights, level=level, within=SHARE),
        "brier": figure(brier(was_right, p_approve), weights, level=level, within=SHARE),
        "ece": figure(calibration_error(was_right, p_approve), weights, level=level, within=SHARE),
    }


def _bins(firsts: Sequence[Row]) -> tuple[ReliabilityBin, ...]:
    rated = _rated(firsts)
    if not rated:
        return ()
    return tuple(reliability([came_true for _, came_true in rated], [row.p_approve or 0.0 for row, _ in rated]))


def _rated(firsts: Sequence[Row]) -> list[tuple[Row, bool]]:
    """Rows with a P(approve), and whether approving was right."""
    rated = []
    for row in firsts:
        came_true = _approvable(row)
        if row.p_approve is not None and came_true is not None:
            rated.append((row, came_true))
    return rated


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
        name: figure(mean_of(shares), block_weights(range(len(shares))), within=SHARE)
        for name, shares in pairs.items()
        if shares
    }


def _service_figures(rows: Sequence[Row], firsts: Sequence[Row]) -> dict[str, Figure]:
    latencies_ms = np.array([1000 * row.latency_s for row in rows if row.answer is not None])
    late_share = Figure(sum(row.error == "timeout" for row in rows) / len(rows), rows=len(rows))
    malformed_share = Figure(sum(row.error in ("malformed", "foreign") for row in rows) / len(rows), rows=len(rows))
    figures = {
        "answers": Figure(float(len(rows)), rows=len(rows)),
        "cases": Figure(float(len(firsts)), rows=len(firsts)),
        "malformed": malformed_share,
        "late": late_share,
        "no_verdict": Figure(sum(row.answer is None for row in rows) / len(rows), rows=len(rows)),
    }
    if len(latencies_ms):
        figures["latency_p50_ms"] = Figure(float(np.quantile(latencies_ms, 0.5)), rows=len(latencies_ms))
        figures["latency_p99_ms"] = Figure(float(np.quantile(latencies_ms, 0.99)), rows=len(latencies_ms))
    for name in ("prompt_tokens", "completion_tokens"):
        counted = [getattr(row, name) for row in rows if getattr(row, name) is not None]
        if counted:
            figures[name] = Figure(float(np.mean(counted)), rows=len(counted))
    return figures
