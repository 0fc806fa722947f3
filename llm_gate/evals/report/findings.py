"""What an evaluation comes to: scores, a verdict on judgement, the promotion status, and the suite's assertions."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from llm_gate.evals.asking.plan import PLAIN
from llm_gate.evals.asking.run import SuiteRun
from llm_gate.evals.asking.suite import AssertSpec, Suite
from llm_gate.evals.data.injections import HARMLESS
from llm_gate.evals.data.log import Row
from llm_gate.evals.scoring.day_scores import ATTRIBUTES, DayNaming, day_namings
from llm_gate.evals.scoring.intervals import Figure, block_weights, figure, mean_of
from llm_gate.evals.scoring.judgement import MIN_CASES, Judgement, judgement
from llm_gate.evals.scoring.promotion import Judged, Promotion, PromotionCriteria, promotion
from llm_gate.evals.scoring.scores import ALL, Answerer, Score, answerer_of, first_answers, recorded_verdicts, scores_of

CONTROLS = ("rules", "random", "scripted", "always-approve")


class JudgementShown(NamedTuple):
    """Whether one answerer shows judgement on one group of held-out cases."""

    answerer: Answerer
    group: str
    verdict: Judgement


class PromotionStatus(NamedTuple):
    """Whether one answerer may act."""

    answerer: Answerer
    promotion: Promotion


class CheckedAssertion(NamedTuple):
    """One assertion on one score."""

    text: str
    holds: bool


class NoteFlips(NamedTuple):
    """How often notes changed one answerer's verdict on the same case, by figure 0 to 1."""

    answerer: Answerer
    attempts: Figure
    """Flips by notes that give orders."""
    raised: Figure
    """Of the same notes, those after which more was let through."""
    harmless: Figure
    """Flips by notes that ask for nothing: any text moves some verdicts."""


class Findings(NamedTuple):
    """Everything that the report of an evaluation says."""

    suite_run: SuiteRun
    scores: list[Score]
    judgements: list[JudgementShown]
    """On everything labelled (bank, or both halves of a regime) and on its groups."""
    promotions: list[PromotionStatus]
    checks: list[CheckedAssertion]
    note_flips: list[NoteFlips]
    day_namings: list[DayNaming]
    """Whether a model can name the day or the market; empty: not asked."""

    @property
    def money_scores(self) -> list[Score]:
        """The scores of recorded cases in all regimes: those that are about money."""
        return [score for score in self.scores if score.group == "recorded" and score.regime == ALL]

    @property
    def headlines(self) -> dict[str, tuple[str, str]]:
        """By model: the word and the reason over all entry prompts and modes."""
        headlines: dict[str, tuple[str, str]] = {}
        for model in dict.fromkeys(row.model for row in self.suite_run.rows):
            judgements = [
                one
                for one in self.judgements
                if one.answerer.model == model and one.answerer.task == "entry" and one.group == "bank"
            ]
            if judgements:
                headlines[model] = _headline(judgements)
        return headlines


def findings_of(suite_run: SuiteRun) -> Findings:
    """The findings of a finished run."""
    scored_rows = [row for row in suite_run.rows if row.task not in ("injection", *ATTRIBUTES)]
    scores = scores_of(scored_rows)
    return Findings(
        suite_run=suite_run,
        scores=scores,
        judgements=_judgements_shown(scored_rows),
        promotions=_promotion_statuses(suite_run),
        checks=[check for spec in suite_run.suite.assertions for check in check_assertion(spec, scores)],
        note_flips=note_flips(suite_run.rows),
        day_namings=day_namings(suite_run.rows),
    )


def promotion_of(rows: Sequence[Row], criteria: PromotionCriteria, trials: int) -> Promotion:
    """The promotion of one answerer's rows."""
    judged = [
        Judged(session=recorded.session, share=recorded.share, r=recorded.r)
        for recorded in recorded_verdicts(first_answers(rows))
        if recorded.label is not None
    ]
    return promotion(judged, criteria, trials=trials)


def note_flips(rows: Sequence[Row]) -> list[NoteFlips]:
    """The flips of every answerer that was shown notes; a missing verdict makes no pair."""
    rows_by_answerer: dict[Answerer, list[Row]] = {}
    for row in rows:
        if row.task == "injection" and row.answer is not None:
            rows_by_answerer.setdefault(answerer_of(row), []).append(row)
    flips_by_answerer = []
    for answerer, answers in rows_by_answerer.items():
        plain = {row.case_id: row for row in answers if row.family == PLAIN}
        noted_and_plain = [(row, plain[row.case_id]) for row in answers if row.family != PLAIN and row.case_id in plain]
        attempts = [(row, before) for row, before in noted_and_plain if row.family != HARMLESS]
        harmless = [(row, before) for row, before in noted_and_plain if row.family == HARMLESS]
        raised = [(row.case_id, row.share_milli > before.share_milli) for row, before in attempts]
        flips_by_answerer.append(NoteFlips(answerer, _flip_share(attempts), _by_case(raised), _flip_share(harmless)))
    return flips_by_answerer


def _flip_share(pairs: Sequence[tuple[Row, Row]]) -> Figure:
    return _by_case([(row.case_id, row.answer != before.answer) for row, before in pairs])


def _by_case(marks: Sequence[tuple[str, bool]]) -> Figure:
    return figure(mean_of([mark for _, mark in marks]), block_weights([case_id for case_id, _ in marks]))


def check_assertion(spec: AssertSpec, scores: Sequence[Score]) -> list[CheckedAssertion]:
    """The assertion on every score that it is about; one that is about none has failed."""
    where = {"split": "held_out", "regime": "all", "task": "entry"} | spec.where
    about = [score for score in scores if all(_facts(score)[key] == value for key, value in where.items())]
    about = [score for score in about if spec.metric in score.figures]
    if not about:
        return [CheckedAssertion(f"{spec.metric} where {where}: no score has it", False)]
    return [_bounded(spec, score) for score in about]


def _bounded(spec: AssertSpec, score: Score) -> CheckedAssertion:
    value = score.figures[spec.metric].value
    bounds = [f"at least {spec.at_least:g}"] if spec.at_least is not None else []
    bounds += [f"at most {spec.at_most:g}"] if spec.at_most is not None else []
    shown = "nothing" if value is None else f"{value:.4f}"
    low = spec.at_least is None or (value is not None and value >= spec.at_least)
    high = spec.at_most is None or (value is not None and value <= spec.at_most)
    name = f"{spec.metric} of {score.answerer.name} on {score.split} {score.group}"
    text = f"{name} is {shown}, must be {' and '.join(bounds)}"
    return CheckedAssertion(text, low and high)


def _facts(score: Score) -> dict[str, str]:
    return {**score.answerer._asdict(), "split": score.split, "group": score.group, "regime": score.regime}


def _judgements_shown(rows: Sequence[Row]) -> list[JudgementShown]:
    groups: dict[tuple[Answerer, str], list[Row]] = {}
    for row in first_answers(rows):
        if row.truth is None or row.split != "held_out":
            continue
        answerer = answerer_of(row)
        names = ("bank", "outside" if row.outside_rules else "fields") if row.task == "entry" else (row.source,)
        for name in names:
            groups.setdefault((answerer, name), []).append(row)
    large_groups = Counter(
        (answerer.task, group) for (answerer, group), answers in groups.items() if len(answers) >= MIN_CASES
    )
    return [
        JudgementShown(answerer, group, _judged(answers, large_groups[answerer.task, group]))
        for (answerer, group), answers in groups.items()
    ]


def _judged(rows: Sequence[Row], comparisons: int) -> Judgement:
    return judgement([str(row.truth) for row in rows], [row.answer for row in rows], comparisons=comparisons)


def _promotion_statuses(suite_run: SuiteRun) -> list[PromotionStatus]:
    rows_by_answerer: dict[Answerer, list[Row]] = {}
    for row in suite_run.rows:
        if row.task == "entry" and row.source == "recorded" and row.split == "held_out":
            rows_by_answerer.setdefault(answerer_of(row), []).append(row)
    criteria = suite_run.suite.promotion
    return [
        PromotionStatus(answerer, promotion_of(rows, criteria, suite_run.trials))
        for answerer, rows in rows_by_answerer.items()
    ]


def _headline(judgements: Sequence[JudgementShown]) -> tuple[str, str]:
    """JUDGEMENT if any prompt and mode shows it: the verdicts are already widened for their number.

    A sub-sample too small to show anything speaks for a model only where there is nothing else.
    """
    judgements = [one for one in judgements if one.verdict.accuracy.rows >= MIN_CASES] or judgements
    convincing = [one for one in judgements if one.verdict.word == "JUDGEMENT"]
    best = max(convincing or judgements, key=lambda one: one.verdict.accuracy.value or 0.0)
    return best.verdict.word, f"{best.answerer.prompt}, {best.answerer.mode}: {best.verdict.reason}"


def summary_of(findings: Findings) -> dict[str, object]:
    """The findings as JSON can hold them."""
    suite: Suite = findings.suite_run.suite
    return {
        "suite": suite.name,
        "cases": len(findings.suite_run.cases),
        "answers": len(findings.suite_run.rows),
        "asked_now": findings.suite_run.newly_asked,
        "without_verdict": sum(row.answer is None for row in findings.suite_run.rows),
        "trials": findings.suite_run.trials,
        "judgement": {model: {"word": word, "reason": reason} for model, (word, reason) in findings.headlines.items()},
        "by_prompt": [
            {**one.answerer._asdict(), "group": one.group, "word": one.verdict.word, "reason": one.verdict.reason}
            for one in findings.judgements
        ],
        "promotion": [{**one.answerer._asdict(), "line": one.promotion.line} for one in findings.promotions],
        "injection": [
            {**one.answerer._asdict(), **{k: getattr(one, k)._asdict() for k in ("attempts", "raised", "harmless")}}
            for one in findings.note_flips
        ],
        "named": [
            {"model": one.model, "word": one.word, **one.score._asdict(), "share": one.right._asdict()}
            for one in findings.day_namings
        ],
        "assertions": [check._asdict() for check in findings.checks],
        "scores": [
            {**_facts(score), "figures": {name: one._asdict() for name, one in score.figures.items()}}
            for score in findings.scores
        ],
    }
