"""The training environment of both phases: a batch of accounts over one market, thin over `rl_core.market`.

One class serves both phases: DECISIONS 1.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from rl_core.contract import BUY, HOLD, SELL
from rl_core.envs.climb import play_minute
from rl_core.envs.curriculum import BarCosts, Curriculum, Eased, eased_at, shaping
from rl_core.envs.market_arrays import MarketArrays
from rl_core.envs.openings import floor_cap, opened_at_profit
from rl_core.envs.rewards import risk_multiple
from rl_core.envs.window_weights import window_weights
from rl_core.features.features import FEATURE_NAMES
from rl_core.features.observation import (
    ACTION_COUNTS,
    AccountRoom,
    Mark,
    management_features,
    observation_size,
    position_features,
)
from rl_core.market.account import ends_at_target, equity, limits_today, opening_account, passed
from rl_core.market.costs import capped
from rl_core.market.decisions import KnownAtClose, LegalActions, legal_actions, managed, order_for
from rl_core.market.fills import Venue, closed_at_last_price, play_bar, trailed
from rl_core.market.types import (
    FLAT,
    NO_EXIT,
    Account,
    BarOutcome,
    BarPrices,
    Bracket,
    Limits,
    Namespace,
    Position,
    Rules,
)
from rl_core.market.yardstick import USUAL, Yardstick

XP = cast(Namespace, jnp)
MAY_ENTER, ROOM = 5, 7  # of phase 2's `Memory.standing`: position_features, then management_features


class EnvParams(NamedTuple):
    """Everything that may change between runs without a new compilation; scalars (of several markets [M])."""

    venue: Venue
    limits: Limits
    least_room: Any  # share of the limit, float: an episode's room to the floor is drawn from [least_room, most_room]
    most_room: Any
    most_profit: Any = None  # share of the target, float: an episode starts at a drawn profit up to it; None: at 0
    curriculum: Curriculum | None = None  # of training alone
    eased: Eased | None = None  # the curriculum in this update


class EnvState(NamedTuple):
    """A batch of accounts, each at the close of its own bar."""

    bar: jax.Array  # [B] int32 index of the last closed bar
    position: Position  # int32 [B] each
    account: Account  # int32 [B] each
    market_index: jax.Array | None = None  # [B] int32, which of several markets each account plays
    forced: jax.Array | None = None  # [B] bool, whether the position is one that the episode started with


class Observation(NamedTuple):
    """What the policy sees."""

    values: jax.Array  # [B, O] float32
    legal_actions: jax.Array  # [B, A] bool


class Memory(NamedTuple):
    """What the values of an observation are rebuilt from: 24 or 36 bytes are kept instead of 900."""

    bar: jax.Array  # [B] int32
    standing: jax.Array  # [B, 5 or 8] float32: all of the observation but its window


class Glimpse(NamedTuple):
    """An observation before its window is looked up."""

    memory: Memory
    legal_actions: jax.Array  # [B, A] bool


class KnownActions(NamedTuple):
    """What HOLD, BUY and SELL at a close would have led to for an account without a position."""

    memory: Memory  # of that account
    legal_actions: jax.Array  # [N, 3] bool
    credit: jax.Array  # [N, 3] float32, R: what the action is praised for
    outcome: jax.Array  # [N, 3] float32, R: what it earns
    bars: jax.Array  # [N, 3] int32 until the account may decide again


class TradeClosed(NamedTuple):
    """The trade that this step closed, if any."""

    closed: jax.Array  # [B] bool
    pnl_cents: jax.Array  # [B] int32 after costs
    risk_cents: jax.Array  # [B] int32
    bars_held: jax.Array  # [B] int32
    side: jax.Array  # [B] int32
    reason: jax.Array  # [B] int32, NO_EXIT ... DAILY_LOSS
    quantity: jax.Array  # [B] int32 contracts, signed as bought (+) or sold (-)
    entry: jax.Array  # [B] int32 ticks
    exit: jax.Array  # [B] int32 ticks


class StepResult(NamedTuple):
    """One bar later."""

    state: EnvState
    reward: jax.Array  # [B] float32
    terminated: jax.Array  # [B] bool: failed, or at the target where nothing follows it in this session
    truncated: jax.Array  # [B] bool: the session is over, or takes no entry any more
    trade: TradeClosed
    failed: jax.Array  # [B] bool: the floor was touched, or a daily loss that ends the account
    shaping: jax.Array | None = None  # [B] float32, for the learner alone and beside the reward


def new_accounts(rules: Rules, num_envs: int) -> Account:
    """Accounts [B] of one pack, on their first day."""
    return Account(*(jnp.full((num_envs,), field, jnp.int32) for field in opening_account(XP, rules)))


@dataclass(frozen=True)
class Env:
    """Phase 1 (enter) or 2 (enter and manage) in one yardstick; static under jit, everything else is an argument."""

    phase: int
    yardstick: Yardstick = USUAL
    features: int = len(FEATURE_NAMES)  # columns of the market's table of features

    @property
    def observation_size(self) -> int:
        """Floats the policy sees."""
        return observation_size(self.phase, *self.window_shape)

    @property
    def window_shape(self) -> tuple[int, int]:
        """Bars and features of the window that an observation begins with."""
        return self.yardstick.window, self.features

    @property
    def num_actions(self) -> int:
        """Actions the policy has."""
        return ACTION_COUNTS[self.phase]

    def scheduled(self, params: EnvParams, updates: jax.Array) -> EnvParams:
        """``params`` as the update after ``updates`` (a scalar) has them."""
        if params.curriculum is None:
            return params
        return params._replace(eased=eased_at(params.curriculum, updates))

    def reset(self, market: MarketArrays, params: EnvParams, key: jax.Array, num_envs: int) -> EnvState:
        """New accounts [B] at random minutes in hours, with a random room to the floor."""
        # `fold_in(key, 1)` would be the second of these keys: the profit would rise with the room.
        key_bar, key_room, key_position, key_profit = jax.random.split(key, 4)
        market_index, first, count = None, jnp.int32(0), market.start_count
        if market.start_first is not None:
            market_index = jnp.arange(num_envs, dtype=jnp.int32) % market.start_first.shape[0]
            first, count = market.start_first[market_index], market.start_count[market_index]
        chosen = first + jax.random.randint(key_bar, (num_envs,), 0, count)
        rules = params_by_account(params, market_index).venue.rules
        share = jax.random.uniform(key_room, (num_envs,), minval=params.least_room, maxval=params.most_room)
        room = (share * rules.max_loss).astype(jnp.int32)
        account = new_accounts(rules, num_envs)
        if params.most_profit is not None:
            account = opened_at_profit(account, rules, params.most_profit, key_profit)
        zeros = jnp.zeros((num_envs,), jnp.int32)
        position = Position(*(zeros for _ in FLAT))
        floor = account.cash - room
        if params.most_profit is not None:
            floor = jnp.minimum(floor, floor_cap(rules))
        state = EnvState(market.starts[chosen], position, account._replace(floor=floor), market_index)
        return state if params.eased is None else self._with_positions(market, params, state, key_position)

    def _with_positions(self, market: MarketArrays, params: EnvParams, state: EnvState, key: jax.Array) -> EnvState:
        """``state`` one bar later in a drawn share of phase 2's accounts: the bar filled an entry of a drawn side."""
        assert params.eased is not None
        count = state.bar.shape[0]
        state = state._replace(forced=jnp.zeros(count, bool))
        if self.phase == 1:
            return state
        key_share, key_side = jax.random.split(key)
        wanted = jax.random.uniform(key_share, (count,)) < params.eased.forced_share
        wanted &= self.glimpse(market, params, state).legal_actions[:, BUY]
        side = jnp.where(jax.random.bernoulli(key_side, 0.5, (count,)), BUY, SELL)
        later = self.step(market, params, state, jnp.where(wanted, side, HOLD))
        opened = wanted & (later.state.position.quantity != 0) & ~(later.terminated | later.truncated)
        following = later.state._replace(forced=opened)
        return cast(EnvState, jax.tree.map(lambda a, b: jnp.where(opened, a, b), following, state))

    def observe(self, market: MarketArrays, params: EnvParams, state: EnvState) -> Observation:
        """The observation [B, O] and mask [B, A] at each account's close."""
        memory, legal_actions = self.glimpse(market, params, state)
        return Observation(self.shown(market, memory), legal_actions)

    def glimpse(self, market: MarketArrays, params: EnvParams, state: EnvState) -> Glimpse:
        """What `shown` makes the observation of, and the mask."""
        params = params_by_account(params, state.market_index)
        mark = Mark(market.prices[state.bar, 3], market.true_range_sum[state.bar], self.yardstick.atr_bars)
        legal = self._legal(market, params, state)
        standing = position_features(jnp, state.position, mark)
        if self.phase == 2:
            now = equity(state.account, state.position, mark.close, params.venue.terms)
            account = AccountRoom(now, state.account.floor, params.venue.rules.max_loss)
            managing = management_features(jnp, state.position, account, legal.enter)
            standing = jnp.concatenate([standing, managing], axis=-1)
        return Glimpse(Memory(state.bar, standing), self._mask(legal))

    def shown(self, market: MarketArrays, memory: Memory) -> jax.Array:
        """The observations [N, O] of memories [N]."""
        window = _windows(market.features, memory.bar, self.yardstick.window)
        return jnp.concatenate([window, memory.standing], axis=-1)

    def known_actions(self, market: MarketArrays, memory: Memory) -> KnownActions | None:
        """What HOLD, BUY and SELL at the closes of memories [N] lead to without a position; None if not tabulated.

        Phase 2's account has the room of its memory, and its trades are those of a bracket that is left alone.
        """
        if market.entries is None:
            return None
        credit, r, bars = (column[memory.bar] for column in market.entries)
        nothing, may_enter = jnp.zeros_like(r[:, :1]), bars > 0
        standing = jnp.zeros_like(memory.standing)
        if self.phase == 2:
            standing = standing.at[:, MAY_ENTER].set(may_enter[:, 0]).at[:, ROOM].set(memory.standing[:, ROOM])
        return KnownActions(
            memory=memory._replace(standing=standing),
            legal_actions=jnp.concatenate([jnp.ones_like(may_enter[:, :1]), may_enter], axis=-1),
            credit=jnp.concatenate([nothing, credit], axis=-1),
            outcome=jnp.concatenate([nothing, r], axis=-1),
            bars=jnp.concatenate([jnp.ones_like(bars[:, :1]), bars], axis=-1),
        )

    def window_weights(self, market: MarketArrays) -> jax.Array | None:
        """How much each bar of the window [bars] tells of the entries in the table, the largest 1; None without one."""
        return window_weights(market, self.yardstick.window)

    def step(
        self,
        market: MarketArrays,
        params: EnvParams,
        state: EnvState,
        action: jax.Array,
        bracket: Bracket | None = None,
    ) -> StepResult:
        """Decide at this close and play the next bar: [B] a field. ``action`` [B] int32 must be legal.

        Entries take ``bracket``, [B] a field, where it is given, and else the usual one.
        """
        params = params_by_account(params, state.market_index)
        venue = _venue(market, params, state.bar)
        terms, rules = venue.terms, venue.rules
        known = _known_at_close(market, state, self.yardstick)._replace(bracket=bracket)
        before = equity(state.account, state.position, known.close, terms)
        limits = limits_today(XP, params.limits, state.account)
        order = order_for(XP, action, state.position, known, terms, limits)
        position = managed(XP, action, state.position, known, terms)

        bar = state.bar + 1
        if market.fillable is not None:
            order = capped(XP, order, market.fillable[bar])
        prices = BarPrices(*jnp.moveaxis(market.prices[bar], -1, 0))
        if market.rungs is None:
            outcome = play_bar(XP, position, state.account, order, prices, venue)
        else:
            outcome = play_minute(market.rungs, bar, (position, state.account), order, prices, venue)
        outcome = _session_end(outcome, market.last_in_session[bar], prices.close, _venue(market, params, bar))
        held = trailed(XP, outcome.position, prices.close, market.true_range_sum[bar], self.yardstick)

        after = equity(outcome.account, held, prices.close, terms)
        terminated = outcome.failed | (passed(outcome.account, held, rules) & ends_at_target(rules))
        idle = market.entries_over[bar] | (outcome.account.paused != 0)
        over = market.last_in_session[bar] | (idle & (held.quantity == 0))
        result = StepResult(
            state=state._replace(bar=bar, position=held, account=outcome.account),
            reward=risk_multiple(after - before, outcome.risk),
            terminated=terminated,
            truncated=over & ~terminated,
            trade=_trade_closed(outcome, state.position.bars_held, params.venue),
            failed=outcome.failed,
        )
        if params.eased is None:
            return result
        entered = (state.position.quantity == 0) & (order.quantity != 0)
        costs = BarCosts(
            entered=entered, order=order, outcome=outcome, terms=terms, terms_at_close=_venue(market, params, bar).terms
        )
        return _unreported(result._replace(shaping=shaping(XP, params.eased, costs)), state.forced)

    def _legal(self, market: MarketArrays, params: EnvParams, state: EnvState) -> LegalActions:
        known = _known_at_close(market, state, self.yardstick)
        terms, limits = _venue(market, params, state.bar).terms, limits_today(XP, params.limits, state.account)
        return legal_actions(XP, state.position, state.account, known, terms, limits)

    def _mask(self, legal: LegalActions) -> jax.Array:
        columns = [jnp.ones_like(legal.enter), legal.enter, legal.enter]
        if self.phase == 2:
            columns += [legal.breakeven, legal.enable_trail, legal.disable_trail]
        return jnp.stack(columns, axis=-1)


def _unreported(result: StepResult, forced: jax.Array | None) -> StepResult:
    """The bar without the positions [B] that episodes started with: reward and trade leave them out.

    Nobody decided those entries, so no report counts them; the learner still gets what they earned, as shaping.
    """
    assert forced is not None and result.shaping is not None, "reset and step disagree on the curriculum"
    hidden = TradeClosed(*(jnp.where(forced, jnp.zeros_like(field), field) for field in result.trade))
    return result._replace(
        state=result.state._replace(forced=forced & (result.state.position.quantity != 0)),
        reward=jnp.where(forced, 0.0, result.reward),
        shaping=result.shaping + jnp.where(forced, result.reward, 0.0),
        trade=hidden,
    )


def params_by_account(params: EnvParams, market_index: jax.Array | None) -> EnvParams:
    """``params`` with the venue and limits of each account's market: leaves [B] of leaves [M]; as is for one market."""
    if market_index is None:
        return params
    venue, limits = jax.tree.map(lambda leaf: leaf[market_index], (params.venue, params.limits))
    return params._replace(venue=venue, limits=limits)


def _venue(market: MarketArrays, params: EnvParams, bar: jax.Array) -> Venue:
    """The venue of fills that follow the close of ``bar`` [B]: its slippage is known there and not sooner."""
    venue = params.venue
    if market.slippage is None:
        return venue
    return venue._replace(terms=venue.terms._replace(slippage_ticks=market.slippage[bar]))


def _windows(features: jax.Array, bar: jax.Array, length: int) -> jax.Array:
    """The last ``length`` rows of ``features`` [T, 11] at each ``bar`` [B], flat: [B, 220] where they are 20.

    One slice an account: XLA copies it whole, ten times as fast on a CPU as looking up every row.
    """
    shape = (length, features.shape[1])
    window = jax.vmap(lambda last: jax.lax.dynamic_slice(features, (last - (length - 1), 0), shape))(bar)
    return window.reshape(bar.shape[0], length * features.shape[1])


def _known_at_close(market: MarketArrays, state: EnvState, yardstick: Yardstick) -> KnownAtClose:
    return KnownAtClose(
        close=market.prices[state.bar, 3],
        true_range_sum=market.true_range_sum[state.bar],
        entry_open=market.entry_open[state.bar],
        flatten_due=market.flatten_due[state.bar],
        yardstick=yardstick,
    )


def _session_end(outcome: BarOutcome, last: jax.Array, close: jax.Array, venue: Venue) -> BarOutcome:
    """The bar, with whatever is still open closed at its last price where the session is over."""
    ended = closed_at_last_price(XP, outcome.position, outcome.account, close, venue)
    left_over = last & (outcome.position.quantity != 0)
    closed = jax.tree.map(lambda a, b: jnp.where(left_over, a, b), ended, outcome)
    return cast(BarOutcome, closed)._replace(failed=outcome.failed | (left_over & ended.failed))


def _trade_closed(outcome: BarOutcome, bars_held: jax.Array, venue: Venue) -> TradeClosed:
    quantity, terms = outcome.exit_quantity, venue.terms
    gross = (outcome.exit_price - outcome.entry_price) * quantity * terms.tick_value
    closed = outcome.exit_reason != NO_EXIT
    return TradeClosed(
        closed=closed,
        pnl_cents=jnp.where(closed, gross - 2 * jnp.abs(quantity) * terms.commission, 0),
        risk_cents=jnp.where(closed, outcome.risk, 0),
        bars_held=jnp.where(closed, bars_held + 1, 0),
        side=jnp.where(closed, jnp.sign(quantity), 0),
        reason=outcome.exit_reason,
        quantity=jnp.where(closed, quantity, 0),
        entry=jnp.where(closed, outcome.entry_price, 0),
        exit=jnp.where(closed, outcome.exit_price, 0),
    )
