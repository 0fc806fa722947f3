"""Whether a rule pack says what its source prints: its examples, and the arithmetic that every pack must obey."""

from collections.abc import Iterator
from decimal import Decimal

from rl_core.market.account import after_session, floor_after_open_equity, opened_day, opening_account
from rl_core.market.types import UNLIMITED, Account, PlainIntegers, Rules
from rl_core.rules.fields import Example
from rl_core.rules.pack import RulePack

XP = PlainIntegers()


def pack_faults(pack: RulePack) -> list[str]:
    """What is wrong with the pack; nothing, if it is in order."""
    rules = pack.compiled()
    return [*_shape_faults(pack, rules), *(fault for example in pack.examples for fault in _faults(example, rules))]


def next_day(rules: Rules, *, peak: int | None = None, close: int | None = None) -> Account:
    """A new account after one day that saw ``peak`` cents of open equity and closed at ``close`` cents."""
    account = opening_account(XP, rules)
    for open_equity in (account.cash, peak, close):
        if open_equity is not None:
            account = account._replace(floor=floor_after_open_equity(XP, account.floor, open_equity, rules))
    closed = account._replace(cash=account.cash if close is None else close)
    return opened_day(XP, after_session(XP, closed, rules), rules)


def _faults(example: Example, rules: Rules) -> Iterator[str]:
    peak, close = _cents(example.peak), _cents(example.close)
    account = next_day(rules, peak=peak, close=close)
    computed = {
        "floor": account.floor,
        "max_mini": account.max_minis * 100,
        "daily_loss": None if account.day_floor == -UNLIMITED else account.cash - account.day_floor,
    }
    day = f"a day with a peak of {example.peak or '-'} and a close of {example.close or '-'}"
    for name, cents in computed.items():
        stated = getattr(example, name)
        if stated is not None and cents != int(stated * 100):
            dollars = "none" if cents is None else f"{Decimal(cents) / 100:,f}"
            yield f"{day}: {name} is {dollars}, the example says {stated:,}"


def _shape_faults(pack: RulePack, rules: Rules) -> Iterator[str]:
    account = opening_account(XP, rules)
    if account.cash - account.floor != rules.max_loss or rules.max_loss >= rules.start:
        yield "the opening floor is not start - max_loss.amount above zero"
    if min(rules.floor_cap, rules.lock_at_close - rules.max_loss) < account.floor:
        yield "the floor would lock below where it opens"
    if rules.min_days > rules.max_days:
        yield "days.min is more than days.max"
    if pack.consistency is not None and pack.consistency.scope == "pass" and pack.target is None:
        yield "consistency blocks a pass, and there is no target to pass"


def _cents(dollars: Decimal | None) -> int | None:
    return None if dollars is None else int(dollars * 100)
