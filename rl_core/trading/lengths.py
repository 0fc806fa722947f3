"""The lengths in which a policy sees and trades, as configured: its bracket, its ATR and its window."""

from decimal import Decimal
from fractions import Fraction

from pydantic import BaseModel, ConfigDict, Field

from rl_core.market.yardstick import Yardstick

MOST_TIMES = 20  # with two decimals a distance then stays within an int32 up to a mean true range of 8,000 ticks
MOST_ATR_BARS = 120


class BracketConfig(BaseModel):
    """Where stop and target lie when a trade is entered, and where the stop lies while it trails."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stop_atr: Decimal = Field(
        Decimal("1.5"), gt=0, le=MOST_TIMES, decimal_places=2, description="ATRs from the fill to the stop"
    )
    target_stops: Decimal = Field(
        Decimal(3), gt=0, le=MOST_TIMES, decimal_places=2, description="stops from the fill to the target"
    )
    trail_atr: Decimal = Field(
        Decimal(1), gt=0, le=MOST_TIMES, decimal_places=2, description="ATRs from a close to the stop that trails it"
    )


class FeatureConfig(BaseModel):
    """How far back a policy looks; which features it sees is code."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    window: int = Field(20, ge=1, le=240, description="bars of features in an observation")
    atr_bars: int = Field(14, ge=2, le=MOST_ATR_BARS, description="the ATR is the mean of so many true ranges")


def yardstick_of(bracket: BracketConfig, features: FeatureConfig) -> Yardstick:
    """Both settings in the exact form that market, features and environment compute with."""
    return Yardstick(
        atr_bars=features.atr_bars,
        window=features.window,
        stop_atr=Fraction(bracket.stop_atr),
        target_stops=Fraction(bracket.target_stops),
        trail_atr=Fraction(bracket.trail_atr),
    )
