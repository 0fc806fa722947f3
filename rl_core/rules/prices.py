"""What a funded account costs and pays, as a person read it of the firm; firms change it faster than their rules."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

from pydantic import Field

from rl_core.rules.fields import Dollars, Section
from rl_core.rules.files import full_name
from trigate.errors import ConfigError
from trigate.shipped import found_file
from trigate.toml_config import read_toml, validated

PRICES = Path("configs/account_prices.toml")


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
    most: Dollars | None = Field(None, gt=0, description="of one payout; none: no cap")
    keep: Dollars = Field(ge=0, description="profit that must stay on the account")
    most_payouts: int | None = Field(None, gt=0, description="after which the account ends; none: no end")


def read_prices(path: Path = PRICES) -> Mapping[str, AccountPrice]:
    """The prices of each pack that the file names, by the name that it is listed under; the shipped one names none.

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
