"""Contract facts of the traded futures: tick, value of a tick, session calendar, costs."""

from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from rl_core.exchange.product_hours import Family
from trigate.errors import ConfigError

MINI_COMMISSION = 250
MICRO_COMMISSION = 60


@dataclass(frozen=True)
class Instrument:
    """One futures contract (CME group).

    Attributes:
        symbol: root symbol.
        tick_size: points per tick, exact; every binary fraction of a point has a finite decimal.
        tick_cents: cents per tick and contract, exact: a tick of ZN is worth 1562.5 cents.
        commission: cents per side and contract, all in (the default; configuration may change it).
        slippage_ticks: ticks lost by a market or stop order.
        calendar: the product family whose sessions it trades in.
        micro: the smaller contract of the same tick that is traded by default on its bars, if there is one.
        is_micro: whether it counts as a micro contract under an account's limits.
        source: where its facts come from.
    """

    symbol: str
    tick_size: Decimal
    tick_cents: Decimal
    commission: int
    slippage_ticks: int
    calendar: Family
    micro: str | None = None
    is_micro: bool = False
    source: str = ""

    @property
    def tick_value(self) -> int:
        """Whole cents per tick and contract.

        Raises:
            ConfigError: it is no whole number; accounts are kept in whole cents, so the contract cannot be traded.
        """
        if self.tick_cents != int(self.tick_cents):
            raise ConfigError(
                f"{self.symbol} cannot be traded here: a tick is worth {self.tick_cents} cents and accounts are kept "
                "in whole cents; its bars can be checked, ingested and labelled, or name another contract"
            )
        return int(self.tick_cents)

    @property
    def mini_tenths(self) -> int:
        """Tenths of a mini that one contract counts as."""
        return 1 if self.is_micro else 10


# symbol: points a tick, cents a tick, slippage ticks, calendar, micro ("" where none, or none of the same tick that is
# traded in whole cents), what it is. Sizes and ticks as in CME Group's contract specifications.
_FULL_SIZE: dict[str, tuple[str, str, int, Family, str, str]] = {
    "ES": ("0.25", "1250", 1, "equity", "MES", "E-mini S&P 500, $50 x index"),
    "NQ": ("0.25", "500", 1, "equity", "MNQ", "E-mini Nasdaq-100, $20 x index"),
    "YM": ("1", "500", 2, "equity", "MYM", "E-mini Dow, $5 x index"),
    "RTY": ("0.10", "500", 2, "equity", "M2K", "E-mini Russell 2000, $50 x index"),
    "GC": ("0.10", "1000", 1, "metals", "MGC", "gold, 100 troy ounces"),
    "CL": ("0.01", "1000", 1, "energy", "MCL", "WTI crude oil, 1,000 barrels"),
    "NKD": ("5", "2500", 1, "equity", "", "Nikkei 225 in dollars, $5 x index"),
    "SI": ("0.005", "2500", 1, "metals", "SIL", "silver, 5,000 troy ounces"),
    "HG": ("0.0005", "1250", 1, "metals", "MHG", "copper, 25,000 pounds"),
    "PL": ("0.10", "500", 2, "metals", "", "platinum, 50 troy ounces"),
    "NG": ("0.001", "1000", 1, "energy", "MNG", "Henry Hub natural gas, 10,000 mmBtu"),
    "QG": ("0.005", "1250", 1, "energy", "", "E-mini natural gas, 2,500 mmBtu"),
    "RB": ("0.0001", "420", 2, "energy", "", "RBOB gasoline, 42,000 gallons"),
    "HO": ("0.0001", "420", 2, "energy", "", "NY Harbor ULSD, 42,000 gallons"),
    "6E": ("0.00005", "625", 1, "fx", "", "euro, 125,000 EUR"),
    "6B": ("0.0001", "625", 1, "fx", "", "British pound, 62,500 GBP"),
    "6J": ("0.0000005", "625", 1, "fx", "", "Japanese yen, 12,500,000 JPY"),
    "6A": ("0.00005", "500", 1, "fx", "", "Australian dollar, 100,000 AUD"),
    "6C": ("0.00005", "500", 1, "fx", "", "Canadian dollar, 100,000 CAD"),
    "ZN": ("0.015625", "1562.5", 1, "rates", "", "10-year T-note, $100,000; half of 1/32"),
    "ZB": ("0.03125", "3125", 1, "rates", "", "T-bond, $100,000; 1/32"),
    "ZF": ("0.0078125", "781.25", 1, "rates", "", "5-year T-note, $100,000; a quarter of 1/32"),
    "ZC": ("0.25", "1250", 1, "grains", "", "corn, 5,000 bushels, quoted in cents"),
    "ZS": ("0.25", "1250", 1, "grains", "", "soybeans, 5,000 bushels, quoted in cents"),
    "ZW": ("0.25", "1250", 1, "grains", "", "Chicago SRW wheat, 5,000 bushels, quoted in cents"),
}
_MICRO: dict[str, tuple[str, str, int, Family, str, str]] = {
    "MES": ("0.25", "125", 1, "equity", "", "Micro E-mini S&P 500, $5 x index"),
    "MNQ": ("0.25", "50", 1, "equity", "", "Micro E-mini Nasdaq-100, $2 x index"),
    "MYM": ("1", "50", 2, "equity", "", "Micro E-mini Dow, $0.50 x index"),
    "M2K": ("0.10", "50", 2, "equity", "", "Micro E-mini Russell 2000, $5 x index"),
    "MGC": ("0.10", "100", 2, "metals", "", "Micro gold, 10 troy ounces"),
    "MCL": ("0.01", "100", 2, "energy", "", "Micro WTI crude oil, 100 barrels"),
    "SIL": ("0.005", "500", 2, "metals", "", "Micro silver, 1,000 troy ounces: a fifth of SI"),
    "MHG": ("0.0005", "125", 2, "metals", "", "Micro copper, 2,500 pounds"),
    "MNG": ("0.001", "100", 2, "energy", "", "Micro Henry Hub natural gas, 1,000 mmBtu"),
    "M6E": ("0.0001", "125", 1, "fx", "", "Micro euro, 12,500 EUR; a coarser tick than 6E"),
    "M6B": ("0.0001", "62.5", 1, "fx", "", "Micro British pound, 6,250 GBP"),
    "MJY": ("0.000001", "125", 1, "fx", "", "Micro Japanese yen, 1,250,000 JPY; a coarser tick than 6J"),
    "M6A": ("0.0001", "100", 1, "fx", "", "Micro Australian dollar, 10,000 AUD; a coarser tick than 6A"),
    "MCD": ("0.0001", "100", 1, "fx", "", "Micro Canadian dollar, 10,000 CAD; a coarser tick than 6C"),
}


def _contracts(table: dict[str, tuple[str, str, int, Family, str, str]], *, is_micro: bool) -> dict[str, Instrument]:
    return {
        symbol: Instrument(
            symbol=symbol,
            tick_size=Decimal(tick_size),
            tick_cents=Decimal(tick_cents),
            commission=MICRO_COMMISSION if is_micro else MINI_COMMISSION,
            slippage_ticks=slippage_ticks,
            calendar=calendar,
            micro=micro or None,
            is_micro=is_micro,
            source=f"CME Group contract specifications: {described}",
        )
        for symbol, (tick_size, tick_cents, slippage_ticks, calendar, micro, described) in table.items()
    }


INSTRUMENTS = _contracts(_FULL_SIZE, is_micro=False) | _contracts(_MICRO, is_micro=True)


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
