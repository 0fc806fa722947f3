"""A list of what a policy should show before anybody trusts it, answered from one evaluation, line by line."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from rl_core.contract import ACTION_NAMES
from rl_core.evaluation.choices import Choices
from rl_core.evaluation.evaluate import Evaluation
from rl_core.evaluation.trades import Trades
from rl_core.rules.pack import RulePack
from rl_core.rules.text import left_out
from rl_core.statistics.sharpe import sharpe_of

LEAST_ENTROPY = 0.15  # nats
MOST_DRAWDOWN = 250_000  # cents
LEAST_SHARPE = 2.0  # a year

Word = Literal["met", "not met", "cannot be said"]


class Line(NamedTuple):
    """One thing that is asked."""

    asked: str
    measured: str  # "-" where nothing could be
    word: Word
    why: str = ""  # it cannot be said, or what is to be known besides

    def row(self) -> dict[str, Any]:
        """Plain values."""
        return self._asdict()


class Judged(NamedTuple):
    """What the list is answered from: one evaluation under the account of one pack."""

    evaluation: Evaluation
    pack: RulePack
    choices: Choices | None  # None: no policy was asked at every close
    no_choices: str  # why there are none
    out_of_sample: str  # why its bars are none that were unseen; "" where they were
    by_hand: bool  # known entries, which a person may place
    phase1: Evaluation | None  # of phase 1 on the same sessions, account and costs; None: it was not named


def checklist(judged: Judged) -> list[Line]:
    """Every line, in the order in which they are asked."""
    return [
        _entropy(judged),
        _actions(judged),
        *_drawdowns(judged),
        _win_rate(judged.evaluation),
        _sharpe(judged),
        *_compliance(judged),
    ]


def checklist_lines(lines: Sequence[Line], pack: str) -> list[str]:
    """The list as a table for the terminal."""
    wide, held = max(len(line.asked) for line in lines), max(len(line.measured) for line in lines)
    met = sum(line.word == "met" for line in lines)
    told = [f"checklist under {pack}: {met} of {len(lines)} met"]
    for line in lines:
        why = f" ({line.why})" if line.why else ""
        told.append(f"{line.asked:<{wide}}  {line.measured:>{held}}  {line.word}{why}")
    return told


def drawdown_of(trades: Trades) -> int:
    """Cents that the sum of all closed trades, in order of their exits, fell below its best, zero included.

    As of one account that nothing stops: a new account each session would forget what the last one lost.
    """
    order = np.argsort(trades.exit_bar, kind="stable")
    equity = np.cumsum(trades.pnl_cents[order])
    best = np.maximum.accumulate(np.maximum(equity, 0))
    return int((best - equity).max(initial=0))


def _entropy(judged: Judged) -> Line:
    asked = f"entropy above {LEAST_ENTROPY} nats where there is a choice"
    choices = judged.choices
    if choices is None:
        return Line(asked, "-", "cannot be said", judged.no_choices)
    if choices.entropy is None:
        return Line(asked, "-", "cannot be said", "there was never a choice")
    closes = f"at {choices.closes:,} closes"
    return Line(asked, f"{choices.entropy:.3f}", _met(choices.entropy > LEAST_ENTROPY), closes)


def _actions(judged: Judged) -> Line:
    asked, choices = "all six actions used", judged.choices
    if choices is None:
        return Line(asked, "-", "cannot be said", judged.no_choices)
    used = [name for name, count in choices.actions.items() if count]
    measured = f"{len(used)} of {len(choices.actions)}"
    if len(choices.actions) < len(ACTION_NAMES):
        return Line(asked, measured, "cannot be said", "phase 1 has three actions; give a run of phase 2")
    unused = [name for name in choices.actions if name not in used]
    return Line(asked, measured, _met(not unused), f"never {', '.join(unused)}" if unused else "")


def _drawdowns(judged: Judged) -> tuple[Line, Line]:
    own = drawdown_of(judged.evaluation.trades)
    under, worse = f"drawdown under {_dollars(MOST_DRAWDOWN)}", "drawdown no worse than phase 1's"
    if not len(judged.evaluation.trades.r):
        first, second = (Line(asked, "-", "cannot be said", "no trade was closed") for asked in (under, worse))
        return first, second
    first = Line(under, _dollars(own), _met(own < MOST_DRAWDOWN))
    if judged.phase1 is None:
        return first, Line(worse, _dollars(own), "cannot be said", "phase 1 was not named: --phase1 RUN")
    theirs = drawdown_of(judged.phase1.trades)
    return first, Line(worse, f"{_dollars(own)} to {_dollars(theirs)}", _met(own <= theirs))


def _win_rate(evaluation: Evaluation) -> Line:
    asked, figures = "win rate above what its payoff needs", evaluation.summary()
    won, payoff = figures["win_rate"], figures["payoff"]
    if won is None or payoff is None:
        return Line(asked, "-" if won is None else f"{won:.1%}", "cannot be said", "no winner and loser to compare")
    needs = 1 / (1 + payoff)
    return Line(asked, f"{won:.1%} at payoff {payoff:.2f}", _met(won > needs), f"which needs {needs:.1%}")


def _sharpe(judged: Judged) -> Line:
    asked, trades = f"out-of-sample Sharpe ratio above {LEAST_SHARPE:g} a year", judged.evaluation.trades
    found = sharpe_of(trades.session, trades.r, judged.evaluation.sessions)
    if found is None:
        return Line(asked, "-", "cannot be said", "too few sessions with trades for a ratio")
    measured = f"{found.annualised:.2f}"
    if judged.out_of_sample:
        return Line(asked, measured, "cannot be said", judged.out_of_sample)
    return Line(asked, measured, _met(found.annualised > LEAST_SHARPE), f"over {found.periods} sessions")


def _compliance(judged: Judged) -> tuple[Line, Line]:
    evaluation, pack = judged.evaluation, judged.pack
    accounts = evaluation.sessions if evaluation.attempts is None else len(np.unique(evaluation.trades.attempt))
    broken, unsimulated = evaluation.failed_sessions, left_out(pack)
    kept = Line(
        f"rules of {pack.name} kept",
        f"{broken:,} of {accounts:,} accounts ended at floor or daily loss",
        _met(not broken),
        f"not simulated: {'; '.join(unsimulated)}" if unsimulated else "",
    )
    automated = "automated trading allowed"
    if judged.by_hand:
        return kept, Line(automated, pack.automation, "cannot be said", "entries of one's own may be placed by hand")
    said = pack.automation in ("allowed", "banned")
    word: Word = _met(pack.automation == "allowed") if said else "cannot be said"
    return kept, Line(automated, pack.automation, word, "as the pack was read")


def _met(holds: bool) -> Word:
    return "met" if holds else "not met"


def _dollars(cents: int) -> str:
    return f"${cents / 100:,.0f}"
