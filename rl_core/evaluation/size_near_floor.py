"""Whether half the size near the floor helps an account: drawn sessions, played through all of its rules.

Near the floor a smaller entry may pay although no R is won by it: an account that has an edge lives long enough to use
it, and one without an edge only dies more slowly. R a trade cannot see that, so what is counted is how many attempts
pass.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.attempts_at_once import PASSED, Setting, play_attempts
from rl_core.evaluation.pack_odds import calendar_days, orders
from rl_core.evaluation.tapes import Tape
from rl_core.market.types import UNLIMITED
from trigate.errors import ConfigError

LINES = (1_500, 2_000, 3_000, 4_000)
"""Room to the floor in thousandths of the trade's risk; a full entry that has less than one is never proposed."""
FOLDS, LEAST_SESSIONS = 5, 50
DRAWS, HORIZON = 2_000, 120  # attempts in each fold, and the sessions that each is given
SEED = 14

Integers = npt.NDArray[np.int64]


class NearFloorFit(NamedTuple):
    """The line that was chosen, and what it was chosen by."""

    halve_under: int  # 0: full size everywhere
    tried: tuple[int, ...]
    passes: dict[int, float]  # of the attempts in all folds, by line; 0 is without one
    gains: tuple[float, ...]  # of each fold: share that passes more by the line that the other folds chose
    r: float  # mean of the tape's trades at full size: by R alone a line only gives some of it away


def fit_near_floor(tape: Tape, setting: Setting) -> NearFloorFit:
    """The line under which half the size lets most attempts pass, if left-out sessions say that one does.

    The sessions are parted into five folds in order of time, and attempts are drawn from each alone. What the other
    folds would choose is played on each; the mean gain must be more than one standard error over folds, or no line is
    drawn. Every line meets the same attempts.

    Raises:
        ConfigError: the pack has no target to pass by, or the tape holds too few sessions.
    """
    if setting.rules.target >= UNLIMITED:
        raise ConfigError("the rule pack has no target, so no attempt passes and no size can be fitted by that")
    if len(tape.session) < LEAST_SESSIONS:
        raise ConfigError(f"{len(tape.session)} sessions to fit a size on; give {LEAST_SESSIONS} or more")
    lines = (0, *LINES)
    share = np.array(
        [[_passes(tape, setting._replace(halved_under=line), fold) for line in lines] for fold in _folds(tape)]
    )
    chosen = [int(np.delete(share, fold, axis=0).mean(axis=0).argmax()) for fold in range(FOLDS)]
    gains = share[np.arange(FOLDS), chosen] - share[:, 0]
    helps = gains.mean() > gains.std(ddof=1) / np.sqrt(FOLDS)
    mean = share.mean(axis=0)
    return NearFloorFit(
        halve_under=lines[int(mean.argmax())] if helps else 0,
        tried=LINES,
        passes=dict(zip(lines, mean.tolist(), strict=True)),
        gains=tuple(gains.tolist()),
        r=float(_full_r(tape, setting).mean()),
    )


def passes_on(tape: Tape, setting: Setting, lines: Sequence[int]) -> dict[int, float]:
    """The share of attempts on the sessions of ``tape`` that pass, by line."""
    drawn = orders(len(tape.session), draws=DRAWS, horizon=HORIZON, seed=SEED - 1)
    return {line: _passes(tape, setting._replace(halved_under=line), drawn) for line in lines}


def _folds(tape: Tape) -> list[Integers]:
    """The attempts of each fold [DRAWS, HORIZON]: sessions of that fold alone, in an order of their own."""
    return [
        part[orders(len(part), draws=DRAWS, horizon=HORIZON, seed=SEED + number)]
        for number, part in enumerate(np.array_split(np.arange(len(tape.session)), FOLDS))
    ]


def _passes(tape: Tape, setting: Setting, order: Integers) -> float:
    ended = play_attempts(tape, setting, order, calendar_days(order.shape[1]))
    return float((ended.ending == PASSED).mean())


def _full_r(tape: Tape, setting: Setting) -> npt.NDArray[np.float64]:
    gain = tape.gain * setting.terms.tick_value - 2 * setting.terms.commission
    return np.asarray(gain / tape.stop_cents, np.float64)
