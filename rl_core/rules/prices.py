"""What a funded account costs and pays, as somebody read it of the firm; firms change it faster than their rules."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field

from rl_core.rules.fields import Dollars, Section
from rl_core.rules.files import full_name
from rl_core.rules.pack import STALE_DAYS
from trigate.errors import ConfigError
from trigate.shipped import found_file
from trigate.toml_config import read_toml, validated

PRICES = Path("configs/account_prices.toml")
Cap = Annotated[Dollars, Field(gt=0)]


class AccountPrice(Section):
    """The prices of one pack, in dollars."""

    as_of: date
    source: str = Field(min_length=1)
    evaluation: Dollars = Field(ge=0, description="of the first attempt")
    reset: Dollars | None = Field(None, ge=0, description="of a further one; none: the evaluation is bought again")
    monthly: Dollars = Field(ge=0, description="renewed every 21 sessions of an attempt")
    activation: Dollars = Field(ge=0, description="once passed")
    funded: str = Field(min_length=1, description="the pack that the funded account obeys")
    split_percent: Dollars = Field(gt=0, le=100, description="of a payout that is the trader's")
    least: Dollars = Field(gt=0, description="the smallest payout")
    most: Cap | tuple[Cap, ...] | None = Field(
        None,
        description="of one payout, or of the first, the second and so on, the last for all later; none: no cap",
    )
    share_percent: Dollars = Field(Decimal(100), gt=0, le=100, description="of the profit that one payout may take")
    keep: Dollars = Field(ge=0, description="profit that must stay on the account")
    most_payouts: int | None = Field(None, gt=0, description="after which the account ends; none: no end")
    floor_to_start: bool = Field(False, description="a payout lifts the floor to the opening balance of the account")

    @property
    def caps(self) -> tuple[Dollars, ...]:
        """The most that each payout may take, the last for all that follow; empty: no cap."""
        if self.most is None:
            return ()
        return self.most if isinstance(self.most, tuple) else (self.most,)

    def staleness(self, today: date) -> str | None:
        """The warning of prices that were read more than 90 days ago, or None."""
        days = (today - self.as_of).days
        return f"prices read on {self.as_of}, {days} days ago" if days > STALE_DAYS else None


def read_prices(path: Path = PRICES) -> Mapping[str, AccountPrice]:
    """The prices of each pack that the file names, by the name that it is listed under.

    Raises:
        ConfigError: no such file, not TOML, a key or value is wrong, no pack is called so, or two prices are of one.
    """
    prices: dict[str, AccountPrice] = {}
    for name, table in read_toml(found_file(path)).items():
        price = validated(AccountPrice, table, f"{path}, {name}")
        try:
            listed = full_name(name)
        except ConfigError as error:
            raise ConfigError(f"{path}, {name}: a price of no pack: {error}") from error
        if listed in prices:
            raise ConfigError(f"{path}, {name}: a second price of {listed}; leave one of them out")
        prices[listed] = price
    return prices
