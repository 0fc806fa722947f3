"""What trading costs, as configured: fees by symbol, slippage by volatility and time of day, a cap by volume."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rl_core.exchange.instruments import Instrument
from rl_core.market.types import Frictions
from rl_core.market.yardstick import USUAL
from trigate.errors import ConfigError
from trigate.toml_config import read_toml

MINUTES = 1440
Clock = Annotated[str, Field(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Dollars = Annotated[Decimal, Field(ge=0, le=1_000, decimal_places=2)]
MOST_TICKS = 10_000


class CostsConfig(BaseModel):
    """Costs beyond the contract's own commission and fixed slippage."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fees: Path | None = Field(None, description="a table of dollars per side by symbol; none: the contract's own")
    slippage_ticks: int | None = Field(None, ge=0, le=MOST_TICKS, description="none: the contract's own")
    slippage_atr_share: Decimal = Field(Decimal(0), ge=0, le=10, description="of the ATR, rounded up; at least this")
    slippage_by_time: dict[Clock, Annotated[int, Field(ge=0, le=MOST_TICKS)]] = Field(
        {}, description="HH:MM of the exchange = ticks from then on, around the clock; replaces slippage_ticks"
    )
    volume_share: Decimal = Field(Decimal(0), ge=0, le=1, description="of a bar's volume that an entry takes; 0: any")

    def frictions(self, contract: Instrument, atr_bars: int = USUAL.atr_bars) -> Frictions | None:
        """What must be looked up at every bar; None where slippage is fixed and every order fills."""
        atr_milli, volume_milli = int(1000 * self.slippage_atr_share), int(1000 * self.volume_share)
        if not (atr_milli or volume_milli or self.slippage_by_time):
            return None
        by_minute = self._by_minute(self.fixed_ticks(contract))
        return Frictions(by_minute=by_minute, atr_milli=atr_milli, volume_milli=volume_milli, atr_bars=atr_bars)

    def fixed_ticks(self, contract: Instrument) -> int:
        """Slippage where nothing else is said."""
        return contract.slippage_ticks if self.slippage_ticks is None else self.slippage_ticks

    def _by_minute(self, fixed: int) -> tuple[int, ...]:
        """Ticks [1440] by minute of the day; the last named clock holds over midnight until the first one."""
        if not self.slippage_by_time:
            return (fixed,) * MINUTES
        starts = {int(clock[:2]) * 60 + int(clock[3:]): ticks for clock, ticks in self.slippage_by_time.items()}
        now, table = starts[max(starts)], []
        for minute in range(MINUTES):
            now = starts.get(minute, now)
            table.append(now)
        return tuple(table)


def fee_of(path: Path, symbol: str) -> int:
    """Cents per side and contract of ``symbol`` in the table at ``path``.

    Raises:
        ConfigError: the file is missing or no such table, or does not name the symbol.
    """
    table = fee_table(path)
    if symbol not in table:
        raise ConfigError(f"{path}: holds no fee for {symbol}; it names {', '.join(table)}")
    return int(100 * table[symbol])


def fee_table(path: Path) -> dict[str, Decimal]:
    """Dollars per side and contract of each symbol in the table at ``path``.

    Raises:
        ConfigError: the file is missing or no such table.
    """
    try:
        return TypeAdapter(dict[str, Dollars]).validate_python(read_toml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: lines of SYMBOL = dollars per side are wanted: {error}") from error
