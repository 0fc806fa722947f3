"""Contract facts against the exchange's table."""

from decimal import Decimal

import pytest

from rl_core.exchange.instruments import INSTRUMENTS, instrument
from trigate.errors import ConfigError

# symbol: points a tick, dollars a point, slippage ticks
TABLE = {
    "ES": ("0.25", "50", 1),
    "NQ": ("0.25", "20", 1),
    "YM": ("1", "5", 2),
    "RTY": ("0.10", "50", 2),
    "GC": ("0.10", "100", 1),
    "CL": ("0.01", "1000", 1),
    "MES": ("0.25", "5", 1),
    "MNQ": ("0.25", "2", 1),
    "MYM": ("1", "0.5", 2),
    "M2K": ("0.10", "5", 2),
    "MGC": ("0.10", "10", 2),
    "MCL": ("0.01", "100", 2),
}


@pytest.mark.parametrize("symbol", TABLE)
def test_a_tick_is_worth_its_size_times_the_dollars_of_a_point(symbol: str) -> None:
    size, dollars, slippage = TABLE[symbol]
    contract = instrument(symbol)

    assert contract.tick_size == Decimal(size)
    assert contract.tick_value == Decimal(size) * Decimal(dollars) * 100
    assert contract.slippage_ticks == slippage


def test_every_contract_is_in_the_table() -> None:
    assert set(INSTRUMENTS) == set(TABLE)


@pytest.mark.parametrize("mini", ["ES", "NQ", "YM", "RTY", "GC", "CL"])
def test_a_micro_is_a_tenth_of_its_mini_at_60_cents_a_side(mini: str) -> None:
    whole, tenth = instrument(mini), instrument(instrument(mini).micro or "")

    assert whole.tick_value == 10 * tenth.tick_value
    assert whole.tick_size == tenth.tick_size
    assert (whole.commission, tenth.commission) == (250, 60)
    assert (whole.mini_tenths, tenth.mini_tenths) == (10, 1)


@pytest.mark.parametrize(("wrong", "said"), [("nq", "'NQ'"), ("MNQX", "'MNQ'"), ("bitcoin", "known: ES, NQ")])
def test_an_unknown_market_is_refused_with_a_suggestion(wrong: str, said: str) -> None:
    with pytest.raises(ConfigError, match="unknown market") as caught:
        instrument(wrong)

    assert said in str(caught.value)
