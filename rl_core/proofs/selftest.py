"""Tests that the learner learns: on planted worlds it must earn most of the optimum, and without an edge nothing.

"Optimum" is exact: a trade of the best rule is worth what `rl_core.worlds.planted_value` computes from the world's
parameters, less its costs (two commissions, a tick at the entry and one at the exit); a session holds as many as that
rule takes on the very bars of the test, where an open position blocks later signals. The rule's own result on those
bars is shown beside it. A learner's R is measured against it with the rule as control: both meet the same bars, so
share = 1 + (learner - rule) / optimum has far less noise than learner / optimum.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import numpy as np

from rl_core.evaluation.evaluate import Evaluation
from rl_core.market.costs import stop_distance
from rl_core.market.types import Namespace
from rl_core.proofs.learners import Snapshot, TradedWorld, learn, r_by_session, traded_world
from rl_core.proofs.selftest_config import SelftestConfig
from rl_core.proofs.untrained_policies import declared_rule, random_entries
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap
from rl_core.statistics.interquartile import Aggregate, aggregate
from rl_core.worlds.controls import no_edge_world, planted_world, reverting_drift, reverting_world
from rl_core.worlds.demo import World, fading_drift
from rl_core.worlds.planted_value import bracket_value, managed_value

TRAIL_AFTER = 2  # bars held; the best of 2, 4, 5 and 6 on another reverting world
SLIPPED_TICKS = 2  # entry and exit; a target does not slip, but the price must trade one tick through it
RULE_ERRORS = 4.0  # standard errors that the rule's own R may be from the computed optimum

ReportLine = Callable[[str], None]


class Assertion(NamedTuple):
    """One assertion."""

    name: str
    figure: float
    relation: str  # "at least" or "at most"
    limit: float

    @property
    def passed(self) -> bool:
        """Whether it holds; a figure that is not a number does not."""
        return bool(self.figure >= self.limit if self.relation == "at least" else self.figure <= self.limit)


class CurvePoint(NamedTuple):
    """The learners' share of the optimum at one moment of training."""

    step: int
    seconds: float
    share: Aggregate


class WorldResult(NamedTuple):
    """What the learners of one world earned; R is per session of the test world."""

    name: str
    optimum: float  # computed, with the bracket left alone
    managed_optimum: float | None  # computed, with breakeven and trail
    managed_rule: float | None  # the rule that trails, measured
    rule: float  # the declared rule, measured
    rule_error: float
    phase1: list[float]  # by seed
    phase2: list[float]
    curve: list[CurvePoint]
    sessions: int
    trades: list[int]  # of phase 1, by seed

    def share(self, earned: Sequence[float]) -> list[float]:
        """Each seed's share of the optimum."""
        return [1 + (of_seed - self.rule) / self.optimum for of_seed in earned]

    @property
    def never(self) -> float:
        """The share of a policy that never enters: its R is 0, and the test's bars were kind to the rule or not."""
        return self.share([0.0])[0]

    @property
    def managed_share(self) -> Aggregate | None:
        """Phase 2's share of the optimum with management; None where none was computed."""
        if self.managed_optimum is None or self.managed_rule is None:
            return None
        return aggregate([[1 + (of_seed - self.managed_rule) / self.managed_optimum for of_seed in self.phase2]])

    @property
    def of_rule(self) -> Aggregate:
        """Phase 1's measured R over the rule's measured R on the same bars."""
        return aggregate([[of_seed / self.rule for of_seed in self.phase1]])


class ControlResult(NamedTuple):
    """What learners and random entries earned in the world without an edge."""

    learned: Interval  # R per session, the learners' mean, over sessions
    learned_trades: list[int]
    random: Interval  # R per trade of random entries
    random_session_r: float
    costs: float  # R that a trade costs, computed


class SelftestResult(NamedTuple):
    """The results of every world, and the assertions about them."""

    worlds: list[WorldResult]
    control: ControlResult
    checks: list[Assertion]


def run_selftest(config: SelftestConfig, report: ReportLine) -> SelftestResult:
    """Train and judge on every world; ``report`` is called with a line about each step."""
    worlds = []
    for number, strength in enumerate(config.strengths):
        drift, name = fading_drift(strength), f"planted {strength:g}"
        market = _training_and_test_world(config, number, partial(planted_world, drift_atr=strength))
        worlds.append(_train_and_judge(config, name, market, (bracket_value(drift).mean_r, None), report))
    if config.reverting:
        drift = reverting_drift()
        worth = bracket_value(drift).mean_r, managed_value(drift)
        market = _training_and_test_world(config, len(config.strengths), reverting_world)
        worlds.append(_train_and_judge(config, "reverting", market, worth, report))
    control = _control_result(config, report)
    checks = [check for world in worlds for check in assertions_of(config, world)]
    return SelftestResult(worlds, control, [*checks, *_control_checks(control)])


def _training_and_test_world(
    config: SelftestConfig, number: int, make: Callable[[int, int], World]
) -> tuple[TradedWorld, TradedWorld]:
    """A world to train on and another one to be judged on."""
    seed = config.world_seed + 2 * number
    train, test = make(seed, config.train_sessions), make(seed + 1, config.test_sessions)
    return traded_world(train, config.trading), traded_world(test, config.trading)


def _train_and_judge(
    config: SelftestConfig,
    name: str,
    worlds: tuple[TradedWorld, TradedWorld],
    worth: tuple[float, float | None],
    report: ReportLine,
) -> WorldResult:
    train, test = worlds
    rule = test.judge(declared_rule())
    rule_r, costs = r_by_session(rule), trade_costs(test, at_signals=True)
    optimum = (worth[0] - costs) * len(rule.trades.r) / rule.sessions
    managed, managed_rule = None, None
    if worth[1] is not None:
        by_rule = test.judge(declared_rule(trail_after=TRAIL_AFTER))
        managed = (worth[1] - costs) * len(by_rule.trades.r) / by_rule.sessions
        managed_rule = _mean_r(by_rule)
        report(f"{name}: the rule that trails after {TRAIL_AFTER} bars earns {managed_rule:+.3f} R a session")
    report(f"{name}: optimum {optimum:+.3f} R a session, {rule_r.mean():+.3f} by the rule on the test's bars")
    result = WorldResult(
        name=name,
        optimum=optimum,
        managed_optimum=managed,
        managed_rule=managed_rule,
        rule=float(rule_r.mean()),
        rule_error=float(rule_r.std() / np.sqrt(len(rule_r))),
        phase1=[],
        phase2=[],
        curve=[],
        sessions=rule.sessions,
        trades=[],
    )
    for look in learn(config.phase1, 1, train, config.seeds, looks=config.curve_points):
        judged = [test.judge(policy) for policy in look.policies]
        result = _with_curve_point(result, look, judged)
        report(
            f"{name}: phase 1 after {look.step:,} steps ({look.seconds:.0f} s): share {result.curve[-1].share.label}; "
            f"never entering scores {result.never:+.3f}"
        )
    *_, last = learn(config.phase2, 2, train, config.seeds, looks=1, start=look)
    result = result._replace(phase2=[_mean_r(test.judge(policy)) for policy in last.policies])
    report(f"{name}: phase 2 after {last.step:,} steps: R a session {aggregate([result.phase2]).label}")
    return result


def _with_curve_point(result: WorldResult, look: Snapshot, judged: Sequence[Evaluation]) -> WorldResult:
    earned = [_mean_r(evaluation) for evaluation in judged]
    curve = [*result.curve, CurvePoint(look.step, look.seconds, aggregate([result.share(earned)]))]
    return result._replace(phase1=earned, curve=curve, trades=[len(evaluation.trades.r) for evaluation in judged])


def _control_result(config: SelftestConfig, report: ReportLine) -> ControlResult:
    number = len(config.strengths) + 1
    train, test = _training_and_test_world(config, number, no_edge_world)
    *_, last = learn(config.phase1, 1, train, config.seeds, looks=1)
    judged = [test.judge(policy) for policy in last.policies]
    by_session = np.mean([r_by_session(evaluation) for evaluation in judged], axis=0)
    learned = session_block_bootstrap(by_session, np.arange(len(by_session)))
    by_chance = test.judge(random_entries(config.random_chance, config.world_seed))
    assert learned is not None
    random = by_chance.expectancy or Interval(float("nan"), None, None, 0.95, 0, 0)
    report(f"no_edge: learners {learned.mean:+.3f} R a session, random entries {random.mean:+.3f} R a trade")
    return ControlResult(
        learned=learned,
        learned_trades=[len(evaluation.trades.r) for evaluation in judged],
        random=random,
        random_session_r=_mean_r(by_chance),
        costs=trade_costs(test, at_signals=False),
    )


def trade_costs(traded: TradedWorld, *, at_signals: bool) -> float:
    """The costs of a trade in R, on average over the closes at which an entry may be decided."""
    view, terms = traded.view, traded.trading.venue.terms
    may_enter = view.hours.entry_open & view.features.warm
    if at_signals:
        may_enter &= traded.signals != 0
    stop_ticks = stop_distance(cast(Namespace, np), view.features.true_range_sum[may_enter].astype(np.int64))
    ticks = SLIPPED_TICKS * terms.slippage_ticks + 2 * terms.commission / terms.tick_value
    return float(np.mean(ticks / np.asarray(stop_ticks)))


def _mean_r(evaluation: Evaluation) -> float:
    return float(r_by_session(evaluation).mean())


def assertions_of(config: SelftestConfig, world: WorldResult) -> list[Assertion]:
    """What must hold of one world's result."""
    errors = abs(world.rule - world.optimum) / world.rule_error
    share = aggregate([world.share(world.phase1)]).iqm
    gained = [b - a for a, b in zip(world.phase1, world.phase2, strict=True)]
    better = aggregate([gained])
    checks = [
        Assertion(
            f"{world.name}: standard errors from the rule's R to the computed optimum", errors, "at most", RULE_ERRORS
        ),
        Assertion(f"{world.name}: phase 1, share of the computed optimum (IQM)", share, "at least", config.least_share),
    ]
    if world.managed_share is None:
        name = f"{world.name}: phase 2 less phase 1, share of the optimum (IQM)"
        return [*checks, Assertion(name, better.iqm / world.optimum, "at least", -config.most_lost)]
    low = better.iqm if better.low is None else better.low
    name = f"{world.name}: phase 2 less phase 1, R a session (lower end of the interval)"
    managed = f"{world.name}: phase 2, share of the optimum with management (IQM)"
    return [
        *checks,
        Assertion(name, low, "at least", 0.0),
        Assertion(managed, world.managed_share.iqm, "at least", config.least_managed_share),
    ]


def _control_checks(control: ControlResult) -> list[Assertion]:
    random = control.random
    # Without an interval the figures are no numbers, and no assertion about them holds.
    random_low, random_high = random.bounds or (float("nan"), float("nan"))
    learned_low, _ = control.learned.bounds or (float("nan"), float("nan"))
    return [
        Assertion("no_edge: learners' R a session (lower end of the interval)", learned_low, "at most", 0.0),
        Assertion("no_edge: trades of random entries", float(random.trades), "at least", 1.0),
        Assertion("no_edge: random entries' R a trade", random.mean, "at most", 0.0),
        Assertion(
            "no_edge: lower end of random entries' R less minus costs", random_low + control.costs, "at most", 0.0
        ),
        Assertion(
            "no_edge: upper end of random entries' R less minus costs", random_high + control.costs, "at least", 0.0
        ),
    ]


def first_reaching(curve: Sequence[CurvePoint], share: float) -> CurvePoint | None:
    """The first look at which the share was reached."""
    return next((look for look in curve if look.share.iqm >= share), None)
