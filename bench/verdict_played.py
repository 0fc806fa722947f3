"""What the twenty rules earn in each world: every entry is played by the environment that policies are trained in."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from bench.verdict_rules import MOST_A_SESSION, RULES, grid_of, thinned
from bench.verdict_worlds import MINUTES, WARM_SESSIONS, Worlds
from rl_core.contract import BUY, SELL
from rl_core.envs.entry_outcomes import ListedEntries, played_entries
from rl_core.envs.env import Env, EnvParams
from rl_core.envs.market_arrays import make_market

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


class Traded(NamedTuple):
    """The trades of all rules in one world, each field [N]."""

    rule: Integers  # its place in `RULES`
    session: Integers  # from 0, after the warm-up
    r: Reals  # after costs

    def of(self, rule: int, first: int, stop: int) -> tuple[Integers, Reals]:
        """Session, from 0, and R of one rule's trades in the sessions [first, stop)."""
        mine = (self.rule == rule) & (self.session >= first) & (self.session < stop)
        return self.session[mine] - first, self.r[mine]


def played(worlds: Worlds) -> list[Traded]:
    """The trades of every world: one position of a rule at a time, each left to its bracket."""
    grid = grid_of(worlds)
    side = thinned(np.stack([rule(grid).astype(np.int8) for rule in RULES.values()]), worlds.may_enter)
    rule, session, minute = np.nonzero(side)
    r, held = _outcomes(worlds, session * MINUTES + minute, side[rule, session, minute].astype(np.int64))
    kept = _one_at_a_time(rule * side.shape[1] + session, minute, held)
    rule, session, r = rule[kept], session[kept], r[kept]
    world, place = np.divmod(session, worlds.sessions)
    return [
        Traded(rule[mine], place[mine] - WARM_SESSIONS, r[mine])
        for mine in (world == number for number in range(worlds.worlds))
    ]


def _outcomes(worlds: Worlds, bar: Integers, side: Integers) -> tuple[Reals, Integers]:
    """R after costs and bars held of entries [N]; entries that several rules make are played once."""
    view, trading = worlds.view, worlds.trading
    market = make_market(view, frictions=trading.frictions)
    keys, each = np.unique(2 * bar + (side < 0), return_inverse=True)
    room = 1 << max(7, (len(keys) - 1).bit_length())  # a power of two, so that few sizes are ever compiled
    padded = np.pad(keys, (0, room - len(keys)))
    listed = ListedEntries(
        bar=jnp.asarray(padded // 2, jnp.int32),
        action=jnp.asarray(np.where(padded % 2 == 1, SELL, BUY), jnp.int32),
        listed=jnp.int32(len(keys)),
    )
    params = EnvParams(trading.venue, trading.limits, 1.0, 1.0)
    results = np.asarray(played_entries(market, params, listed, env=Env(1, view.yardstick)), np.float64)
    return results[each, 0], results[each, 1].astype(np.int64)


def _one_at_a_time(group: Integers, minute: Integers, held: Integers) -> npt.NDArray[np.bool_]:
    """[N] whether an entry is made while no other of its group is open; entries are in order of group and minute."""
    _, first, place = np.unique(group, return_index=True, return_inverse=True)
    rank = np.arange(len(group)) - first[place]
    free, kept = np.zeros(len(first), np.int64), np.zeros(len(group), np.bool_)
    for number in range(MOST_A_SESSION):
        at = np.flatnonzero(rank == number)
        kept[at] = minute[at] >= free[place[at]]
        free[place[at]] = np.where(kept[at], minute[at] + held[at], free[place[at]])
    return kept
