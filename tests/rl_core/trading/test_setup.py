"""The account's settings, compiled for a market."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rl_core.exchange.instruments import instrument
from rl_core.market.types import ADAPTIVE, INTRADAY, PESSIMISTIC
from rl_core.trading.setup import Trading, TradingConfig, compile_trading
from trigate.errors import ConfigError

RULES = Path(__file__).parents[3] / "configs/rules/apex_legacy_50k_eval.toml"


def compiled(market: str = "NQ", **changed: Any) -> Trading:
    """The settings for bars of ``market``."""
    return compile_trading(TradingConfig(**{"rules": RULES, **changed}), instrument(market))


def test_the_default_is_the_micro_of_the_market_and_500_dollars_a_trade() -> None:
    """Ten minis are a hundred micros."""
    trading = compiled()

    assert (trading.contract.symbol, trading.venue.terms, trading.venue.resolution) == ("MNQ", (50, 60, 1), PESSIMISTIC)
    assert (trading.limits.risk_budget, trading.limits.max_quantity) == (50_000, 100)
    assert trading.venue.rules[:5] == (5_000_000, 300_000, 250_000, INTRADAY, 5_300_000)


@pytest.mark.parametrize(
    ("market", "contract", "traded", "most"),
    [("NQ", "same", "NQ", 10), ("NQ", "MNQ", "MNQ", 100), ("MNQ", "micro", "MNQ", 100), ("ES", "micro", "MES", 100)],
)
def test_another_contract_may_be_traded(market: str, contract: str, traded: str, most: int) -> None:
    trading = compiled(market, contract=contract)

    assert (trading.contract.symbol, trading.limits.max_quantity) == (traded, most)


def test_costs_caps_and_resolution_may_be_set() -> None:
    trading = compiled(
        commission_dollars=Decimal("2.5"), max_contracts=7, risk_dollars=Decimal("99.99"), resolution="adaptive"
    )

    assert (trading.venue.terms.commission, trading.limits[:2], trading.venue.resolution) == (250, (9_999, 7), ADAPTIVE)
    assert compiled(max_contracts=1000).limits.max_quantity == 100


def test_an_account_stands_down_at_its_target_unless_it_is_told_to_trade_on() -> None:
    standing, trading_on = compiled(), compiled(at_target="trade_on")

    assert (standing.venue.rules.stand_down, trading_on.venue.rules.stand_down) == (1, 0)
    assert trading_on.venue.rules._replace(stand_down=1) == standing.venue.rules


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"contract": "M2K"}, "another tick"),
        ({"contract": "XX"}, "unknown market"),
        ({"rules": Path("missing.toml")}, "missing.toml"),
    ],
)
def test_what_cannot_be_traded_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compiled(**changed)


@pytest.mark.parametrize(
    "changed", [{"risk_dollars": 0}, {"max_contracts": 0}, {"resolution": "best"}, {"risk_dolars": 5}]
)
def test_settings_out_of_bounds_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TradingConfig(**changed)
