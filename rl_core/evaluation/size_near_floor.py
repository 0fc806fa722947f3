"""Whether half the size near the floor helps an account: drawn sessions, played through all of its rules.

Near the floor a smaller entry may pay although no R is won by it: an account that has an edge lives long enough to use
it, and one without an edge only dies more slowly. R a trade cannot see that, so what is counted is how many attempts
pass, or how many dollars an attempt is worth: its fees, and what the funded account pays out, played by the same line.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.account_value import value_of
from rl_core.evaluation.attempts_at_once import PASSED, Setting, play_attempts
from rl_core.evaluation.funded import funded_payouts, payout_rule
from rl_core.evaluation.pack_odds import MONTH, calendar_days, orders
from rl_core.evaluation.tapes import Tape
from rl_core.market.types import UNLIMITED
from rl_core.rules.prices import AccountPrice
from trigate.errors import ConfigError

LINES = (1_500, 2_000, 3_000, 4_000)
"""Room to the floor in thousandths of the trade's risk; a full entry that has less than one is never proposed."""
FOLDS, LEAST_SESSIONS = 5, 50
DRAWS, HORIZON = 2_000, 120  # attempts in each fold, and the sessions that each is given
SEED = 14

By = Literal["passes", "dollars"]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Accounts(NamedTuple):
    """The account whose attempts are played and, where dollars count, what it costs and what follows a pass."""

    setting: Setting
    price: AccountPrice | None = None
    funded: Setting | None = None  # of the account that a pass opens; it has the same hours

    @property
    def by(self) -> By:
        """What a line is chosen by."""
        return "passes" if self.price is None else "dollars"


class LineWorth(NamedTuple):
    """What attempts under one line come to."""

    passes: float  # share of them
    sessions: float  # that one takes until it ends, on average: a smaller size also takes longer
    dollars: float | None  # an attempt, its fees and the funded account's payouts; None without a price

    @property
    def score(self) -> float:
        """What counts: dollars where there are any."""
        return self.passes if self.dollars is None else self.dollars


class NearFloorFit(NamedTuple):
    """The line that was chosen, and what it was chosen by."""

    halve_under: int  # 0: full size everywhere
    by: By
    tried: tuple[int, ...]
    worth: dict[int, LineWorth]  # of the attempts in all folds, by line; 0 is without one
    gains: tuple[float, ...]  # of each fold, by the line that the other folds chose: share that passes more, or dollars
    r: float  # mean of the tape's trades at full size: by R alone a line only gives some of it away


def fit_near_floor(tape: Tape, accounts: Accounts) -> NearFloorFit:
    """The line under which half the size is worth most, if left-out sessions say that it is worth more than none.

    The sessions are parted into five folds in order of time, and attempts are drawn from each alone. What the other
    folds would choose is played on each; the mean gain must be more than one standard error over folds, or no line is
    drawn. Every line meets the same attempts.

    Raises:
        ConfigError: the pack has no target to pass by, or the tape holds too few sessions.
    """
    if accounts.setting.rules.target >= UNLIMITED:
        raise ConfigError("the rule pack has no target, so no attempt passes and no size can be fitted by that")
    if len(tape.session) < LEAST_SESSIONS:
        raise ConfigError(f"{len(tape.session)} sessions to fit a size on; give {LEAST_SESSIONS} or more")
    lines = (0, *LINES)
    worth = [[_worth(tape, accounts, line, fold) for line in lines] for fold in _folds(tape)]
    score = np.array([[each.score for each in row] for row in worth])
    chosen = [int(np.delete(score, fold, axis=0).mean(axis=0).argmax()) for fold in range(FOLDS)]
    gains = score[np.arange(FOLDS), chosen] - score[:, 0]
    helps = gains.mean() > gains.std(ddof=1) / np.sqrt(FOLDS)
    return NearFloorFit(
        halve_under=lines[int(score.mean(axis=0).argmax())] if helps else 0,
        by=accounts.by,
        tried=LINES,
        worth={line: _mean([row[place] for row in worth]) for place, line in enumerate(lines)},
        gains=tuple(gains.tolist()),
        r=float(_full_r(tape, accounts.setting).mean()),
    )


def worth_on(tape: Tape, accounts: Accounts, lines: Sequence[int]) -> dict[int, LineWorth]:
    """What attempts on the sessions of ``tape`` come to, by line."""
    drawn = orders(len(tape.session), draws=DRAWS, horizon=HORIZON, seed=SEED - 1)
    return {line: _worth(tape, accounts, line, drawn) for line in lines}


def _folds(tape: Tape) -> list[Integers]:
    """The attempts of each fold [DRAWS, HORIZON]: sessions of that fold alone, in an order of their own."""
    return [
        part[orders(len(part), draws=DRAWS, horizon=HORIZON, seed=SEED + number)]
        for number, part in enumerate(np.array_split(np.arange(len(tape.session)), FOLDS))
    ]


def _worth(tape: Tape, accounts: Accounts, line: int, order: Integers) -> LineWorth:
    days = calendar_days(order.shape[1])
    ended = play_attempts(tape, accounts.setting._replace(halved_under=line), order, days)
    passes, sessions = float((ended.ending == PASSED).mean()), float(ended.sessions.mean())
    price, funded = accounts.price, accounts.funded
    if price is None or funded is None:
        return LineWorth(passes, sessions, None)
    paid = funded_payouts(tape, funded._replace(halved_under=line), payout_rule(price, funded.rules), order, days)
    renewals = float(np.mean((np.maximum(ended.sessions, 1) - 1) // MONTH))
    payouts = float(np.mean(paid)) / 100 * float(price.split_percent) / 100
    return LineWorth(passes, sessions, value_of(price, passes, renewals, payouts).attempt)


def _mean(parts: Sequence[LineWorth]) -> LineWorth:
    dollars = [each.dollars for each in parts if each.dollars is not None]
    passes, sessions = (float(np.mean([getattr(each, name) for each in parts])) for name in ("passes", "sessions"))
    return LineWorth(passes, sessions, float(np.mean(dollars)) if dollars else None)


def _full_r(tape: Tape, setting: Setting) -> Floats:
    gain = tape.gain * setting.terms.tick_value - 2 * setting.terms.commission
    return np.asarray(gain / tape.stop_cents, np.float64)
