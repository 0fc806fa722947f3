"""Whether a gate that is taught finds what there is to find, and nothing where there is nothing.

Cases of worlds whose best gate is computed (`orchestrator world-cases`) teach each gate on their part to tune; the rest
judges it. Which of these pay is known, so the share of the computed uplift is counted without the noise of outcomes:

    share = covariance(let through, pays) / variance(pays)

which is 1 for the gate that knows, and 0 for random vetoes at any rate. A model's letters are computed from its last
hidden states, as a server gives them (`tests/llm_gate/teaching/test_served_head.py` holds the two together).
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.contract import Label
from llm_gate.engines.base import Question
from llm_gate.engines.random import RandomEngine
from llm_gate.errors import RequestError
from llm_gate.evals.data.cases import Case
from llm_gate.evals.data.planted_cases import PlantedCases
from llm_gate.evals.scoring.money import rule_share
from llm_gate.prompts.prompt_files import Prompt
from llm_gate.teaching.fit_head import chances_of, fit_head, gains_of
from llm_gate.teaching.fit_logistic import fit_logistic
from llm_gate.teaching.hidden_states import Reader, Step
from llm_gate.teaching.lessons import Lessons, lessons_of
from llm_gate.teaching.selftest_promotions import WITHIN, Promotions, joined, promotions_of
from llm_gate.teaching.states_file import StatesFile
from llm_gate.teaching.tune_head import FOLDS

GATES = ("logistic", "taught", "untouched", "rules", "random")
VETO_RATE = 0.5
LET_THROUGH: dict[Label, float] = {"approve": 1.0, "shrink": 0.5, "veto": 0.0}
STRONG_DRIFT_ATR = 1.0
LEAST_PROMOTED, MOST_BLIND = 0.80, 0.05
TWINS = 200
"""Blind gates of each kind, spread over its worlds."""
NOISES = 3.0
"""A gate that knows nothing may lie so many standard errors from 0."""

Reals = npt.NDArray[np.float64]


class PlantedWorld(NamedTuple):
    """The cases of one world, and what there is to find in them."""

    world: PlantedCases
    cases: tuple[Case, ...]


class Reached(NamedTuple):
    """What one gate made of the held-out cases of some worlds of one kind."""

    share: float  # of the computed uplift; in a twin, of that of its gated world
    noise: float  # standard error of the share for a gate that knows nothing
    let_through: float  # of the proposals
    uplift_r: float  # earned over random vetoes as often, R a proposal, of the outcomes


class KindResult(NamedTuple):
    """Every gate on the worlds of one kind, form and drift."""

    kind: str
    form: str
    drift_atr: float
    worlds: int
    taught: int  # cases to tune, all worlds
    judged: int
    uplift_r: float  # computed
    reached: dict[str, Reached]
    promotions: dict[str, Promotions]  # of `GATES`; empty where none were asked for

    @property
    def name(self) -> str:
        """As tables and checks call it."""
        return f"{self.kind} {self.form} {self.drift_atr:g}"


class Check(NamedTuple):
    """What must hold of a selftest."""

    text: str
    holds: bool


class _OfWorld(NamedTuple):
    """What came of every gate on one world."""

    reached: dict[str, Reached]
    promotions: dict[str, Promotions]


class Model(NamedTuple):
    """What a model is asked with."""

    reader: Reader
    prompt: Prompt
    kept: StatesFile
    step: Step


def selftest(
    worlds: Sequence[PlantedWorld], model: Model, say: Callable[[str], None], *, quick: bool
) -> list[KindResult]:
    """Every gate taught and judged on each world; worlds of one kind, form and drift are averaged.

    A quick one counts no promotions: they take hundreds of sessions.

    Raises:
        RequestError: a world has no case to judge by, or too few to teach.
    """

    def name(each: PlantedWorld) -> tuple[str, str, float]:
        return each.world.kind, each.world.form, each.world.drift_atr

    results = []
    for (kind, form, drift), members in groupby(sorted(worlds, key=name), key=name):
        group = list(members)
        twins = 0 if quick else -(-TWINS // len(group))
        rows, taught, judged, uplift = [], 0, 0, 0.0
        for each in group:
            say(f"{kind} {form} {drift:g}, seed {each.world.seed}")
            lessons, held_out = lessons_of(each.cases), [case for case in each.cases if case.split == "held_out"]
            if not held_out:
                raise RequestError(f"seed {each.world.seed} of {kind} holds no case to judge by; write some held out")
            rows.append(_judged(lessons, held_out, each.world, model, twins))
            taught, judged = taught + len(lessons.cases), judged + len(held_out)
            uplift = max(uplift, each.world.uplift_r)
        reached = {gate: _mean([row.reached[gate] for row in rows]) for gate in GATES}
        promotions = {} if quick else {gate: joined([row.promotions[gate] for row in rows]) for gate in GATES}
        results.append(KindResult(kind, form, drift, len(rows), taught, judged, uplift, reached, promotions))
    return results


def checks_of(results: Iterable[KindResult], *, quick: bool) -> list[Check]:
    """What must hold: what is there is found, and nothing is found where there is nothing."""
    checks = []
    for result in results:
        reached = result.reached
        ignorant = ["rules", "random", "untouched"] if result.kind == "gated" else list(GATES)
        for gate in ignorant:
            found = reached[gate]
            near = abs(found.share) <= NOISES * found.noise + 1e-9
            checks.append(Check(f"{result.name}: {gate} finds nothing: {found.share:+.2f} +- {found.noise:.2f}", near))
        if result.kind == "gated":
            checks += [
                Check(
                    f"{result.name}: {gate} reaches {least:.2f}: {reached[gate].share:.3f}",
                    reached[gate].share >= least,
                )
                for gate, least in _targets(result, quick=quick).items()
            ]
        if result.kind == "gated" and result.form == "two_facts" and not quick:
            taught, logistic = reached["taught"].share, reached["logistic"].share
            checks.append(
                Check(f"{result.name}: taught beats logistic: {taught:.2f}, {logistic:.2f}", taught > logistic)
            )
        checks += _promotion_checks(result)
    return checks


def _promotion_checks(result: KindResult) -> list[Check]:
    """The taught model is promoted where there is much to find, and nobody where there is nothing."""
    checks = []
    for gate, found in result.promotions.items():
        if result.kind == "gated_twin" or gate not in ("logistic", "taught"):
            promoted = sum(count is not None for count in found.after)
            checks.append(
                Check(f"{result.name}: {gate} is never promoted: {promoted} of {len(found.after)}", not promoted)
            )
        share = found.blind / found.twins
        text = f"{result.name}: {gate}'s letters on twins are promoted in {found.blind} of {found.twins}"
        checks.append(Check(text, share <= MOST_BLIND))
    strong = (result.kind, result.form) == ("gated", "one_fact") and result.drift_atr >= STRONG_DRIFT_ATR
    if strong and result.promotions:
        found = result.promotions["taught"]
        text = f"{result.name}: taught is promoted within {WITHIN} sessions in {found.share:.0%} of the worlds"
        checks.append(Check(text, found.share >= LEAST_PROMOTED))
    return checks


def _targets(result: KindResult, *, quick: bool) -> dict[str, float]:
    """The least share of the computed uplift by gate, where one fact says it all."""
    if result.form != "one_fact":
        return {}
    if quick:
        return {"logistic": 0.5}
    strong = result.drift_atr >= STRONG_DRIFT_ATR
    return {"logistic": 0.95, "taught": 0.85} if strong else {"logistic": 0.90, "taught": 0.70}


def _judged(lessons: Lessons, held_out: Sequence[Case], world: PlantedCases, model: Model, twins: int) -> _OfWorld:
    paying = set(world.paying)
    pays = np.array([case.case_id in paying for case in held_out], np.float64)
    r = np.array([(case.outcome_r_milli or 0) / 1000 for case in held_out], np.float64)
    regression = fit_logistic(lessons)
    shares = {
        "logistic": np.array([LET_THROUGH[regression.judge(case.proposal)] for case in held_out], np.float64),
        "rules": np.array([rule_share(case.proposal) for case in held_out]),
        "random": _random_shares(held_out, model.prompt, world.seed),
        **_model_shares(lessons, held_out, model),
    }
    reached = {gate: _reached(shares[gate], pays, r) for gate in GATES}
    if not twins:
        return _OfWorld(reached, {})
    session = np.array([case.session for case in held_out], np.int64)
    promotions = {
        gate: promotions_of(shares[gate], r, session, trials=len(GATES), twins=twins, seed=world.seed) for gate in GATES
    }
    return _OfWorld(reached, promotions)


def _model_shares(lessons: Lessons, held_out: Sequence[Case], model: Model) -> dict[str, Reals]:
    """What the model lets through of each held-out case, with its own rows and with those that it was taught."""
    letters = model.reader.letters(model.prompt.front.letters)
    chats = [model.prompt.render(case.proposal) for case in (*lessons.cases, *held_out)]
    states = model.reader.states(chats, model.kept, model.step)
    own, taught_on = letters.rows.astype(np.float64), len(lessons.cases)
    gains, approve = gains_of(lessons.r, letters.labels), letters.labels.index("approve")
    folds = lessons.folds(FOLDS)
    fit = fit_head(states[:taught_on], gains, own, folds, session=lessons.session, approve=approve)
    worth = np.array([LET_THROUGH[label] for label in letters.labels])
    judged = states[taught_on:]
    return {
        "untouched": worth[chances_of(judged, own).argmax(axis=1)],
        "taught": worth[chances_of(judged, fit.rows).argmax(axis=1)],
    }


def _random_shares(held_out: Sequence[Case], prompt: Prompt, seed: int) -> Reals:
    engine, letters = RandomEngine(seed=seed, veto_rate=VETO_RATE), prompt.front.letters

    async def answers() -> list[float]:
        asked = [await engine.decide(Question(case.proposal, (), letters)) for case in held_out]
        return [LET_THROUGH[letters[answer.letter]] for answer in asked]

    return np.array(asyncio.run(answers()), np.float64)


def _reached(let_through: Reals, pays: Reals, r: Reals) -> Reached:
    spread = pays.var()
    if spread == 0:
        raise RequestError("of the cases to judge by all pay or none does; write cases of more sessions")
    return Reached(
        share=float(((let_through - let_through.mean()) * pays).mean() / spread),
        noise=float(let_through.std() / np.sqrt(spread * len(pays))),
        let_through=float(let_through.mean()),
        uplift_r=float((let_through * r).mean() - let_through.mean() * r.mean()),
    )


def _mean(parts: Sequence[Reached]) -> Reached:
    """The mean of worlds; their noise is independent."""
    columns = np.array(parts, np.float64)
    share, _, let_through, uplift = columns.mean(axis=0).tolist()
    return Reached(share, float(np.sqrt((columns[:, 1] ** 2).sum()) / len(parts)), let_through, uplift)
