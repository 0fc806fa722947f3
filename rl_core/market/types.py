"""The values that cross one bar: plain integers in the broker, int32 arrays [B] in the environments.

Prices are integer ticks, money is integer cents. ``Int`` and ``Bool`` below stand for either form.
"""

from typing import Any, NamedTuple, Protocol, TypeAlias

Int: TypeAlias = Any
Bool: TypeAlias = Any

NO_EXIT, STOP, TARGET, LIQUIDATION, FLATTEN, SESSION_END, DAILY_LOSS = range(7)
EXIT_NAMES = ("none", "stop", "target", "liquidation", "flatten", "session_end", "daily_loss")

STATIC, EOD_BALANCE, CLOSED_BALANCE, INTRADAY = range(4)
PESSIMISTIC, ADAPTIVE, SECONDS = range(3)
UNLIMITED = 2**30  # cents or days: more than any account sees, and no sum of two overflows an int32
NEVER_LOCKS = UNLIMITED
ANY_MINIS = 10_000
ANY_PERCENT = 1_000_000


class Namespace(Protocol):
    """The part of an array namespace that the market needs; `jax.numpy` or `PlainIntegers`."""

    def where(self, condition: Bool, if_true: Int, if_false: Int, /) -> Int:
        """Elementwise choice."""

    def minimum(self, a: Int, b: Int, /) -> Int:
        """Elementwise smaller."""

    def maximum(self, a: Int, b: Int, /) -> Int:
        """Elementwise larger."""

    def abs(self, a: Int, /) -> Int:
        """Elementwise magnitude."""

    def sign(self, a: Int, /) -> Int:
        """Elementwise -1, 0 or 1."""

    def logical_not(self, a: Bool, /) -> Bool:
        """Elementwise negation."""


class PlainIntegers:
    """The namespace of Python's own integers, so that the orchestrator never imports JAX."""

    @staticmethod
    def where(condition: bool, if_true: int, if_false: int, /) -> int:
        """``if_true`` where the condition holds."""
        return if_true if condition else if_false

    @staticmethod
    def minimum(a: int, b: int, /) -> int:
        """The smaller."""
        return min(a, b)

    @staticmethod
    def maximum(a: int, b: int, /) -> int:
        """The larger."""
        return max(a, b)

    @staticmethod
    def abs(a: int, /) -> int:
        """The magnitude."""
        return -a if a < 0 else a

    @staticmethod
    def sign(a: int, /) -> int:
        """-1, 0 or 1."""
        return (a > 0) - (a < 0)

    @staticmethod
    def logical_not(a: bool, /) -> bool:
        """The negation."""
        return not a


class BarPrices(NamedTuple):
    """Ticks of one bar."""

    open: Int
    high: Int
    low: Int
    close: Int


class Terms(NamedTuple):
    """What trading one contract costs."""

    tick_value: Int  # cents per tick
    commission: Int  # cents per side
    slippage_ticks: Int  # lost by market and stop orders, at least 1


class Frictions(NamedTuple):
    """What fills cost beyond fixed ticks, and how much of an entry a bar can fill."""

    by_minute: Any  # [1440] ticks of slippage by the ET minute that a bar begins in
    atr_milli: Int  # thousandths of ATR14 that slippage is at least
    volume_milli: Int  # thousandths of a bar's volume that an entry may take; 0 = any size fills


class Tier(NamedTuple):
    """What a day may do whose account opened with at least this profit."""

    from_profit: Int  # cents above start at the last close; the first tier holds below it too
    max_minis: Int
    daily_loss: Int  # cents, UNLIMITED without a limit


ANY_SIZE = (Tier(-UNLIMITED, ANY_MINIS, UNLIMITED),) * 4


class Rules(NamedTuple):
    """A rule pack, compiled to integers; every field is traced, so that one compilation serves every pack."""

    start: Int  # cents
    target: Int  # cents of profit that pass the evaluation
    max_loss: Int  # cents between the ratchet's reference and the floor
    ratchet: Int  # STATIC | EOD_BALANCE | CLOSED_BALANCE | INTRADAY
    floor_cap: Int  # cents; the floor locks here, NEVER_LOCKS if it never does
    lock_at_close: Int = NEVER_LOCKS  # cents; from this closing balance on the floor stays where it is
    kills_open: Int = 1  # 1: open equity at the floor ends the account; 0: only the closed balance does
    tiers: tuple[Tier, Tier, Tier, Tier] = ANY_SIZE  # by rising profit, the last repeated
    daily_percent: Int = 0  # hundredths of a percent of the day's opening balance: a daily loss besides the tier's
    daily_counts_open: Int = 1  # 1: open equity counts against the daily loss
    daily_fails: Int = 0  # 1: the daily loss ends the account; 0: it ends the day
    open_loss_percent: Int = 0  # of the profit at the day's opening that one trade may lose; 0: no such rule
    open_loss_raised_percent: Int = 0  # the same once ...
    open_loss_raised_at: Int = UNLIMITED  # ... the day opened with this profit, cents
    open_loss_base: Int = 0  # cents; the profit counts as at least so much
    min_days: Int = 0  # days with a trade before the target passes
    max_days: Int = UNLIMITED  # calendar days that an attempt may last
    best_day_percent: Int = ANY_PERCENT  # of the whole profit that the best day may be
    best_day_inclusive: Int = 1  # 0: it must stay below the percentage
    best_day_blocks_pass: Int = 0  # 1: an inconsistent attempt does not pass; 0: only a payout is blocked
    winning_day: Int = 1  # cents that a day must earn to count as won
    payout_days: Int = 0  # days with a trade before a payout
    payout_winning_days: Int = 0


class Limits(NamedTuple):
    """What one trade may risk."""

    risk_budget: Int  # cents
    max_quantity: Int  # contracts
    per_mini: Int = 1  # contracts that count as one mini
    max_stop_percent: Int = ANY_PERCENT  # stop distance in percent of the target's


class Position(NamedTuple):
    """An open bracket; every field is 0 when flat."""

    quantity: Int  # contracts, signed
    entry: Int  # ticks, the fill
    stop: Int  # ticks
    target: Int  # ticks
    stop_ticks: Int  # the first stop's distance: the trade's risk
    trailing: Int  # 1 while the stop trails
    bars_held: Int


class Account(NamedTuple):
    """Closed balance after costs, the drawdown floor that ends the account, and what the rules allow today."""

    cash: Int  # cents
    floor: Int  # cents
    day_floor: Int = -UNLIMITED  # cents; where the daily loss limit is touched
    max_open_loss: Int = UNLIMITED  # cents that one trade may lose today
    max_minis: Int = ANY_MINIS  # today
    paused: Int = 0  # 1: no entries before the next trading day
    locked: Int = 0  # 1: the floor moves no more


class Order(NamedTuple):
    """What was decided at the last close and fills at this bar's open."""

    quantity: Int  # contracts, signed; 0 = no entry
    stop_ticks: Int  # offset of the stop from the fill
    target_ticks: Int  # offset of the target from the fill
    flatten: Bool  # close what is open


class Played(NamedTuple):
    """One bar, played."""

    position: Position
    account: Account
    entry_price: Int  # ticks; meaningful where the order entered
    exit_quantity: Int  # contracts closed, signed as the position was; 0 = none
    exit_price: Int  # ticks; 0 = none
    exit_reason: Int  # NO_EXIT ... SESSION_END
    risk: Int  # cents that the trade of this bar put at risk; 0 = no trade
    failed: Bool  # the floor was touched, or a daily loss that ends the account
    ambiguous: Bool  # stop and target were both in reach: the resolution decided


FLAT = Position(0, 0, 0, 0, 0, 0, 0)
NO_ORDER = Order(0, 0, 0, False)
