"""The fields of a rule pack, in dollars and words as firms print them."""

from decimal import Decimal
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

CLOCK = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
MAX_TIERS = 4
Dollars = Decimal


class Section(BaseModel):
    """A table of a pack; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MaxLoss(Section):
    """The drawdown floor."""

    amount: Dollars = Field(gt=0, description="between the reference and the floor")
    ratchet: Literal["static", "eod_balance", "closed_balance", "intraday_unrealized"]
    kill_on_open_equity: bool = Field(True, description="false: only a closed balance at the floor ends the account")
    lock: Literal["never", "start_plus", "target_balance"] = "never"
    lock_offset: Dollars = Field(Decimal(0), description="above start, where the floor locks (start_plus)")
    lock_trigger: Literal["peak_equity", "eod_balance"] = Field(
        "peak_equity", description="what must reach the lock plus the amount"
    )


class DailyLoss(Section):
    """What one trading day may lose, counted from the balance at its opening."""

    amount: Dollars | None = Field(None, gt=0)
    percent: Decimal | None = Field(None, gt=0, le=100, decimal_places=2)
    base: Literal["start", "day_opening"] = Field("day_opening", description="what the percentage is of")
    includes_open: bool = True
    action: Literal["pause", "fail"]
    reset: Literal["18:00"] = Field("18:00", description="ET; the opening of the trading day")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.amount is None) == (self.percent is None):
            raise ValueError("give either amount or percent")
        return self


class SizeTier(Section):
    """What a day may do whose account opened with at least this profit."""

    from_profit: Dollars = Field(ge=0, description="at the last close; the first tier also holds below it")
    max_mini: int = Field(gt=0)
    daily_loss: Dollars | None = Field(None, gt=0, description="none: the pack's own, if any")


class Contracts(Section):
    """How much may be held."""

    max_mini: int = Field(gt=0)
    micros_per_mini: int = Field(10, gt=0)
    tiers: tuple[SizeTier, ...] = Field((), max_length=MAX_TIERS)

    @model_validator(mode="after")
    def _tiers_rise(self) -> Self:
        bounds = [tier.from_profit for tier in self.tiers]
        if bounds != sorted(set(bounds)) or (bounds and bounds[0] != 0):
            raise ValueError("tiers must start at from_profit = 0 and rise")
        if any(tier.max_mini > self.max_mini for tier in self.tiers):
            raise ValueError("a tier holds more than max_mini")
        return self


class DaysSection(Section):
    """How long an attempt takes, at least and at most."""

    min: int = Field(0, ge=0, description="trading days with a trade before the target passes")
    max: int | None = Field(None, gt=0, description="calendar days from the first one on")
    start: Literal["18:00"] = Field("18:00", description="ET; when the trading day opens")


class Session(Section):
    """When everything must be flat, exchange time."""

    flat_by: str = Field(pattern=CLOCK, description="ET")
    early_close_margin_minutes: int = Field(1, ge=0)
    hold_over_close: bool = Field(False, description="allowed by the firm; this program never does")


class Consistency(Section):
    """How much of the whole profit the best day may be."""

    percent: int = Field(gt=0, le=100)
    inclusive: bool = Field(True, description="false: the best day must stay below the percentage")
    basis: Literal["net_profit"] = "net_profit"
    scope: Literal["pass", "payout"] = Field(description="what an inconsistent account may not do")


class OpenLoss(Section):
    """What one trade may lose while it is open, as a share of the profit at the day's opening."""

    percent: int = Field(gt=0, le=100)
    raised_percent: int | None = Field(None, gt=0, le=100)
    raised_at_profit: Dollars | None = Field(None, gt=0)
    while_small: Literal["profit", "max_loss"] = Field(
        "profit", description="max_loss: the share is of the drawdown while the profit is less than it"
    )

    @model_validator(mode="after")
    def _raised_whole(self) -> Self:
        if (self.raised_percent is None) != (self.raised_at_profit is None):
            raise ValueError("raised_percent and raised_at_profit go together")
        return self


class TradeSection(Section):
    """What every trade must obey."""

    stop_required: bool = False
    max_stop_to_target: Decimal | None = Field(None, gt=0, decimal_places=2, description="stop distance over target's")
    open_loss: OpenLoss | None = None
    one_direction: bool = Field(False, description="no hedge; always so here: one position in one contract")


class Payout(Section):
    """What a payout asks for; payouts themselves are not simulated."""

    min_days: int = Field(0, ge=0, description="trading days with a trade")
    min_winning_days: int = Field(0, ge=0)
    winning_day: Dollars = Field(Decimal(0), ge=0, description="the least that a winning day earns")


class Fees(Section):
    """What the account costs; shown, and in no profit of a run."""

    evaluation: Dollars | None = Field(None, ge=0)
    activation: Dollars | None = Field(None, ge=0)
    reset: Dollars | None = Field(None, ge=0)
    monthly: Dollars | None = Field(None, ge=0)


class Example(Section):
    """A printed example of the drawdown: one day that peaks and closes, and where that leaves the account."""

    peak: Dollars | None = Field(None, description="highest open equity of the day")
    close: Dollars | None = Field(None, description="balance at the day's end; none: as it opened")
    floor: Dollars | None = None
    max_mini: int | None = Field(None, description="allowed on the next day")
    daily_loss: Dollars | None = Field(None, description="allowed on the next day")
