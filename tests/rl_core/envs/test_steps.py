"""Single steps of the environment, with their sums worked out by hand; 29 MNQ on quiet bars at 80,000."""

import pytest

from rl_core.contract import BUY, HOLD
from rl_core.envs.env import Env, EnvState
from rl_core.envs.market_arrays import MarketArrays, make_market
from rl_core.market.types import AT_TARGET, INTRADAY, LIQUIDATION, STATIC, Account, Position, Terms
from tests.rl_core.envs.episodes import act, at_close, legal_at, params_for
from tests.rl_core.markets import closing_at, mnq_venue, quiet_bars, seen, seen_again, with_bar

QUIET = seen(quiet_bars())
T = closing_at(QUIET, "11:00")


def quiet_but(opened: int, high: int, low: int, close: int) -> MarketArrays:
    """The quiet market with this bar after ``T``, in ticks from 80,000."""
    return make_market(seen_again(QUIET, with_bar(QUIET.bars, T + 1, (opened, high, low, close))))


def lone(state: EnvState) -> tuple[int, int]:
    return int(state.account.cash[0]), int(state.account.floor[0])


def test_touching_the_floor_terminates() -> None:
    """29 MNQ bought at 80,001; a room of 29,000 after 1,740 commission is (29,000 - 1,740) / 1,450 = 18.8 ticks.

    Equity first is at the floor 19 ticks down, 79,982; one slip: 79,981 = -20 ticks x 1,450 - 2 x 1,740 = -32,480.
    """
    market = quiet_but(0, 5, -100, -50)
    rules = mnq_venue().rules._replace(ratchet=STATIC)

    result = act(
        Env(1), market, at_close(T, account=Account(5_000_000, 4_971_000)), BUY, params_for(mnq_venue(0, rules))
    )

    assert (bool(result.terminated[0]), bool(result.truncated[0])) == (True, False)
    assert int(result.trade.reason[0]) == LIQUIDATION
    assert lone(result.state) == (5_000_000 - 32_480, 4_971_000)
    assert int(result.trade.pnl_cents[0]) == -32_480


def test_banking_the_target_terminates() -> None:
    """From 52,000: 29 MNQ x 90 ticks x 50 - 3,480 = 127,020 cents make 53,270.20, past 53,000."""
    market = quiet_but(0, 92, -5, 60)
    account = Account(5_200_000, 4_950_000)

    result = act(Env(1), market, at_close(T, account=account), BUY)
    quiet = act(Env(1), make_market(QUIET), at_close(T, account=account), BUY)

    assert bool(result.terminated[0]) and not bool(result.truncated[0])
    assert int(result.state.account.cash[0]) == 5_200_000 + 127_020
    assert not bool(quiet.terminated[0])


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({"stand_down": 1, "min_days": 7}, True),  # no entry follows in this session
        ({"stand_down": 0, "min_days": 7}, False),  # six more days are asked for: this one is traded on
        ({"stand_down": 0, "min_days": 1}, True),  # passed
        ({"stand_down": 0, "min_days": 0}, True),
        ({"stand_down": 0, "min_days": 0, "best_day_blocks_pass": 1, "best_day_percent": 99}, False),
        ({"stand_down": 0, "min_days": 0, "best_day_blocks_pass": 1, "best_day_percent": 100}, True),
        (
            {
                "stand_down": 0,
                "min_days": 0,
                "best_day_blocks_pass": 1,
                "best_day_percent": 100,
                "best_day_inclusive": 0,
            },
            False,
        ),
        ({"stand_down": 0, "min_days": 0, "best_day_blocks_pass": 0, "best_day_percent": 30}, True),
    ],
)
def test_at_the_target_a_session_ends_or_trades_on_as_setting_and_pack_say(changes: dict[str, int], ends: bool) -> None:
    """From 52,000 to 53,270.20 as above; where the session goes on, the next close may enter again."""
    params = params_for(mnq_venue(0, mnq_venue().rules._replace(**changes)))
    market, account = quiet_but(0, 92, -5, 60), Account(5_200_000, 4_950_000)

    result = act(Env(1), market, at_close(T, account=account), BUY, params)

    assert (bool(result.terminated[0]), bool(result.truncated[0]), bool(result.failed[0])) == (ends, False, False)
    assert int(result.state.account.paused[0]) == (AT_TARGET if changes["stand_down"] else 0)
    assert legal_at(Env(1), market, result.state, params)[BUY] == (changes["stand_down"] == 0)


def test_the_target_does_not_pass_on_open_profit() -> None:
    market = quiet_but(0, 90, -5, 89)

    result = act(Env(1), market, at_close(T, account=Account(5_200_000, 4_950_000)), BUY)

    assert not bool(result.terminated[0])
    assert int(result.state.position.quantity[0]) == 29


def test_a_flat_account_is_cut_off_after_the_last_entry_and_not_before() -> None:
    """15:45 still decides an entry; at 15:46 nothing can happen any more."""
    market = make_market(QUIET)

    last_chance = act(Env(1), market, at_close(closing_at(QUIET, "15:44")), HOLD)
    over = act(Env(1), market, last_chance.state, HOLD)

    assert legal_at(Env(1), market, last_chance.state) == [True, True, True]
    assert (bool(last_chance.truncated[0]), bool(over.truncated[0])) == (False, True)
    assert not bool(act(Env(1), market, last_chance.state, BUY).truncated[0])


@pytest.mark.parametrize("side", [1, -1])
def test_a_session_that_stops_short_of_the_flat_time_closes_what_is_open_at_its_last_price(side: int) -> None:
    """Two contracts from 80,000 leave at 80,000 less one slip: 1 tick x 2 x 50 cents and 2 x 2 x 60 of commission."""
    market = make_market(QUIET)
    market = market._replace(last_in_session=market.last_in_session.at[T + 1].set(True))
    held = Position(2 * side, 80_000, 80_000 - 300 * side, 80_000 + 900 * side, 300, 0, 1)

    result = act(Env(1), market, at_close(T, position=held), HOLD)

    assert bool(result.trade.closed[0]) and int(result.trade.side[0]) == side
    assert int(result.trade.pnl_cents[0]) == -100 - 240
    assert int(result.state.position.quantity[0]) == 0 and bool(result.truncated[0])


def test_each_side_pays_its_commission_once() -> None:
    """The same stopped trade with and without 60 cents a side: 2 x 29 x 60 = 3,480 cents apart."""
    market = quiet_but(0, 5, -100, -50)
    free = params_for()._replace(venue=mnq_venue()._replace(terms=Terms(50, 0, 1)))
    paid = act(Env(1), market, at_close(T), BUY)
    pinned = free._replace(limits=free.limits._replace(max_quantity=29))

    gratis = act(Env(1), market, at_close(T), BUY, pinned)

    assert int(paid.trade.pnl_cents[0]) == -29 * 31 * 50 - 3_480
    assert int(gratis.trade.pnl_cents[0]) - int(paid.trade.pnl_cents[0]) == 3_480


def test_the_intraday_floor_follows_open_profit_over_bars() -> None:
    """29 MNQ from 80,001, high 80,051: +50 x 1,450 - 1,740 = 70,760 above start; the floor rises as much."""
    market = quiet_but(0, 51, -5, 0)

    result = act(Env(1), market, at_close(T), BUY)

    assert params_for().venue.rules.ratchet == INTRADAY
    assert lone(result.state) == (5_000_000 - 1_740, 4_750_000 + 70_760)
