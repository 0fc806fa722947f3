"""A funded account's rule pack: read from `configs/rules/`, compiled to integers once."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rl_core.exchange.instruments import Instrument
from rl_core.market.types import (
    ANY_PERCENT,
    CLOSED_BALANCE,
    EOD_BALANCE,
    INTRADAY,
    NEVER_LOCKS,
    STATIC,
    UNLIMITED,
    Limits,
    Rules,
    Terms,
    Tier,
)
from rl_core.rules.fields import (
    MAX_TIERS,
    Consistency,
    Contracts,
    DailyLoss,
    DaysSection,
    Dollars,
    Example,
    Fees,
    MaxLoss,
    Payout,
    Section,
    Session,
    SizeTier,
    TradeSection,
)
from rl_core.rules.files import pack_content
from trigate.errors import RefusedError
from trigate.toml_config import validated

RATCHETS = {
    "static": STATIC,
    "eod_balance": EOD_BALANCE,
    "closed_balance": CLOSED_BALANCE,
    "intraday_unrealized": INTRADAY,
}
STALE_DAYS = 90
REHEARSALS = ("sim", "paper", "replay", "advisory")


class RulePack(Section):
    """One dated reading of a firm's rules; money in dollars as printed there."""

    name: str
    as_of: date
    sources: tuple[str, ...] = Field(min_length=1)
    confidence: str
    effective: str
    start: Dollars = Field(gt=0, le=1_000_000)
    target: Dollars | None = Field(None, gt=0, description="net profit that passes; none: nothing to pass")
    max_loss: MaxLoss
    daily_loss: DailyLoss | None = None
    contracts: Contracts
    days: DaysSection = DaysSection()
    session: Session
    consistency: Consistency | None = None
    trade: TradeSection = TradeSection()
    payout: Payout | None = None
    fees: Fees | None = None
    automation: Literal["banned", "restricted", "allowed", "unknown"]
    not_simulated: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> "RulePack":
        if self.max_loss.lock == "target_balance" and self.target is None:
            raise ValueError("max_loss.lock = 'target_balance' needs a target")
        if self.daily_loss is None and any(tier.daily_loss for tier in self.contracts.tiers):
            raise ValueError("a tier's daily_loss needs the table daily_loss with its action")
        return self

    def compiled(self) -> Rules:
        """The pack as the integers that environment, broker, mask, guard and report share."""
        start, loss = _cents(self.start), _cents(self.max_loss.amount)
        target = UNLIMITED if self.target is None else _cents(self.target)
        cap = {
            "never": NEVER_LOCKS,
            "start_plus": start + _cents(self.max_loss.lock_offset),
            "target_balance": start + target,
        }[self.max_loss.lock]
        at_close = self.max_loss.lock_trigger == "eod_balance" and self.max_loss.lock != "never"
        rules = Rules(
            start=start,
            target=target,
            max_loss=loss,
            ratchet=RATCHETS[self.max_loss.ratchet],
            floor_cap=NEVER_LOCKS if at_close else cap,
            lock_at_close=cap + loss if at_close else NEVER_LOCKS,
            kills_open=int(self.max_loss.kill_on_open_equity),
            tiers=self._tiers(),
            min_days=self.days.min,
            max_days=self.days.max or UNLIMITED,
        )
        return self._with_payout(self._with_open_loss(self._with_daily_loss(rules)))

    def _tiers(self) -> tuple[Tier, Tier, Tier, Tier]:
        whole = SizeTier(from_profit=Decimal(0), max_mini=self.contracts.max_mini)
        tiers = list(self.contracts.tiers) or [whole]
        tiers += tiers[-1:] * (MAX_TIERS - len(tiers))
        first, second, third, fourth = (
            Tier(from_profit=_cents(tier.from_profit), max_minis=tier.max_mini, daily_loss=self._tier_loss(tier))
            for tier in tiers
        )
        return first, second, third, fourth

    def _tier_loss(self, tier: SizeTier) -> int:
        daily = self.daily_loss
        if tier.daily_loss is not None:
            return _cents(tier.daily_loss)
        if daily is None:
            return UNLIMITED
        if daily.amount is not None:
            return _cents(daily.amount)
        return int(self.start * (daily.percent or 0)) if daily.base == "start" else UNLIMITED

    def _with_daily_loss(self, rules: Rules) -> Rules:
        daily = self.daily_loss
        if daily is None:
            return rules
        by_day = daily.percent is not None and daily.base == "day_opening"
        return rules._replace(
            daily_percent=int((daily.percent or 0) * 100) if by_day else 0,
            daily_counts_open=int(daily.includes_open),
            daily_fails=int(daily.action == "fail"),
        )

    def _with_open_loss(self, rules: Rules) -> Rules:
        share = self.trade.open_loss
        if share is None:
            return rules
        raised_at = UNLIMITED if share.raised_at_profit is None else _cents(share.raised_at_profit)
        return rules._replace(
            open_loss_percent=share.percent,
            open_loss_raised_percent=share.raised_percent or share.percent,
            open_loss_raised_at=raised_at,
            open_loss_base=rules.max_loss if share.while_small == "max_loss" else 0,
        )

    def _with_payout(self, rules: Rules) -> Rules:
        best, payout = self.consistency, self.payout
        if best is not None:
            rules = rules._replace(
                best_day_percent=best.percent,
                best_day_inclusive=int(best.inclusive),
                best_day_blocks_pass=int(best.scope == "pass"),
            )
        if payout is None:
            return rules
        return rules._replace(
            winning_day=max(1, _cents(payout.winning_day)),
            payout_days=payout.min_days,
            payout_winning_days=payout.min_winning_days,
        )

    def contracts_per_mini(self, contract: Instrument) -> int:
        """Contracts of ``contract`` that count as one mini."""
        return self.contracts.micros_per_mini if contract.is_micro else 1

    def max_quantity(self, contract: Instrument) -> int:
        """Contracts of ``contract`` that may be held at once."""
        return self.contracts.max_mini * self.contracts_per_mini(contract)

    @property
    def flat_minute(self) -> int:
        """Minute of the ET day by which everything is flat."""
        hour, minute = self.session.flat_by.split(":")
        return int(hour) * 60 + int(minute)

    def stale(self, today: date) -> bool:
        """Whether the reading is older than 90 days."""
        return (today - self.as_of).days > STALE_DAYS

    def staleness(self, today: date) -> str | None:
        """The warning of a reading older than 90 days, or None."""
        days = (today - self.as_of).days
        if not self.stale(today):
            return None
        return f"rules {self.name!r} were read on {self.as_of}, {days} days ago (more than {STALE_DAYS}); check them"


def _cents(dollars: Decimal) -> int:
    return int(dollars * 100)


def read_rule_pack(path: Path) -> RulePack:
    """The rule pack in ``path``: a file, or ``family.toml#pack`` for one pack of a family.

    Raises:
        ConfigError: the file is missing, not TOML, holds no such pack, or a key or value is wrong.
    """
    return validated(RulePack, pack_content(path), str(path))


def refuse_sending(pack: RulePack, mode: str) -> None:
    """Let only a rehearsal go on, unless the firm allows automated trading without reserve.

    Raises:
        RefusedError: ``mode`` sends orders, and the pack does not say ``allowed``.
    """
    if mode in REHEARSALS or pack.automation == "allowed":
        return
    why = {
        "banned": "bans automated trading",
        "restricted": "restricts automated trading, and no program can tell whether you meet its terms",
        "unknown": "may ban automated trading: its pack says unknown",
    }
    raise RefusedError(
        f"mode {mode!r}: {pack.name}: the firm {why[pack.automation]}; no order is sent. "
        f"What remains: {', '.join(REHEARSALS)}"
    )


def relaxed(rules: Rules) -> Rules:
    """``rules`` under which no account fails: no floor comes near and a daily loss ends the day alone."""
    far = UNLIMITED // 2
    return rules._replace(
        max_loss=far, ratchet=STATIC, floor_cap=NEVER_LOCKS, lock_at_close=NEVER_LOCKS, kills_open=0, daily_fails=0
    )


def terms_of(contract: Instrument, commission: int | None = None) -> Terms:
    """What trading one contract costs; ``commission`` in cents per side replaces the contract's own."""
    return Terms(
        tick_value=contract.tick_value,
        commission=contract.commission if commission is None else commission,
        slippage_ticks=contract.slippage_ticks,
    )


def limits_of(pack: RulePack, contract: Instrument, risk_budget: int, max_quantity: int | None = None) -> Limits:
    """What one trade may risk: the budget in cents, and the smaller of the pack's and the configured size."""
    allowed, ratio = pack.max_quantity(contract), pack.trade.max_stop_to_target
    return Limits(
        risk_budget=risk_budget,
        max_quantity=allowed if max_quantity is None else min(allowed, max_quantity),
        per_mini=pack.contracts_per_mini(contract),
        max_stop_percent=ANY_PERCENT if ratio is None else int(ratio * 100),
    )
