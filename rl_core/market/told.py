"""A bar as a broker tells it: its fills at the prices that it says, and what they do to the account."""

from collections.abc import Sequence
from typing import NamedTuple

from rl_core.market.account import equity, floor_after_close, floor_after_open_equity
from rl_core.market.broker import NOTHING_PLAYED, XP, BrokerState, BrokerStep, Fill, in_force, untouched
from rl_core.market.costs import stop_slippage
from rl_core.market.fills import (
    BarExit,
    OpenedBar,
    Venue,
    close_bar,
    closed_at_last_price,
    open_bar,
    with_limits_applied,
)
from rl_core.market.seconds import minute_exit
from rl_core.market.types import (
    DAILY_LOSS,
    EXIT_NAMES,
    FLATTEN,
    LIQUIDATION,
    NO_EXIT,
    NO_ORDER,
    STOP,
    TARGET,
    Account,
    BarOutcome,
    BarPrices,
    Code,
    Contracts,
    Order,
    Position,
)

ENTRY = "entry"
FLATTENING = Order(0, 0, 0, True)
EXITS: dict[str, Code] = {"stop": STOP, "target": TARGET}
"""What an exit is called by a broker -> why it was; another leg's reason follows from what we know."""


class ToldFill(NamedTuple):
    """One execution as the broker numbers and prices it, or the parts of one fill taken together."""

    execution: int  # of the last part
    leg: str  # entry, stop, target or other
    quantity: int  # contracts, signed as bought (+) or sold (-)
    price: int  # ticks
    ts_event_ns: int  # of an entry's first part, of an exit's last
    parts: int = 1
    rest: int = 0  # ticks x contracts that were paid beyond ``price``


class MeanPrice(NamedTuple):
    """What several parts were bought or sold at, in whole ticks."""

    price: int  # ticks, rounded in our favour
    rest: int  # ticks x contracts that were paid beyond it, less than one a contract


def mean_price(quantity: Contracts, total: int) -> MeanPrice:
    """The price of ``quantity`` contracts, signed as bought or sold, that came to ``total`` ticks x contracts."""
    contracts = abs(quantity)
    price = total // contracts if quantity > 0 else -(-total // contracts)
    return MeanPrice(price, abs(total - contracts * price))


def taken_together(parts: Sequence[ToldFill]) -> ToldFill:
    """Parts of one entry, or of one exit, as one fill at their mean price, rounded to a tick in our favour.

    The ``rest`` is what rounding leaves, less than a tick a contract: it is paid with the commission, so that the
    account is exact to the cent. The leg is that of the largest part.
    """
    if len(parts) == 1:
        return parts[0]
    quantity = sum(part.quantity for part in parts)
    mean = mean_price(quantity, sum(abs(part.quantity) * part.price for part in parts))
    largest = max(parts, key=lambda part: abs(part.quantity))
    at = parts[0] if largest.leg == ENTRY else parts[-1]
    return ToldFill(
        execution=parts[-1].execution,
        leg=largest.leg,
        quantity=quantity,
        price=mean.price,
        ts_event_ns=at.ts_event_ns,
        parts=sum(part.parts for part in parts),
        rest=mean.rest,
    )


def meet_as_told(
    state: BrokerState,
    told: Sequence[ToldFill],
    prices: BarPrices,
    venue: Venue,
    seconds: Sequence[BarPrices] = (),
    *,
    begun: Code = NO_EXIT,
) -> BrokerStep:
    """As `rl_core.market.broker.meet`, with the fills that were ``told`` in the place of computed ones.

    The order in ``state`` is the part of it that filled. Of the account, a bar says nothing beyond its prices: the
    floor is moved as `meet` moves it where both agree on the exit, else by the bar's best price. What an exit leaves
    open keeps its stop and target, and stays to be flattened where it was to be.

    Args:
        state: before the bar.
        told: at most an entry and an exit, in their order; the exit closes the position or a part of it.
        prices: ticks of the bar.
        venue: in force in it.
        seconds: of the bar, as for `meet`.
        begun: why a part of the position has left already by other than its stop and target.
    """
    if untouched(state):
        return BrokerStep(
            state._replace(order=NO_ORDER), (), BarOutcome(state.position, state.account, *NOTHING_PLAYED)
        )
    venue = in_force(state, venue)
    opened = open_bar(XP, state.position, state.account, state.order, prices, venue.terms)
    entry, leaving = _one_of(told, entry=True), _one_of(told, entry=False)
    if entry is not None:
        opened = _entered_at(opened, entry.price)
    opened = opened._replace(account=_less_rests(opened.account, told, venue))
    computed = minute_exit(opened, prices, seconds, venue)
    bracket = _exit_as_told(opened, computed, leaving, venue, begun)
    if leaving is not None and leaving.quantity != -opened.position.quantity:
        played = _left_in_part(opened, bracket, leaving.quantity, venue)
    else:
        played = close_bar(XP, opened._replace(flattens=False), bracket, venue)
    goes_on = opened.flattens and played.position.quantity
    return _stepped(played, state.executions, told, venue, FLATTENING if goes_on else NO_ORDER)


def enter_more(state: BrokerState, fill: ToldFill, venue: Venue) -> BrokerStep:
    """What a later part of its entry makes of an open position: the mean of both, and its bracket from there.

    The mean is rounded to a tick in our favour, and what that leaves is paid with the part's commission.
    """
    held = state.position
    quantity = held.quantity + fill.quantity
    mean = mean_price(quantity, abs(held.quantity) * held.entry + abs(fill.quantity) * fill.price)
    grown = _moved_to(held, mean.price)._replace(quantity=quantity)
    cost = abs(fill.quantity) * venue.terms.commission + (fill.rest + mean.rest) * venue.terms.tick_value
    account = state.account._replace(cash=state.account.cash - cost)
    told = Fill(fill.execution, fill.quantity, fill.price, cost, fill.ts_event_ns, ENTRY, fill.parts)
    after = BrokerState(account, grown, NO_ORDER, fill.execution)
    return BrokerStep(after, (told,), BarOutcome(grown, account, *NOTHING_PLAYED))


def end_as_told(state: BrokerState, told: Sequence[ToldFill], venue: Venue) -> BrokerStep:
    """As `rl_core.market.broker.end_session`: what was open has left at the price that was ``told``."""
    leaving = _one_of(told, entry=False)
    assert (leaving is not None) == bool(state.position.quantity), "what is open when a session ends is told to close"
    venue = in_force(state, venue)
    last = 0
    if leaving is not None:
        last = leaving.price + XP.sign(state.position.quantity) * stop_slippage(XP, venue.terms)
    played = closed_at_last_price(XP, state.position, _less_rests(state.account, told, venue), last, venue)
    return _stepped(played, state.executions, told, venue)


def _less_rests(account: Account, told: Sequence[ToldFill], venue: Venue) -> Account:
    """The account once it has paid what prices in whole ticks leave of fills in parts."""
    rests = sum(fill.rest for fill in told)
    return account._replace(cash=account.cash - rests * venue.terms.tick_value) if rests else account


def _one_of(told: Sequence[ToldFill], *, entry: bool) -> ToldFill | None:
    found = [fill for fill in told if (fill.leg == ENTRY) == entry]
    assert len(found) <= 1, "one entry and one exit are told of a bar"
    return found[0] if found else None


def _entered_at(opened: OpenedBar, price: int) -> OpenedBar:
    """Stop and target are offsets from the fill, wherever that was."""
    return opened._replace(position=_moved_to(opened.position, price))


def _moved_to(position: Position, price: int) -> Position:
    moved = price - position.entry
    return position._replace(entry=price, stop=position.stop + moved, target=position.target + moved)


def _left_in_part(opened: OpenedBar, bracket: BarExit, quantity: Contracts, venue: Venue) -> BarOutcome:
    """The bar's outcome where ``quantity`` contracts of the position left, and the others are open at its close.

    The balance has what the part came to. The floor follows it, and then the others at the bar's best price, which they
    may have seen after the part was gone.
    """
    held, account, _, bar = opened
    gone, stays = held._replace(quantity=-quantity), held._replace(quantity=held.quantity + quantity)
    cash = equity(account, gone, bracket.price, venue.terms) - abs(quantity) * venue.terms.commission
    after = account._replace(cash=cash, floor=floor_after_close(XP, bracket.floor, cash, venue.rules))
    best = equity(after, stays, bar.high if held.quantity > 0 else bar.low, venue.terms)
    after = after._replace(floor=floor_after_open_equity(XP, after.floor, best, venue.rules))
    # A day stands down once its trade is over: what is still open may lose again what the part has banked.
    ending = bracket.reason if bracket.reason in (LIQUIDATION, DAILY_LOSS) else NO_EXIT
    standing = with_limits_applied(XP, after, equity(after, stays, bar.close, venue.terms), ending, venue.rules)
    return BarOutcome(
        position=stays._replace(bars_held=held.bars_held + 1),
        account=standing.account,
        entry_price=held.entry,
        exit_quantity=gone.quantity,
        exit_price=bracket.price,
        exit_reason=bracket.reason,
        risk=abs(held.quantity) * held.stop_ticks * venue.terms.tick_value,
        failed=standing.failed,
        ambiguous=bracket.ambiguous,
    )


def _exit_as_told(opened: OpenedBar, computed: BarExit, leaving: ToldFill | None, venue: Venue, begun: Code) -> BarExit:
    if leaving is None and computed.reason == NO_EXIT:
        return computed
    if leaving is None:
        return BarExit(0, NO_EXIT, _floor_at_best(opened, venue), False)
    reason = _reason(leaving, opened, computed, begun)
    if reason == FLATTEN:
        at_open = equity(opened.account, opened.position, opened.bar.open, venue.terms)
        return BarExit(
            leaving.price, reason, floor_after_open_equity(XP, opened.account.floor, at_open, venue.rules), False
        )
    if reason == computed.reason:
        return computed._replace(price=leaving.price)
    return BarExit(leaving.price, reason, _floor_at_best(opened, venue), False)


def _reason(leaving: ToldFill, opened: OpenedBar, computed: BarExit, begun: Code) -> Code:
    """Why a position left; one that nobody of us closed was closed by the firm, as its rules or its own word say.

    What was ``begun`` goes on for the reason that it had: the rest of a position that the firm closes may meet a bar
    that says nothing of it.
    """
    if leaving.leg in EXITS:
        return EXITS[leaving.leg]
    if begun != NO_EXIT:
        return begun
    if opened.flattens:
        return FLATTEN
    return computed.reason if computed.reason == DAILY_LOSS else LIQUIDATION


def _floor_at_best(opened: OpenedBar, venue: Venue) -> int:
    """The floor after the bar's best price, at most the target: the highest that any order of its prices leaves."""
    position, bar = opened.position, opened.bar
    best = min(bar.high, position.target) if position.quantity > 0 else max(bar.low, position.target)
    open_equity = equity(opened.account, position, best, venue.terms)
    return int(floor_after_open_equity(XP, opened.account.floor, open_equity, venue.rules))


def _stepped(
    played: BarOutcome, executions: int, told: Sequence[ToldFill], venue: Venue, order: Order = NO_ORDER
) -> BrokerStep:
    fills = tuple(
        Fill(
            execution=fill.execution,
            quantity=fill.quantity,
            price=fill.price,
            commission=abs(fill.quantity) * venue.terms.commission + fill.rest * venue.terms.tick_value,
            ts_event_ns=fill.ts_event_ns,
            reason=ENTRY if fill.leg == ENTRY else EXIT_NAMES[played.exit_reason],
            parts=fill.parts,
        )
        for fill in told
    )
    last = told[-1].execution if told else executions
    return BrokerStep(BrokerState(played.account, played.position, order, last), fills, played)
