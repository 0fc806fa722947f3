"""Every rule pack in the environment: sizes, pauses and ends by its own limits, one compilation for all."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.contract import BUY, HOLD
from rl_core.envs.env import Env, EnvParams, EnvState, new_accounts
from rl_core.envs.market_arrays import make_market
from rl_core.market.types import DAILY_LOSS, EXIT_NAMES, Account
from rl_core.rules.files import pack_paths
from rl_core.rules.pack import RulePack, read_rule_pack
from tests.rl_core.envs.episodes import ENVS, act, at_close, legal_at, params_of, random_episodes, replayed
from tests.rl_core.markets import RULES_FOLDER, closing_at, quiet_bars, seen, seen_again, small_view, with_bar

QUIET = seen(quiet_bars())
T = closing_at(QUIET, "11:00")


@cache
def pack(name: str) -> RulePack:
    return read_rule_pack(RULES_FOLDER / name)


def opened(name: str, **changes: int) -> EnvState:
    """A new account of this pack at the close of ``T``, with these fields of its account changed."""
    account = new_accounts(pack(name).compiled(), 1)
    return at_close(T, account=Account(*(int(field[0]) for field in account))._replace(**changes))


@pytest.mark.parametrize(
    ("name", "contracts"),
    [
        ("apex_legacy.toml#50k-eval-rithmic", 29),  # 50,000 cents / (30 x 50 + 170), as without the pack
        ("apex_4_0.toml#50k-eod-pa", 20),  # the first tier: 2 minis
        ("apex_legacy.toml#25k-pa", 20),  # half of 4 minis; 30 % of the drawdown is 450 dollars: 26 contracts
        ("apex_legacy.toml#100k-static-pa", 10),  # half of 2 minis; 30 % of 625 is 187.50: 11 contracts
    ],
)
def test_the_days_tier_and_open_loss_cap_the_size(name: str, contracts: int) -> None:
    result = act(Env(1), make_market(QUIET), opened(name), BUY, params_of(pack(name)))

    assert int(result.state.position.quantity[0]) == contracts


def test_a_small_share_of_the_open_loss_shrinks_the_size_below_the_tiers() -> None:
    """45,000 cents / 1,670 = 26 contracts where the tier allows 40."""
    name = "apex_legacy.toml#25k-pa"
    state = opened(name, max_minis=4)

    result = act(Env(1), make_market(QUIET), state, BUY, params_of(pack(name)))

    assert int(result.state.position.quantity[0]) == 26


def test_a_daily_loss_ends_the_day_and_not_the_account() -> None:
    """29 MNQ held from 80,000 with 484.31 left for the day: 34 ticks down is past it, and the account is alive."""
    name = "apex_4_0.toml#50k-eod-eval-rithmic"
    market = make_market(seen_again(QUIET, with_bar(QUIET.bars, T + 1, (0, 5, -100, -50))))
    state = held_through(opened(name, day_floor=5_000_000 - 48_431))

    killed = act(Env(1), market, state, HOLD, params_of(pack(name)))

    assert int(killed.state.account.cash[0]) == 5_000_000 - 29 * (35 * 50 + 60)
    assert int(killed.trade.reason[0]) == DAILY_LOSS
    assert (bool(killed.terminated[0]), bool(killed.truncated[0])) == (False, True)
    assert int(killed.state.account.paused[0]) == 1
    assert not legal_at(Env(1), market, killed.state._replace(bar=state.bar), params_of(pack(name)))[BUY]


def held_through(state: EnvState) -> EnvState:
    """The account holding 29 contracts bought at 80,000 whose stop is out of reach."""
    fields = {"quantity": 29, "entry": 80_000, "stop": 79_000, "target": 83_000, "stop_ticks": 1_000}
    position = state.position._replace(**{key: jnp.array([value], jnp.int32) for key, value in fields.items()})
    return state._replace(position=position)


def test_a_daily_loss_that_fails_terminates() -> None:
    name = "apex_4_0.toml#50k-eod-eval-rithmic"
    failing = pack(name).model_copy(update={"daily_loss": pack(name).daily_loss.model_copy(update={"action": "fail"})})
    market = make_market(seen_again(QUIET, with_bar(QUIET.bars, T + 1, (0, 5, -100, -50))))

    killed = act(Env(1), market, held_through(opened(name)), HOLD, params_of(failing))

    assert (bool(killed.terminated[0]), bool(killed.truncated[0])) == (True, False)


def test_no_entry_is_legal_whose_stop_lies_beyond_the_days_limit() -> None:
    """29 x 1,670 = 48,430 cents, and not one less."""
    name = "apex_4_0.toml#50k-eod-eval-rithmic"
    market, params = make_market(QUIET), params_of(pack(name))

    assert legal_at(Env(1), market, opened(name, day_floor=5_000_000 - 48_431), params)[BUY]
    assert not legal_at(Env(1), market, opened(name, day_floor=5_000_000 - 48_430), params)[BUY]
    assert not legal_at(Env(1), market, opened(name, paused=1), params)[BUY]


@pytest.mark.parametrize(
    "name",
    ["apex_4_0.toml#50k-eod-pa", "apex_4_0.toml#25k-eod-eval-rithmic", "topstep_combine.toml#50k", "plain_static.toml"],
)
def test_plain_integers_replay_every_account_of_a_pack(name: str) -> None:
    """With half of the room at most, so that daily losses and floors are both met."""
    params, market = params_of(pack(name), 0.5), make_market(small_view())
    steps = jax.device_get(random_episodes(Env(2), market, params, jax.random.key(1)))

    for b in range(0, ENVS, 6):
        for k, position, account in replayed(small_view(), params, steps, b):
            after = steps.result.state
            assert tuple(int(field[k, b]) for field in after.account) == tuple(account)
            assert tuple(int(field[k, b]) for field in after.position) == tuple(position)
    reasons = {EXIT_NAMES[r] for r in np.unique(steps.result.trade.reason[steps.live])}
    assert ("daily_loss" in reasons) == (name == "apex_4_0.toml#50k-eod-pa")  # through gaps: stops lie above the limit
    live = steps.live
    assert not np.any(steps.seen.legal_actions[..., BUY][live] & (steps.state.account.paused[live] == 1))


def test_one_compilation_serves_every_pack() -> None:
    """What is traced once is compiled once: reset, and a step from there."""
    market, env = make_market(QUIET), Env(2)
    traces: list[str] = []

    @jax.jit
    def traced(params: EnvParams, key: jax.Array, action: jax.Array) -> object:
        traces.append("one")
        return env.step(market, params, env.reset(market, params, key, 4), action)

    for path in pack_paths(RULES_FOLDER):
        traced.trace(params_of(read_rule_pack(path)), jax.random.key(0), jnp.array([0, 1, 2, 1], jnp.int32))

    assert len(traces) == 1
