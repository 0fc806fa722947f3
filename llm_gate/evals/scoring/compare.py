"""Which of two is better: answers to the same questions side by side, with paired intervals."""

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from llm_gate.errors import RequestError
from llm_gate.evals.data.cases import Split
from llm_gate.evals.data.log import Row, read_rows
from llm_gate.evals.scoring.intervals import Figure, block_weights, figure, mean_of
from llm_gate.evals.scoring.scores import Answerer, answerer_of


class AnswererRows(NamedTuple):
    """One answerer of one log."""

    answerer: Answerer
    rows: list[Row]


class Comparison(NamedTuple):
    """A against B on the questions that both were asked; differences are A minus B."""

    a: str
    b: str
    common: int
    only_a: int
    only_b: int
    agreement: Figure
    accuracy_a: Figure
    accuracy_b: Figure
    accuracy_difference: Figure
    right_only_a: int
    right_only_b: int
    p_value: float | None
    """McNemar's exact test of the two counts before it."""
    r_difference: Figure
    """R a proposal, on recorded cases; resampled by session."""


def split_of(name: str | None) -> Split | None:
    """The split of this name; RequestError if there is none."""
    match name:
        case None | "tune" | "held_out":
            return name
    raise RequestError(f"no split {name!r}; there are: tune, held_out")


def compare_logs(a: str, b: str, *, split: Split | None = None) -> list[Comparison]:
    """Each answerer of log ``a`` with its counterpart in ``b``.

    A log may name one answerer, ``LOG#model/prompt/mode`` with ``*`` for any; where both name or hold one, these two
    are compared, else those of the same name; ``split`` takes only its rows, None both.

    Raises:
        RequestError: a log cannot be read, or nothing in it matches.
    """
    left, right = answerers_of(a, split=split), answerers_of(b, split=split)
    if len(left) == len(right) == 1:
        pairs = [(left[0], right[0])]
    else:
        by_answerer = {side.answerer: side for side in right}
        pairs = [(side, by_answerer[side.answerer]) for side in left if side.answerer in by_answerer]
    if not pairs:
        names = ", ".join(side.answerer.name for side in (*left, *right))
        raise RequestError(f"nothing to compare: no name is in both; choose one of each with LOG#NAME from {names}")
    return [_comparison(x, y) for x, y in pairs]


def as_json_of(comparison: Comparison) -> dict[str, object]:
    """The comparison as JSON can hold it."""
    return {name: one._asdict() if isinstance(one, Figure) else one for name, one in comparison._asdict().items()}


def answerers_of(log_and_pattern: str, *, split: Split | None = None) -> list[AnswererRows]:
    """The answerers of a log that match what follows its ``#``, with their rows of ``split``, or all."""
    path, _, pattern = log_and_pattern.partition("#")
    rows_by_answerer: dict[Answerer, list[Row]] = {}
    latest = {row.key._replace(question_digest=None): row for row in read_rows(Path(path))}  # in its newest words
    rows = [row for row in latest.values() if split in (None, row.split)]
    if not rows:
        raise RequestError(f"{path}: holds no row of {split}")
    for row in rows:
        rows_by_answerer.setdefault(answerer_of(row), []).append(row)
    matching = [
        AnswererRows(answerer, rows)
        for answerer, rows in rows_by_answerer.items()
        if not pattern or fnmatchcase(answerer.name, pattern)
    ]
    if not matching:
        names = ", ".join(answerer.name for answerer in rows_by_answerer)
        raise RequestError(f"{log_and_pattern}: no answerer matches; there are: {names}")
    return matching


def _comparison(a: AnswererRows, b: AnswererRows) -> Comparison:
    left, right = ({_question(row): row for row in side.rows} for side in (a, b))
    pairs = [(left[question], right[question]) for question in left if question in right]
    if not pairs:
        raise RequestError(f"{a.answerer.name} and {b.answerer.name} were asked nothing in common")
    # A case asked again is no further case: McNemar's counts must be independent.
    labelled = [(x, y) for x, y in pairs if x.truth is not None and x.order == x.repeat == 0]
    hits = [(x.answer == x.truth, y.answer == x.truth) for x, y in labelled]
    weights = block_weights([x.case_digest for x, _ in labelled])
    counts = Counter(hits)
    discordant = counts[True, False] + counts[False, True]
    return Comparison(
        a=a.answerer.name,
        b=b.answerer.name,
        common=len(pairs),
        only_a=len(left.keys() - right.keys()),
        only_b=len(right.keys() - left.keys()),
        agreement=figure(
            mean_of([x.answer == y.answer and x.answer is not None for x, y in pairs]),
            block_weights([x.case_digest for x, _ in pairs]),
            within=(0.0, 1.0),
        ),
        accuracy_a=figure(mean_of([hit for hit, _ in hits]), weights, within=(0.0, 1.0)),
        accuracy_b=figure(mean_of([hit for _, hit in hits]), weights, within=(0.0, 1.0)),
        accuracy_difference=figure(mean_of([float(x) - float(y) for x, y in hits]), weights, within=(-1.0, 1.0)),
        right_only_a=counts[True, False],
        right_only_b=counts[False, True],
        p_value=_mcnemar(counts[True, False], discordant),
        r_difference=_money(pairs),
    )


def _mcnemar(right_only_a: int, discordant: int) -> float | None:
    """McNemar's exact p-value, two-sided; None where the two never differ."""
    from scipy.stats import binomtest  # slow to load, and it looks for torch

    return float(binomtest(right_only_a, discordant).pvalue) if discordant else None


def _money(pairs: Sequence[tuple[Row, Row]]) -> Figure:
    earned = [
        (x.session, (x.share_milli - y.share_milli) / 1000 * x.r)
        for x, y in pairs
        if x.r is not None and x.order == x.repeat == 0
    ]
    return figure(mean_of([r for _, r in earned]), block_weights([session for session, _ in earned]))


def _question(row: Row) -> tuple[str, str, int, int]:
    return row.task, row.case_digest, row.order, row.repeat
