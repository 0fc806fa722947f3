"""Evaluates a policy: every session at once, each with a fresh account and the reference decision."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rl_core.bars.rungs import Ladder
from rl_core.checkpoints.policy import Decider
from rl_core.envs.env import Env, EnvParams, EnvState, Observation, TradeClosed, new_accounts
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.evaluation.choices import ChoicesSeen
from rl_core.evaluation.entrants import Trained
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.span import Span
from rl_core.evaluation.trades import Trades
from rl_core.features.market_view import MarketView
from rl_core.market.types import EXIT_NAMES, FLAT, Position
from rl_core.statistics.bootstrap import Interval, session_block_bootstrap
from rl_core.trading.setup import Trading
from trigate.errors import DataError


class Evaluation(NamedTuple):
    """What a policy did over a range of bars."""

    trades: Trades
    sessions: int
    failed_sessions: int  # sessions whose account touched its floor
    expectancy: Interval | None  # mean R a trade
    attempts: Mapping[str, int] | None = None  # attempts by how they ended, of a carried account; None: all were fresh
    entries: Mapping[str, int] | None = None  # what became of entries that were known before; None: of a policy

    def summary(self) -> dict[str, float | int | None]:
        """The figures that are printed or written to a file."""
        r = self.trades.r
        wins, losses = r[r > 0], r[r <= 0]
        reasons = {f"exits_{name}": int((self.trades.reason == i).sum()) for i, name in enumerate(EXIT_NAMES) if i}
        return {
            "sessions": self.sessions,
            "failed_sessions": self.failed_sessions,
            "trades": len(r),
            "win_rate": float(len(wins) / len(r)) if len(r) else None,
            "payoff": float(wins.mean() / -losses.mean()) if len(wins) and losses.sum() < 0 else None,
            "mean_r": None if self.expectancy is None else self.expectancy.mean,
            "mean_r_low": None if self.expectancy is None else self.expectancy.low,
            "mean_r_high": None if self.expectancy is None else self.expectancy.high,
            "session_r": float(r.sum() / self.sessions),
            "pnl_dollars": float(self.trades.pnl_cents.sum() / 100),
            "long_share": float((self.trades.side > 0).mean()) if len(r) else None,
            **reasons,
            **({} if self.attempts is None else {f"attempts_{status}": n for status, n in self.attempts.items()}),
            **({} if self.entries is None else {f"entries_{fate}": n for fate, n in self.entries.items()}),
        }


def evaluate(
    policy: Decider, view: MarketView, trading: Trading, first: int, stop: int, ladder: Ladder | None = None
) -> Evaluation:
    """Play every session that starts its entry hours within bars [first, stop), each with a fresh account.

    Raises:
        DataError: no bar of the range can start an episode.
    """
    return play_fresh(policy, EvaluationInputs(Trained(policy), view, trading, Span(first, stop), ladder))


def play_fresh(policy: Decider, inputs: EvaluationInputs, seen: ChoicesSeen | None = None) -> Evaluation:
    """Play every session of ``inputs`` with a fresh account and ``policy``; ``seen`` takes what it chooses there.

    Raises:
        DataError: no bar of the span can start an episode.
    """
    _, view, trading, (first, stop), ladder, _ = inputs
    try:
        market = make_market(view, first, stop, ladder=ladder, frictions=trading.frictions)
    except ValueError as error:
        raise DataError(f"nothing to evaluate: {error}") from error
    env = Env(1 if policy.num_actions == 3 else 2, trading.yardstick, view.features.values.shape[1])
    params = EnvParams(trading.venue, trading.limits, 1.0, 1.0)
    starts = np.asarray(market.starts[: market.start_count])
    days, begins = np.unique(view.located.session[starts], return_index=True)
    state = _fresh_accounts(jnp.asarray(starts[begins]), params)
    playing = np.ones(len(days), bool)
    failed = np.zeros(len(days), bool)
    decided = starts[begins].astype(np.int64)
    rows: list[Trades] = []
    bar = starts[begins]
    while playing.any():
        decided = np.where(np.asarray(state.position.quantity) == 0, bar, decided)
        observation = _observed(market, params, state, env=env)
        shown, legal = np.asarray(observation.values), np.asarray(observation.legal_actions)
        action = policy.decide_batch(shown, legal)
        if seen is not None:
            seen.take(shown[playing], legal[playing], action[playing])
        state, step = _stepped(market, params, state, action, playing, env=env)
        trade, bar, lost, goes_on = jax.device_get(step)
        rows.append(_closed(trade, days, decided, bar, playing))
        failed |= playing & lost
        playing = goes_on
    trades = Trades(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    return Evaluation(trades, len(days), int(failed.sum()), session_block_bootstrap(trades.r, trades.session))


def _closed(
    trade: TradeClosed,
    days: npt.NDArray[np.int32],
    decided: npt.NDArray[np.int64],
    bar: npt.NDArray[np.int32],
    playing: npt.NDArray[np.bool_],
) -> Trades:
    """The trades that one step closed among the sessions [B] that are still played."""
    at = np.flatnonzero(playing & trade.closed)
    columns = {
        "session": days,
        "attempt": np.arange(1, len(days) + 1),
        "quantity": trade.quantity,
        "decided": decided,
        "entry": trade.entry,
        "exit_bar": bar,
        "exit": trade.exit,
        "reason": trade.reason,
        "pnl_cents": trade.pnl_cents,
        "risk_cents": trade.risk_cents,
    }
    return Trades(**{name: np.asarray(column)[at].astype(np.int64) for name, column in columns.items()})


def _fresh_accounts(bar: jax.Array, params: EnvParams) -> EnvState:
    zeros = jnp.zeros_like(bar)
    return EnvState(bar, Position(*(zeros for _ in FLAT)), new_accounts(params.venue.rules, len(bar)))


@partial(jax.jit, static_argnames=("env",))
def _observed(market: MarketArrays, params: EnvParams, state: EnvState, *, env: Env) -> Observation:
    return env.observe(market, params, state)


class _Stepped(NamedTuple):
    """What one bar did to the sessions [B]."""

    trade: TradeClosed
    bar: jax.Array  # on which it closed
    failed: jax.Array  # bool; the account's floor was met
    playing: jax.Array  # bool; goes on


# One program a bar: what is left to the host, JAX starts operation by operation.
@partial(jax.jit, static_argnames=("env",))
def _stepped(
    market: MarketArrays, params: EnvParams, state: EnvState, action: jax.Array, playing: jax.Array, *, env: Env
) -> tuple[EnvState, _Stepped]:
    """Play one bar; a session that has ended keeps its bar, so that no index runs off the market."""
    step = env.step(market, params, state, action)
    goes_on = playing & ~(step.terminated | step.truncated)
    after = jax.tree.map(lambda new, old: jnp.where(goes_on, new, old), step.state, state)
    return after, _Stepped(step.trade, step.state.bar, step.failed, goes_on)
