"""Fees, slippage and the volume cap: read from configuration, and the same in the environment and the broker."""

from fractions import Fraction
from math import ceil
from pathlib import Path

import jax
import numpy as np
import pytest
from pydantic import ValidationError

from rl_core.contract import BUY
from rl_core.envs.env import Env
from rl_core.envs.market_arrays import make_market
from rl_core.exchange.instruments import INSTRUMENTS, instrument
from rl_core.market.costs import capped, fillable, slippage_ticks
from rl_core.market.types import Frictions, Order, PlainIntegers
from rl_core.rules.pack import terms_of
from rl_core.trading.costs import CostsConfig, fee_of
from rl_core.trading.setup import TradingConfig, compile_trading, resolved
from tests.rl_core.envs.episodes import act, at_close, params_for, random_episodes
from tests.rl_core.markets import RULES_FOLDER, closing_at, quiet_bars, seen, small_view
from trigate.errors import ConfigError

XP = PlainIntegers()
PACK = RULES_FOLDER / "apex_legacy_50k_eval.toml"
FEES = RULES_FOLDER.parent / "fees.toml"
NQ, MNQ = instrument("NQ"), instrument("MNQ")
QUIET = seen(quiet_bars())
T = closing_at(QUIET, "11:00")


def trading(**costs: object) -> TradingConfig:
    return TradingConfig.model_validate({"rules": PACK, "costs": costs})


def test_without_a_word_costs_are_the_contracts_own() -> None:
    compiled = compile_trading(trading(), NQ)

    assert compiled.venue.terms == terms_of(MNQ)
    assert compiled.frictions is None


def test_the_shipped_fee_table_holds_every_contracts_own_commission() -> None:
    assert {symbol: fee_of(FEES, symbol) for symbol in INSTRUMENTS} == {s: c.commission for s, c in INSTRUMENTS.items()}


def test_a_fee_table_replaces_the_commission_and_an_amount_replaces_both(tmp_path: Path) -> None:
    table = tmp_path / "fees.toml"
    table.write_text("MNQ = 0.37\n")

    assert compile_trading(trading(fees=str(table)), NQ).venue.terms.commission == 37
    named = trading(fees=str(table)).model_copy(update={"commission_dollars": 1})
    assert compile_trading(named, NQ).venue.terms.commission == 100


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("NQ = 2\n", "no fee for MNQ"),
        ("MNQ = -1\n", "dollars"),
        ("MNQ = 0.375\n", "2 decimal places"),
        ("x", "not valid TOML"),
    ],
)
def test_a_fee_table_that_does_not_say_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    table = tmp_path / "fees.toml"
    table.write_text(text)

    with pytest.raises(ConfigError, match=fault):
        fee_of(table, "MNQ")
    with pytest.raises(ConfigError, match="cannot be read"):
        fee_of(tmp_path / "none.toml", "MNQ")


def test_slippage_by_time_holds_until_the_next_entry_and_around_midnight() -> None:
    config = CostsConfig(slippage_by_time={"09:30": 4, "09:35": 2, "17:00": 3})
    frictions = config.frictions(MNQ)

    assert frictions is not None
    assert [frictions.by_minute[m] for m in (0, 569, 570, 574, 575, 1019, 1020, 1439)] == [3, 3, 4, 4, 2, 2, 3, 3]
    with pytest.raises(ValidationError):
        CostsConfig(slippage_by_time={"9:30": 4})


def test_slippage_by_atr_is_rounded_up_and_never_less_than_the_fixed_ticks() -> None:
    """5 % of S / 14: S = 280 is 1 tick, 281 is 1.004 and so 2; a fixed 3 ticks is more than both."""
    small, fixed = (CostsConfig(slippage_atr_share="0.05", slippage_ticks=n).frictions(MNQ) for n in (0, 3))
    assert small is not None and fixed is not None

    assert [slippage_ticks(XP, small, 0, s) for s in (280, 281, 0)] == [1, 2, 0]
    assert slippage_ticks(XP, fixed, 0, 281) == 3
    for total in range(0, 4000, 7):
        assert slippage_ticks(XP, small, 0, total) == ceil(Fraction(total, 14) / 20)


def test_a_capped_order_keeps_its_side_and_its_offsets() -> None:
    """A tenth of 155 contracts is 15."""
    frictions = Frictions((1,) * 1440, 0, 100)

    assert fillable(frictions, 155) == 15
    assert capped(XP, Order(29, 30, 90, False), 15) == Order(15, 30, 90, False)
    assert capped(XP, Order(-29, 30, 90, False), 15) == Order(-15, 30, 90, False)
    assert capped(XP, Order(-29, 30, 90, False), 40) == Order(-29, 30, 90, False)


def test_the_environment_fills_what_the_bar_trades_and_slips_by_the_clock() -> None:
    """Volume 100: a tenth is 10 of the 27 MNQ that $500 buy at 3 ticks of slippage; bought at +3, stop -27."""
    frictions = CostsConfig(volume_share="0.1", slippage_by_time={"11:00": 3, "12:00": 1}).frictions(MNQ)
    market = make_market(QUIET, frictions=frictions)

    result = act(Env(2), market, at_close(T), BUY)

    position = [int(field[0]) for field in result.state.position]
    assert position[:5] == [10, 80_003, 79_973, 80_093, 30]
    assert int(result.state.account.cash[0]) == 5_000_000 - 10 * 60


@pytest.mark.parametrize(("later", "slip"), [(-1, 1), (0, 3), (1, 5)])
def test_an_entry_slips_by_the_minute_in_which_its_bar_begins(later: int, slip: int) -> None:
    """Decided at the closes of 10:59, 11:00 and 11:01; the bar that begins at 11:00:00 is the first with 3 ticks."""
    frictions = CostsConfig(slippage_by_time={"00:00": 1, "11:00": 3, "11:01": 5}).frictions(MNQ)

    result = act(Env(2), make_market(QUIET, frictions=frictions), at_close(T + later), BUY)

    assert int(result.state.position.entry[0]) == 80_000 + slip


def test_frictions_that_add_nothing_change_no_step() -> None:
    """One tick around the clock is what MNQ has without them."""
    view, params = small_view(), params_for()
    plain = make_market(view)
    neutral = make_market(view, frictions=Frictions((1,) * 1440, 0, 0))

    a, b = (random_episodes(Env(2), market, params, jax.random.key(1), 64, 150) for market in (plain, neutral))

    assert bool(a.result.trade.closed.any())
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_resolution_is_seconds_where_they_are_given_unless_another_is_named() -> None:
    config = trading()

    assert resolved(config, seconds=True).resolution == "seconds"
    assert resolved(config, seconds=False).resolution == "pessimistic"
    adaptive = config.model_copy(update={"resolution": "adaptive"})
    assert resolved(adaptive, seconds=True).resolution == "adaptive"
    with pytest.raises(ConfigError, match="--seconds"):
        resolved(config.model_copy(update={"resolution": "seconds"}), seconds=False)
