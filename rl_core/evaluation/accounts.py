"""The two accounts that an evaluation can play: a fresh one each session, or one that is carried from day to day."""

from collections import Counter
from collections.abc import Callable
from typing import Literal

import numpy as np

from rl_core.evaluation.carried import CARRIED, FRESH, play_carried
from rl_core.evaluation.choices import ChoicesSeen
from rl_core.evaluation.entrants import Signals, Trained
from rl_core.evaluation.entry_fates import entry_fates
from rl_core.evaluation.evaluate import Evaluation, play_fresh
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.tapes import Tape, tape_of, unhindered
from rl_core.features.market_view import view_of
from rl_core.statistics.bootstrap import session_block_bootstrap
from rl_core.trading.setup import RESOLUTIONS, Trading
from trigate.errors import ConfigError

AccountKind = Literal["fresh", "carried"]
ACCOUNT_KINDS: tuple[AccountKind, ...] = ("fresh", "carried")


def account_kind(name: str) -> AccountKind:
    """The kind of this name.

    Raises:
        ConfigError: there is none.
    """
    for kind in ACCOUNT_KINDS:
        if kind == name:
            return kind
    raise ConfigError(f"account {name!r}: there are {' and '.join(ACCOUNT_KINDS)}")


def play_account(kind: AccountKind, inputs: EvaluationInputs, seen: ChoicesSeen | None = None) -> Evaluation:
    """Play the span with accounts of this kind.

    A policy's fresh accounts are played all at once; everybody else's one bar after another, with the same trades.
    ``seen`` takes what a policy chooses with fresh accounts: one that is carried is not looked at where it is flat.

    Raises:
        DataError: no bar of the span can start an episode of a fresh account.
    """
    who, view, trading, span, _, seconds = inputs
    if kind == "fresh" and isinstance(who, Trained):
        return play_fresh(who.policy, inputs, seen)
    path = play_carried(who, view, trading, span, seconds=seconds, accounts=FRESH if kind == "fresh" else CARRIED)
    ends = Counter(ended.status for ended in path.ended)
    attempts = {status: ends[status] for status in ("passed", "failed", "stranded", "expired")}
    return Evaluation(
        trades=path.trades,
        sessions=len(np.unique(view.located.session[span.first : span.stop])),
        failed_sessions=ends["failed"],
        expectancy=session_block_bootstrap(path.trades.r, path.trades.session),
        attempts=None if kind == "fresh" else attempts,
        entries=entry_fates(who, view, span, path) if isinstance(who, Signals) else None,
    )


def by_resolution(kind: AccountKind, inputs: EvaluationInputs) -> dict[str, float | int | None]:
    """Profit under each way to order the prices inside a bar, and the share of bars that have usable seconds."""
    assert inputs.ladder is not None, "without seconds there is one reading"
    covered = inputs.ladder.covered[inputs.span.first : inputs.span.stop]
    figures: dict[str, float | int | None] = {"seconds_share": float(covered.mean())}
    for name, code in RESOLUTIONS.items():
        venue = inputs.trading.venue._replace(resolution=code)
        summary = play_account(kind, inputs._replace(trading=inputs.trading._replace(venue=venue))).summary()
        figures |= {f"{name}_{key}": summary[key] for key in ("mean_r", "pnl_dollars")}
    return figures


def played_tapes(inputs: EvaluationInputs) -> Callable[[Trading], Tape]:
    """Makes the tape of what would be traded under a setting of another pack, played anew for that pack's flat time."""

    def under(trading: Trading) -> Tape:
        view = view_of(inputs.view.bars, trading.pack, trading.hours, trading.yardstick)
        there = inputs._replace(view=view, trading=trading)
        return tape_of(there, play_account("fresh", there._replace(trading=unhindered(trading))).trades)

    return under
