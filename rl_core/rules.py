"""A funded account's rule pack: read from `configs/rules/*.toml`, compiled to integers once."""

import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rl_core.configuration import describe
from rl_core.errors import ConfigError
from rl_core.instruments import Instrument
from rl_core.market.types import (
    CLOSED_BALANCE,
    EOD_BALANCE,
    INTRADAY,
    NEVER_LOCKS,
    STATIC,
    Limits,
    Rules,
    Terms,
)

RATCHETS = {
    "static": STATIC,
    "eod_balance": EOD_BALANCE,
    "closed_balance": CLOSED_BALANCE,
    "intraday_unrealized": INTRADAY,
}
STALE_DAYS = 90


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MaxLoss(_Section):
    """The drawdown floor."""

    amount: Decimal = Field(gt=0, description="dollars between the reference and the floor")
    ratchet: Literal["static", "eod_balance", "closed_balance", "intraday_unrealized"]
    lock: Literal["never", "start_plus", "target_balance"] = "never"
    lock_offset: Decimal = Field(Decimal(0), description="dollars above start where the floor locks (start_plus)")


class Contracts(_Section):
    """How much may be held."""

    max_mini: int = Field(gt=0)
    micros_per_mini: int = Field(10, gt=0)


class Session(_Section):
    """When everything must be flat, exchange time."""

    flat_by: str = Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", description="ET")
    early_close_margin_minutes: int = Field(1, ge=0)


class RulePack(_Section):
    """One dated reading of a firm's rules; money in dollars as printed there."""

    name: str
    as_of: date
    sources: tuple[str, ...]
    confidence: str
    effective: str
    start: Decimal = Field(gt=0)
    target: Decimal = Field(gt=0, description="net profit that passes the evaluation")
    max_loss: MaxLoss
    contracts: Contracts
    session: Session
    min_days: int = Field(0, ge=0)
    automation: Literal["banned", "restricted", "allowed", "unknown"]
    not_simulated: tuple[str, ...] = ()

    def compiled(self) -> Rules:
        """The pack as the integers that environment, broker, mask and report share."""
        start, target, loss = _cents(self.start), _cents(self.target), _cents(self.max_loss.amount)
        caps = {
            "never": NEVER_LOCKS,
            "start_plus": start + _cents(self.max_loss.lock_offset),
            "target_balance": start + target,
        }
        return Rules(start, target, loss, RATCHETS[self.max_loss.ratchet], caps[self.max_loss.lock])

    def max_quantity(self, contract: Instrument) -> int:
        """Contracts of ``contract`` that may be held at once."""
        return self.contracts.max_mini * (1 if contract.micro else self.contracts.micros_per_mini)

    @property
    def flat_minute(self) -> int:
        """Minute of the ET day by which everything is flat."""
        hour, minute = self.session.flat_by.split(":")
        return int(hour) * 60 + int(minute)

    def stale(self, today: date) -> bool:
        """Whether the reading is older than 90 days."""
        return (today - self.as_of).days > STALE_DAYS


def _cents(dollars: Decimal) -> int:
    return int(dollars * 100)


def read_rule_pack(path: Path) -> RulePack:
    """The rule pack in ``path``.

    Raises:
        ConfigError: the file is missing, not TOML, or a key or value is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    try:
        return RulePack.model_validate(content)
    except ValidationError as error:
        raise ConfigError(describe(error, RulePack, str(path))) from error


def terms_of(contract: Instrument, commission: int | None = None) -> Terms:
    """What trading one contract costs; ``commission`` in cents per side replaces the contract's own."""
    return Terms(
        contract.tick_value, contract.commission if commission is None else commission, contract.slippage_ticks
    )


def limits_of(pack: RulePack, contract: Instrument, risk_budget: int, max_quantity: int | None = None) -> Limits:
    """What one trade may risk: the budget in cents, and the smaller of the pack's and the configured size."""
    allowed = pack.max_quantity(contract)
    return Limits(risk_budget, allowed if max_quantity is None else min(allowed, max_quantity))
