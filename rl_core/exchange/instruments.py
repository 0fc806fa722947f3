"""Contract facts of the traded futures: tick, value of a tick, costs."""

from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from trigate.errors import ConfigError

MINI_COMMISSION = 250
MICRO_COMMISSION = 60


@dataclass(frozen=True)
class Instrument:
    """One futures contract (CME group).

    Attributes:
        symbol: root symbol.
        tick_size: points per tick.
        tick_value: cents per tick and contract.
        commission: cents per side and contract, all in (the default; configuration may change it).
        slippage_ticks: ticks lost by a market or stop order.
        micro: the contract of a tenth of the size, if this is a mini.
    """

    symbol: str
    tick_size: Decimal
    tick_value: int
    commission: int
    slippage_ticks: int
    micro: str | None = None

    @property
    def mini_tenths(self) -> int:
        """Tenths of a mini that one contract is."""
        return 10 if self.micro else 1


def _mini(symbol: str, tick_size: str, tick_value: int, slippage_ticks: int, micro: str) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick_size=Decimal(tick_size),
        tick_value=tick_value,
        commission=MINI_COMMISSION,
        slippage_ticks=slippage_ticks,
        micro=micro,
    )


def _micro(symbol: str, tick_size: str, tick_value: int, slippage_ticks: int) -> Instrument:
    return Instrument(
        symbol=symbol,
        tick_size=Decimal(tick_size),
        tick_value=tick_value,
        commission=MICRO_COMMISSION,
        slippage_ticks=slippage_ticks,
    )


INSTRUMENTS = {
    contract.symbol: contract
    for contract in (
        _mini("ES", "0.25", 1250, 1, "MES"),
        _mini("NQ", "0.25", 500, 1, "MNQ"),
        _mini("YM", "1", 500, 2, "MYM"),
        _mini("RTY", "0.10", 500, 2, "M2K"),
        _mini("GC", "0.10", 1000, 1, "MGC"),
        _mini("CL", "0.01", 1000, 1, "MCL"),
        _micro("MES", "0.25", 125, 1),
        _micro("MNQ", "0.25", 50, 1),
        _micro("MYM", "1", 50, 2),
        _micro("M2K", "0.10", 50, 2),
        _micro("MGC", "0.10", 100, 2),
        _micro("MCL", "0.01", 100, 2),
    )
}


def instrument(symbol: str) -> Instrument:
    """The contract called ``symbol``.

    Raises:
        ConfigError: no such contract is known.
    """
    if symbol in INSTRUMENTS:
        return INSTRUMENTS[symbol]
    near = get_close_matches(symbol.upper(), INSTRUMENTS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(INSTRUMENTS)}"
    raise ConfigError(f"unknown market {symbol!r}{hint}")
