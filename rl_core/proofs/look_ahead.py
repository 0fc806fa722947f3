"""Checks for look-ahead on the bars themselves: where the future is replaced, nothing seen or done before may change.

At several moments t the bars after t are replaced by noise, held still, rolled elsewhere, given other seconds, or cut
off. Features, hours, regimes, hidden states, rungs, and what accounts under fixed actions observe, may do, get filled
at and have for a floor are computed again from the start and compared up to t. A difference is a leak; it is named
with the first bar that shows it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.bars.rungs import Ladder, ladder_of
from rl_core.envs.env import Env, EnvParams, EnvState
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.features.market_view import MarketView, view_of
from rl_core.proofs.changed_futures import MarketSlice, futures
from rl_core.regimes.fitted import RegimeModel
from rl_core.regimes.labels import compute_regimes
from rl_core.trading.setup import Trading
from trigate.errors import DataError, ExitCode, TrigateError

PAST_BARS, FUTURE_BARS = 32_000, 2_000  # of each experiment: 22 sessions and more than one
STEPS = 450  # closes from 09:30 to 17:00
ACCOUNTS = 24
BEFORE_ROLL, MOST_ROLLS = 3, 2
SALTS = (1, 2)  # two courses of actions an experiment
RUNG_WEIGHTS = 1009 ** np.arange(5)

Arrays = Mapping[str, npt.NDArray[Any]]
ViewFunction = Callable[[Bars], MarketView]
LadderFunction = Callable[[Bars, Bars], Ladder]


class LeakError(TrigateError):
    """Something before a moment depends on bars after it."""

    exit_code = ExitCode.ASSERTIONS_FAILED


class Leak(NamedTuple):
    """One value before a moment that changed with the bars after it."""

    what: str
    future: str  # how the future was changed: noise, still, rolls, seconds or cut
    at: int  # the last bar of the past that was kept
    first: int  # the first bar that differs, or whose close decided what differs


class LeakReport(NamedTuple):
    """What was compared, and the leaks that were found."""

    moments: list[int]
    compared: list[str]
    values: int
    leaks: list[Leak]


class SeenBy(NamedTuple):
    """The functions that bars are seen by: the project's own, or in tests ones with a planted leak."""

    view: ViewFunction
    ladder: LadderFunction = ladder_of


class _PlayedSteps(NamedTuple):
    """What B accounts saw and got at K closes, leaves [K, B, ...]; ``bar`` is that of the decision."""

    bar: jax.Array
    live: jax.Array
    observation: jax.Array
    legal_actions: jax.Array
    results: dict[str, jax.Array]


def check_leaks(
    bars: Bars,
    trading: Trading,
    *,
    seconds: Bars | None = None,
    moments: int = 4,
    seed: int = 0,
    seen_by: SeenBy | None = None,
) -> LeakReport:
    """Change the future at ``moments`` bars of ``bars``, and shortly before each of the last rolls.

    Args:
        bars: minute bars.
        trading: the account; fills are read from ``seconds`` where its resolution asks for them.
        seconds: one-second bars of the same time.
        moments: how many, besides those before rolls.
        seed: of the moments and of what follows them.
        seen_by: `view_of` and `ladder_of` if None.

    Raises:
        DataError: the file is too short to have a past and a future.
    """
    seen_by = seen_by or SeenBy(lambda part: view_of(part, trading.pack, trading.hours, trading.yardstick))
    market = MarketSlice(bars, seconds)
    past, future = _past_and_future_lengths(len(bars))
    leaks: list[Leak] = []
    names: list[str] = []
    values = 0
    chosen = _moments(bars, trading, (past, future), moments, seed)
    for at in chosen:
        offset = at + 1 - past
        whole, last = market.part(offset, at + 1 + future), past - 1
        before = _Experiment(_market_of(whole, seen_by), trading, last)
        for other in futures(whole, last, seed + at):
            after = _Experiment(_market_of(other.market, seen_by), trading, last, before.starts)
            differing = before.differences(after, cut=other.ends_session)
            leaks += [Leak(name, other.kind, at, offset + first) for name, first in differing.items()]
            names, values = list(before.market_values) + list(before.played_names), values + before.size
    return LeakReport(chosen, names, values, leaks)


def _past_and_future_lengths(bars: int) -> tuple[int, int]:
    """Bars before and after each moment."""
    future = min(FUTURE_BARS, bars // 6)
    past = min(PAST_BARS, bars * 2 // 3)
    if past < 3_000:
        raise DataError(f"a leak check needs a past of 3,000 bars and a future; the file has {bars:,}")
    return past, future


def _moments(bars: Bars, trading: Trading, lengths: tuple[int, int], moments: int, seed: int) -> list[int]:
    """Bars with enough past and future, most of them while accounts trade."""
    past, future = lengths
    generator = np.random.default_rng(seed)
    room = np.arange(past - 1, len(bars) - future)
    hours = view_of(bars.slice(max(0, past - 2_000), len(bars)), trading.pack, trading.hours).hours.entry_open
    trading_now = room[hours[room - max(0, past - 2_000)]]
    anywhere = generator.choice(room, max(1, moments // 4))
    if not trading_now.size:
        raise DataError("no bar in entry hours late enough in the file to check there; give more bars")
    rolls = np.flatnonzero(np.diff(bars.contract)) - BEFORE_ROLL
    before_rolls = rolls[np.isin(rolls, room)][-MOST_ROLLS:]
    chosen = [*anywhere, *generator.choice(trading_now, max(1, moments - len(anywhere))), *before_rolls]
    return sorted({int(t) for t in chosen})


class _ObservedMarket(NamedTuple):
    """A market as seen: its features and hours, and the rungs of its seconds."""

    view: MarketView
    ladder: Ladder | None


def _market_of(market: MarketSlice, seen_by: SeenBy) -> _ObservedMarket:
    """Compute what is seen of ``market``.

    Rungs are padded to a power of two: their number differs by future, and other shapes would compile anew.
    """
    view = seen_by.view(market.bars)
    if market.seconds is None:
        return _ObservedMarket(view, None)
    offsets, rungs = seen_by.ladder(market.bars, market.seconds)
    room = (1 << max(1, len(rungs)).bit_length()) - len(rungs)
    return _ObservedMarket(view, Ladder(offsets, np.pad(rungs, ((0, room), (0, 0)))))


def _of_each_minute(ladder: Ladder) -> npt.NDArray[np.int64]:
    """A number for each minute [T] that changes with any of its rungs."""
    counts = np.diff(ladder.offsets)
    minute = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(minute)) - ladder.offsets[minute]
    mixed = (ladder.rungs[: len(minute)].astype(np.int64) @ RUNG_WEIGHTS) * (2 * place + 1)
    total = counts.astype(np.int64)
    np.add.at(total, minute, mixed)
    return total


class _Experiment:
    """Everything that is seen and done on one course of bars."""

    def __init__(
        self, sensed: _ObservedMarket, trading: Trading, last: int, starts: npt.NDArray[np.int32] | None = None
    ) -> None:
        view, ladder = sensed
        self.last = last
        self.market_values = _known_at_closes(view) | ({} if ladder is None else {"rungs": _of_each_minute(ladder)})
        market = make_market(view, ladder=ladder, frictions=trading.frictions)
        params = EnvParams(trading.venue, trading.limits, 1.0, 1.0)
        self.starts = _episode_starts(view, last) if starts is None else starts
        env = Env(2, trading.yardstick, view.features.values.shape[1])
        first = _opened_accounts(market, params, self.starts)
        self.played = [jax.device_get(_play(market, params, first, jnp.uint32(salt), env=env)) for salt in SALTS]
        self.played_names = ("observation", "legal_actions", *sorted(self.played[0].results))

    @property
    def size(self) -> int:
        """How many values are compared."""
        of_market = sum(values[: self.last + 1].size for values in self.market_values.values())
        return of_market + sum(int(played.observation.size) for played in self.played)

    def differences(self, other: "_Experiment", *, cut: bool) -> dict[str, int]:
        """The first bar at which each thing differs, up to ``last``."""
        first_differing = {}
        for name, values in self.market_values.items():
            rows = _unequal(values[: self.last + 1], other.market_values[name][: self.last + 1])
            if rows.any():
                first_differing[name] = int(np.flatnonzero(rows)[0])
        for a, b in zip(self.played, other.played, strict=True):
            for name, first in self._played_differences(a, b, cut=cut).items():
                first_differing[name] = min(first, first_differing.get(name, first))
        return first_differing

    def _played_differences(self, a: _PlayedSteps, b: _PlayedSteps, *, cut: bool) -> dict[str, int]:
        # A cut makes the last bar the last of its session, so that episodes end at it: nothing to compare there.
        decided = a.live & (a.bar <= self.last - cut)
        arrived = a.live & (a.bar + 1 <= self.last - cut)
        pairs = {
            "observation": (a.observation, b.observation, decided),
            "legal_actions": (a.legal_actions, b.legal_actions, decided),
            **{name: (a.results[name], b.results[name], arrived) for name in a.results},
        }
        first_differing = {}
        for name, (x, y, counted) in pairs.items():
            rows = _unequal(x.reshape(-1, *x.shape[2:]), y.reshape(-1, *y.shape[2:])) & counted.ravel()
            if rows.any():
                first_differing[name] = int(a.bar.ravel()[rows].min())
        return first_differing


def _unequal(a: Any, b: Any) -> npt.NDArray[np.bool_]:
    """Whether any value of the row differs [N]; NaN equals NaN."""
    differs = (a != b) & ~((a != a) & (b != b))
    return np.asarray(differs.reshape(len(a), -1).any(axis=1))


def _known_at_closes(view: MarketView) -> dict[str, npt.NDArray[Any]]:
    """Everything that is known at each close, by name, [T, ...]."""
    regimes = compute_regimes(view)
    arrays: dict[str, npt.NDArray[Any]] = {
        "features": view.features.values,
        "true_range_sum": view.features.true_range_sum,
        "warm": view.features.warm,
    }
    arrays |= {f"hours.{name}": values for name, values in view.hours._asdict().items()}
    arrays |= {f"regimes.{name}": values for name, values in regimes._asdict().items()}
    arrays["regimes.state"] = _FIXED_MODEL.states(view)
    return arrays


_FIXED_MODEL = RegimeModel(
    digest="", fitted_until_ns=0, bars=1, thresholds=(2500, 33, 67), usual_log_range=(2.5,) * 48,
    start=(0.5, 0.5), transition=((0.98, 0.02), (0.05, 0.95)), mean=(-0.4, 0.6), spread=(0.5, 0.6),
    log_likelihood_per_bar=0.0,
)  # fmt: skip


def _episode_starts(view: MarketView, last: int) -> npt.NDArray[np.int32]:
    """The first bar that allows an entry in each of the latest sessions up to ``last`` [B]; accounts open there."""
    open_to_us = np.flatnonzero((view.hours.entry_open & view.features.warm)[: last + 1])
    _, first = np.unique(view.located.session[open_to_us], return_index=True)
    if not first.size:
        raise DataError("no bar can start an episode before the moments that were chosen; give more bars")
    latest = open_to_us[first][-ACCOUNTS:]
    return np.resize(latest, ACCOUNTS).astype(np.int32)


@jax.jit
def _opened_accounts(market: MarketArrays, params: EnvParams, starts: jax.Array) -> EnvState:
    return Env(2).reset(market, params, jax.random.key(0), ACCOUNTS)._replace(bar=starts)


@partial(jax.jit, static_argnames="env")
def _play(market: MarketArrays, params: EnvParams, first: EnvState, salt: jax.Array, *, env: Env) -> _PlayedSteps:
    """Play one episode with each account; the action is a fixed function of bar, account and legal actions."""
    bars = market.prices.shape[0]

    def one(carry: tuple[EnvState, jax.Array], _: None) -> tuple[tuple[EnvState, jax.Array], _PlayedSteps]:
        state, live = carry
        observation = env.observe(market, params, state)
        step = env.step(market, params, state, _fixed_action(observation.legal_actions, state.bar, salt))
        results = {
            **{f"position.{name}": field for name, field in step.state.position._asdict().items()},
            **{f"account.{name}": field for name, field in step.state.account._asdict().items()},
            **{f"fill.{name}": field for name, field in step.trade._asdict().items()},
            "reward": step.reward,
            "terminated": step.terminated,
            "truncated": step.truncated,
        }
        going = live & ~(step.terminated | step.truncated) & (step.state.bar + 1 < bars)
        following = jax.tree.map(lambda a, b: jnp.where(going, a, b), step.state, state)
        return (following, going), _PlayedSteps(state.bar, live, observation.values, observation.legal_actions, results)

    played: _PlayedSteps = jax.lax.scan(one, (first, jnp.ones((ACCOUNTS,), bool)), None, length=STEPS)[1]
    return played


def _fixed_action(legal: jax.Array, bar: jax.Array, salt: jax.Array) -> jax.Array:
    """A legal action [B] from the bits of bar, account and salt; HOLD three times in four while it may manage."""
    mixed = (bar.astype(jnp.uint32) * jnp.uint32(2_654_435_761)) ^ (jnp.arange(ACCOUNTS, dtype=jnp.uint32) << 7) ^ salt
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(2_246_822_519)
    mixed = mixed ^ (mixed >> 13)
    rank = jnp.cumsum(legal, axis=-1, dtype=jnp.int32)
    drawn = ((mixed >> 2) % rank[:, -1].astype(jnp.uint32)).astype(jnp.int32)
    drawn = jnp.where((mixed & 3) == 0, drawn, 0)
    return jnp.sum(rank <= drawn[:, None], axis=-1, dtype=jnp.int32)


def refuse_leaks(report: LeakReport) -> None:
    """Raise the first leak of ``report`` as an error, if it has any.

    Raises:
        LeakError: names what leaks, at which bar, and how many leaks there are besides.
    """
    if report.leaks:
        first = min(report.leaks, key=lambda leak: leak.first)
        raise LeakError(
            f"look-ahead: {first.what} at bar {first.first} depends on bars after {first.at} "
            f"(future: {first.future}; {len(report.leaks) - 1} more)"
        )
