"""The values that cross one bar: plain integers in the broker, int32 arrays [B] in the environments.

Prices are integer ticks and money is integer cents (DECISIONS 2). The aliases below name the unit of a value and leave
its form open: each stands for one Python integer, or for an array [B] with one value for each of B accounts. They are
``Any`` to the type checker, because no type covers both forms; a reader learns the unit, and the form follows from the
caller.
"""

from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

Ticks: TypeAlias = Any  # a price, or a distance between prices
Cents: TypeAlias = Any  # money
CentsPerTick: TypeAlias = Any
Contracts: TypeAlias = Any  # signed in an order and a position: bought > 0, sold < 0
BarCount: TypeAlias = Any
DayCount: TypeAlias = Any
Minute: TypeAlias = Any  # of the exchange's day, 0 to 1439
Percent: TypeAlias = Any
Thousandths: TypeAlias = Any
Code: TypeAlias = Any  # one of the named integers below
Flag: TypeAlias = Any  # 1 or 0
Number: TypeAlias = Any  # an integer of any unit
Bool: TypeAlias = Any

Fields = TypeVar("Fields", bound=tuple[Any, ...])  # a named tuple

NO_EXIT, STOP, TARGET, LIQUIDATION, FLATTEN, SESSION_END, DAILY_LOSS = range(7)
EXIT_NAMES = ("none", "stop", "target", "liquidation", "flatten", "session_end", "daily_loss")

STATIC, EOD_BALANCE, CLOSED_BALANCE, INTRADAY = range(4)
PESSIMISTIC, ADAPTIVE, SECONDS = range(3)
NOT_PAUSED, AT_DAILY_LOSS, AT_TARGET = range(3)  # why an account takes no entry before the next trading day
UNLIMITED = 2**30  # cents or days: more than any account sees, and no sum of two overflows an int32
NEVER_LOCKS = UNLIMITED
ANY_MINIS = 10_000
ANY_PERCENT = 1_000_000


class Namespace(Protocol):
    """The part of an array namespace that the market needs; `jax.numpy` or `PlainIntegers`."""

    def where(self, condition: Bool, if_true: Number, if_false: Number, /) -> Number:
        """Elementwise choice."""

    def minimum(self, a: Number, b: Number, /) -> Number:
        """Elementwise smaller."""

    def maximum(self, a: Number, b: Number, /) -> Number:
        """Elementwise larger."""

    def abs(self, a: Number, /) -> Number:
        """Elementwise magnitude."""

    def sign(self, a: Number, /) -> Number:
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
        return a if a < b else b

    @staticmethod
    def maximum(a: int, b: int, /) -> int:
        """The larger."""
        return a if a > b else b

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


def chosen(xp: Namespace, condition: Bool, if_true: Fields, if_false: Fields) -> Fields:
    """Each field of ``if_true`` where the condition holds, else of ``if_false``."""
    if isinstance(xp, PlainIntegers):
        return if_true if condition else if_false
    return type(if_false)(*(xp.where(condition, a, b) for a, b in zip(if_true, if_false, strict=True)))


class BarPrices(NamedTuple):
    """Ticks of one bar."""

    open: Ticks
    high: Ticks
    low: Ticks
    close: Ticks


class Terms(NamedTuple):
    """What trading one contract costs."""

    tick_value: CentsPerTick
    commission: Cents  # per side and contract
    slippage_ticks: Ticks  # lost by market and stop orders, at least 1


class Frictions(NamedTuple):
    """What fills cost beyond fixed ticks, and how much of an entry a bar can fill."""

    by_minute: Any  # [1440] ticks of slippage by the ET minute that a bar begins in
    atr_milli: Thousandths  # thousandths of the ATR that slippage is at least
    volume_milli: Thousandths  # thousandths of a bar's volume that an entry may take; 0 = any size fills
    atr_bars: BarCount = 14  # whose true ranges are summed


class Tier(NamedTuple):
    """What a day may do whose account opened with at least this profit."""

    from_profit: Cents  # above start at the last close; the first tier holds below it too
    max_minis: Contracts
    daily_loss: Cents  # UNLIMITED without a limit


ANY_SIZE = (Tier(-UNLIMITED, ANY_MINIS, UNLIMITED),) * 4


class Rules(NamedTuple):
    """A rule pack, compiled to integers; every field is traced, so that one compilation serves every pack."""

    start: Cents
    target: Cents  # of profit that pass the evaluation
    max_loss: Cents  # between the ratchet's reference and the floor
    ratchet: Code  # STATIC | EOD_BALANCE | CLOSED_BALANCE | INTRADAY
    floor_cap: Cents  # the floor locks here, NEVER_LOCKS if it never does
    lock_at_close: Cents = NEVER_LOCKS  # from this closing balance on the floor stays where it is
    kills_open: Flag = 1  # 1: open equity at the floor ends the account; 0: only the closed balance does
    tiers: tuple[Tier, Tier, Tier, Tier] = ANY_SIZE  # by rising profit, the last repeated
    daily_percent: Number = 0  # hundredths of a percent of the day's opening balance: a daily loss besides the tier's
    daily_counts_open: Flag = 1  # 1: open equity counts against the daily loss
    daily_fails: Flag = 0  # 1: the daily loss ends the account; 0: it ends the day
    open_loss_percent: Percent = 0  # of the profit at the day's opening that one trade may lose; 0: no such rule
    open_loss_raised_percent: Percent = 0  # the same once ...
    open_loss_raised_at: Cents = UNLIMITED  # ... the day opened with this profit
    open_loss_base: Cents = 0  # the profit counts as at least so much
    min_days: DayCount = 0  # days with a trade before the target passes
    max_days: DayCount = UNLIMITED  # calendar days that an attempt may last
    best_day_percent: Percent = ANY_PERCENT  # of the whole profit that the best day may be
    best_day_inclusive: Flag = 1  # 0: it must stay below the percentage
    best_day_blocks_pass: Flag = 0  # 1: an inconsistent attempt does not pass; 0: only a payout is blocked
    winning_day: Cents = 1  # cents that a day must earn to count as won
    payout_days: DayCount = 0  # days with a trade before a payout
    payout_winning_days: DayCount = 0
    # Of `trading.at_target` alone (DECISIONS 18); 1: a trade that leaves the target banked is the session's last.
    stand_down: Flag = 1


class Limits(NamedTuple):
    """What one trade may risk."""

    risk_budget: Cents
    max_quantity: Contracts
    per_mini: Contracts = 1  # contracts that count as one mini
    max_stop_percent: Percent = ANY_PERCENT  # stop distance in percent of the target's


class Position(NamedTuple):
    """An open bracket; every field is 0 when flat."""

    quantity: Contracts  # signed
    entry: Ticks  # the fill
    stop: Ticks
    target: Ticks
    stop_ticks: Ticks  # the first stop's distance: the trade's risk
    trailing: Flag  # 1 while the stop trails
    bars_held: BarCount


class Account(NamedTuple):
    """Closed balance after costs, the drawdown floor that ends the account, and what the rules allow today."""

    cash: Cents
    floor: Cents
    day_floor: Cents = -UNLIMITED  # where the daily loss limit is touched
    max_open_loss: Cents = UNLIMITED  # cents that one trade may lose today
    max_minis: Contracts = ANY_MINIS  # today
    paused: Code = NOT_PAUSED  # AT_DAILY_LOSS | AT_TARGET: no entries before the next trading day
    locked: Flag = 0  # 1: the floor moves no more


class Bracket(NamedTuple):
    """A stop and a target of one's own, as distances from the fill."""

    stop_ticks: Ticks
    target_ticks: Ticks


class Order(NamedTuple):
    """What was decided at the last close and fills at this bar's open."""

    quantity: Contracts  # signed; 0 = no entry
    stop_ticks: Ticks  # offset of the stop from the fill
    target_ticks: Ticks  # offset of the target from the fill
    flatten: Bool  # close what is open


class BarOutcome(NamedTuple):
    """One bar, played."""

    position: Position
    account: Account
    entry_price: Ticks  # meaningful where the order entered
    exit_quantity: Contracts  # closed, signed as the position was; 0 = none
    exit_price: Ticks  # 0 = none
    exit_reason: Code  # NO_EXIT ... SESSION_END
    risk: Cents  # that the trade of this bar put at risk; 0 = no trade
    failed: Bool  # the floor was touched, or a daily loss that ends the account
    ambiguous: Bool  # stop and target were both in reach: the resolution decided


FLAT = Position(0, 0, 0, 0, 0, 0, 0)
NO_ORDER = Order(0, 0, 0, False)
