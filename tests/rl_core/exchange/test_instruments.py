"""Contract facts against the exchange's table."""

from decimal import Decimal

import pytest

from rl_core.exchange.instruments import INSTRUMENTS, instrument
from trigate.errors import ConfigError

# symbol: points a tick, dollars a point, slippage ticks, calendar
TABLE = {
    "ES": ("0.25", "50", 1, "equity"),
    "NQ": ("0.25", "20", 1, "equity"),
    "YM": ("1", "5", 2, "equity"),
    "RTY": ("0.10", "50", 2, "equity"),
    "NKD": ("5", "5", 1, "equity"),
    "GC": ("0.10", "100", 1, "metals"),
    "SI": ("0.005", "5000", 1, "metals"),
    "HG": ("0.0005", "25000", 1, "metals"),
    "PL": ("0.10", "50", 2, "metals"),
    "CL": ("0.01", "1000", 1, "energy"),
    "NG": ("0.001", "10000", 1, "energy"),
    "QG": ("0.005", "2500", 1, "energy"),
    "RB": ("0.0001", "42000", 2, "energy"),
    "HO": ("0.0001", "42000", 2, "energy"),
    "6E": ("0.00005", "125000", 1, "fx"),
    "6B": ("0.0001", "62500", 1, "fx"),
    "6J": ("0.0000005", "12500000", 1, "fx"),
    "6A": ("0.00005", "100000", 1, "fx"),
    "6C": ("0.00005", "100000", 1, "fx"),
    "ZN": ("0.015625", "1000", 1, "rates"),
    "ZB": ("0.03125", "1000", 1, "rates"),
    "ZF": ("0.0078125", "1000", 1, "rates"),
    "ZC": ("0.25", "50", 1, "grains"),
    "ZS": ("0.25", "50", 1, "grains"),
    "ZW": ("0.25", "50", 1, "grains"),
    "MES": ("0.25", "5", 1, "equity"),
    "MNQ": ("0.25", "2", 1, "equity"),
    "MYM": ("1", "0.5", 2, "equity"),
    "M2K": ("0.10", "5", 2, "equity"),
    "MGC": ("0.10", "10", 2, "metals"),
    "SIL": ("0.005", "1000", 2, "metals"),
    "MHG": ("0.0005", "2500", 2, "metals"),
    "MCL": ("0.01", "100", 2, "energy"),
    "MNG": ("0.001", "1000", 2, "energy"),
    "M6E": ("0.0001", "12500", 1, "fx"),
    "M6B": ("0.0001", "6250", 1, "fx"),
    "MJY": ("0.000001", "1250000", 1, "fx"),
    "M6A": ("0.0001", "10000", 1, "fx"),
    "MCD": ("0.0001", "10000", 1, "fx"),
}
FRACTIONAL = {"ZN": "1562.5", "ZF": "781.25", "M6B": "62.5"}  # cents a tick


@pytest.mark.parametrize("symbol", TABLE)
def test_a_tick_is_worth_its_size_times_the_dollars_of_a_point(symbol: str) -> None:
    size, dollars, slippage, calendar = TABLE[symbol]
    contract = instrument(symbol)

    assert contract.tick_size == Decimal(size)
    assert contract.tick_cents == Decimal(size) * Decimal(dollars) * 100
    assert (contract.slippage_ticks, contract.calendar) == (slippage, calendar)
    assert contract.source and contract.is_micro == (contract.commission == 60)


@pytest.mark.parametrize("symbol", TABLE)
def test_a_contract_is_traded_in_whole_cents_or_not_at_all(symbol: str) -> None:
    """Half a 32nd of a T-note is $15.625: an account in whole cents cannot book it, and says so."""
    contract = instrument(symbol)
    if symbol not in FRACTIONAL:
        assert contract.tick_value == contract.tick_cents
        return

    with pytest.raises(ConfigError, match=f"{symbol} cannot be traded here: .* {FRACTIONAL[symbol]} cents"):
        _ = contract.tick_value


@pytest.mark.parametrize("symbol", [symbol for symbol in TABLE if instrument(symbol).micro])
def test_the_micro_of_a_contract_has_its_tick_and_sessions_and_counts_as_one(symbol: str) -> None:
    whole, small = instrument(symbol), instrument(instrument(symbol).micro or "")

    assert (small.tick_size, small.calendar, small.is_micro, whole.is_micro) == (
        whole.tick_size,
        whole.calendar,
        True,
        False,
    )
    assert small.tick_value * (5 if symbol == "SI" else 10) == whole.tick_value


def test_ticks_are_exact_fractions_of_a_point() -> None:
    ratios = {symbol: instrument(symbol).tick_size.as_integer_ratio() for symbol in ("ZN", "ZB", "ZF", "ZC", "6J")}

    assert ratios == {"ZN": (1, 64), "ZB": (1, 32), "ZF": (1, 128), "ZC": (1, 4), "6J": (1, 2_000_000)}


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
