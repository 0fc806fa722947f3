"""Whose money trades, under which rules, in which hours: the settings that training and trading share."""

from decimal import Decimal
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from rl_core.exchange.instruments import Instrument, instrument
from rl_core.market.fills import Venue
from rl_core.market.types import ADAPTIVE, PESSIMISTIC, SECONDS, Frictions, Limits
from rl_core.market.yardstick import USUAL, Yardstick
from rl_core.rules.pack import RulePack, limits_of, read_rule_pack, terms_of
from rl_core.trading.costs import CostsConfig, fee_of, fee_table
from rl_core.trading.hours import EntryHours
from rl_core.trading.lengths import BracketConfig, FeatureConfig, yardstick_of
from trigate.errors import ConfigError

MAX_ENTRIES_PER_SESSION = 50  # of a run and of an evaluation that carries its account, unless it is set otherwise
AtTarget = Literal["stand_down", "trade_on"]
Resolution = Literal["pessimistic", "adaptive", "seconds"]
RESOLUTIONS: dict[Resolution, int] = {"pessimistic": PESSIMISTIC, "adaptive": ADAPTIVE, "seconds": SECONDS}


class TradingConfig(BaseModel):
    """One account's setting."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rules: Path = Field(Path("configs/rules/apex_legacy_50k_eval.toml"), description="a rule pack")
    contract: str = Field("micro", description="micro (if the market has one), same, or a symbol")
    risk_dollars: Decimal = Field(
        Decimal(500), gt=0, le=1_000_000, description="what one trade may lose at its stop, costs included"
    )
    max_contracts: int | None = Field(None, gt=0, description="a cap besides the pack's")
    commission_dollars: Decimal | None = Field(
        None, ge=0, le=1_000, decimal_places=2, description="per side, whole cents; none: the contract's own"
    )
    at_target: AtTarget = Field(
        "stand_down",
        description="once a trade closes with the target banked: no further entry that session, or trade_on",
    )
    resolution: Resolution | None = Field(None, description="none: seconds where they are given, else pessimistic")
    bracket: BracketConfig = BracketConfig()
    features: FeatureConfig = FeatureConfig()
    costs: CostsConfig = CostsConfig()
    hours: EntryHours = EntryHours()

    @property
    def yardstick(self) -> Yardstick:
        """The lengths of bracket, ATR and window; a policy is good for those that it was trained in."""
        return yardstick_of(self.bracket, self.features)


def resolved(config: TradingConfig, *, seconds: bool) -> TradingConfig:
    """The setting with its resolution named, where second bars are given or not.

    Raises:
        ConfigError: it asks for seconds and there are none.
    """
    resolution = config.resolution or ("seconds" if seconds else "pessimistic")
    if resolution == "seconds" and not seconds:
        raise ConfigError("resolution = 'seconds' needs one-second bars: give --seconds FILE, or another resolution")
    return config.model_copy(update={"resolution": resolution})


def check_account(config: TradingConfig) -> None:
    """Raise ConfigError unless everything that ``config`` names is there: rule pack, contract and table of fees.

    It needs no bars, so that a fault here is told before they are read.
    """
    read_rule_pack(config.rules)
    if config.contract not in ("micro", "same"):
        instrument(config.contract)
    if config.costs.fees is not None:
        fee_table(config.costs.fees)


class Trading(NamedTuple):
    """The setting, compiled for one market."""

    pack: RulePack
    contract: Instrument
    venue: Venue
    limits: Limits
    hours: EntryHours
    frictions: Frictions | None = None  # None: slippage is fixed and every order fills whole
    yardstick: Yardstick = USUAL  # of bracket, ATR and window


def compile_trading(config: TradingConfig, bars_of: Instrument) -> Trading:
    """The setting for bars of the instrument ``bars_of``.

    Raises:
        ConfigError: an unreadable pack or fee table, an unknown contract, or one of another tick than the bars.
    """
    pack = read_rule_pack(config.rules)
    contract = _contract(config.contract, bars_of)
    costs = config.costs
    commission = None if costs.fees is None else fee_of(costs.fees, contract.symbol)
    if config.commission_dollars is not None:
        commission = int(config.commission_dollars * 100)
    terms = terms_of(contract, commission)._replace(slippage_ticks=costs.fixed_ticks(contract))
    rules = pack.compiled()._replace(stand_down=int(config.at_target == "stand_down"))
    venue = Venue(terms=terms, rules=rules, resolution=RESOLUTIONS[config.resolution or "pessimistic"])
    limits = limits_of(pack, contract, int(config.risk_dollars * 100), config.max_contracts)
    return Trading(
        pack=pack,
        contract=contract,
        venue=venue,
        limits=limits,
        hours=config.hours,
        frictions=costs.frictions(contract, config.features.atr_bars),
        yardstick=config.yardstick,
    )


def _contract(name: str, bars_of: Instrument) -> Instrument:
    """The contract that is traded; its tick must be the bars', whose prices are counted in it."""
    if name == "same" or (name == "micro" and bars_of.micro is None):
        return bars_of
    contract = instrument(bars_of.micro if name == "micro" and bars_of.micro else name)
    if contract.tick_size != bars_of.tick_size:
        raise ConfigError(f"contract {contract.symbol} has another tick than bars of {bars_of.symbol}")
    return contract
