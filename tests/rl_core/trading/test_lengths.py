"""Window, ATR and bracket as settings: exact, and bounded."""

from fractions import Fraction

import pytest

from rl_core.exchange.instruments import instrument
from rl_core.market.yardstick import USUAL, Yardstick
from rl_core.trading.setup import TradingConfig, compile_trading
from trigate.errors import ConfigError
from trigate.toml_config import read_config

SET = [
    *("bracket.stop_atr=2.25", "bracket.target_stops=1.4", "bracket.trail_atr=0.6"),
    *("features.window=7", "features.atr_bars=5"),
]


def test_without_settings_the_lengths_are_the_usual_ones() -> None:
    assert compile_trading(TradingConfig(), instrument("NQ")).yardstick == USUAL


def test_decimals_become_exact_fractions() -> None:
    """1.4 as a float is 1.39999...: times 5 stops it would round up to 8."""
    config = read_config(TradingConfig, None, SET)

    assert config.yardstick == Yardstick(5, 7, Fraction(9, 4), Fraction(7, 5), Fraction(3, 5))
    assert compile_trading(config, instrument("NQ")).yardstick == config.yardstick


def test_a_share_of_the_atr_slips_by_the_atrs_own_bars() -> None:
    config = read_config(TradingConfig, None, [*SET, "costs.slippage_atr_share=0.5"])
    frictions = compile_trading(config, instrument("NQ")).frictions

    assert frictions is not None and frictions.atr_bars == 5


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("bracket.stop_atr=0", "greater than 0"),
        ("bracket.stop_atr=20.01", "less than or equal to 20"),
        ("bracket.target_stops=1.333", "no more than 2 decimal places"),
        ("features.window=0", "greater than or equal to 1"),
        ("features.atr_bars=121", "less than or equal to 120"),
    ],
)
def test_lengths_out_of_range_are_refused_by_name(setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"{setting.partition('=')[0]}.*{said}"):
        read_config(TradingConfig, None, [setting])
