"""Very many attempts at once: the sessions of a tape, in any order; NumPy over lanes, one lane an attempt.

Packs whose rules differ in amounts alone are played beside each other: few long arrays cost less than many short ones.
Lanes meet the functions of `rl_core.market.account` at the moments at which `rl_core.market.attempts` calls them; the
inside of a trade is read from the tape instead of from bars.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from rl_core.evaluation.tapes import Tape
from rl_core.market.account import (
    after_session,
    floor_after_close,
    floor_after_open_equity,
    opened_day,
    rules_in_force,
)
from rl_core.market.types import (
    ANY_PERCENT,
    ANY_SIZE,
    AT_DAILY_LOSS,
    AT_TARGET,
    CLOSED_BALANCE,
    INTRADAY,
    NEVER_LOCKS,
    NOT_PAUSED,
    Account,
    Limits,
    Namespace,
    Rules,
    Terms,
)

XP = cast(Namespace, np)
ACTIVE, PASSED, FLOOR, DAILY_LOSS, NO_ROOM, OUT_OF_DAYS = range(6)
AMOUNTS = (
    *("start", "target", "max_loss", "floor_cap", "lock_at_close", "tiers", "min_days", "max_days"),
    *("open_loss_raised_at", "open_loss_base"),
)
LANES = 40_000  # played beside each other: more do not fit the processor's caches
ENDINGS = ("open", "passed", "floor", "daily_loss", "no_room", "out_of_days")

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Setting(NamedTuple):
    """What an attempt is played under: scalars, or of lanes of several packs arrays [L] where those differ."""

    rules: Rules
    limits: Limits
    terms: Terms
    halved_under: int = 0  # thousandths of the trade's risk: an entry that finds less room to the floor is halved

    def where(self, which: Any) -> "Setting":
        """That of some lanes; what differs between settings of one kind are amounts and limits."""
        rules = self.rules
        amounts = {
            name: _picked(value, which) for name in AMOUNTS if not isinstance(value := getattr(rules, name), int)
        }
        return self._replace(rules=rules._replace(**amounts), limits=_picked(self.limits, which))

    @property
    def of_attempts(self) -> "Setting":
        """The same without what no attempt meets: the days of a payout, and a best day that blocks only those."""
        rules = self.rules._replace(winning_day=0, payout_days=0, payout_winning_days=0)
        if not rules.best_day_blocks_pass:
            rules = rules._replace(best_day_percent=ANY_PERCENT, best_day_inclusive=1)
        return self._replace(rules=rules)

    @property
    def within_a_day(self) -> "Setting":
        """The same without what acts as a day opens alone: tiers, shares of the profit, the last day."""
        rules = self.rules._replace(tiers=ANY_SIZE, max_days=0, open_loss_raised_at=0, open_loss_base=0)
        return self._replace(rules=rules)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Which rules there are at all; settings of one kind differ in amounts alone."""
        rules = self.rules._asdict()
        flags = tuple(value for name, value in rules.items() if name not in AMOUNTS)
        locks = rules["lock_at_close"] < NEVER_LOCKS
        return (flags, self.limits.max_stop_percent, self.terms, locks, self.halved_under)


class Ended(NamedTuple):
    """How each attempt ended [L]."""

    ending: npt.NDArray[np.int8]  # ACTIVE: it was still open after the last session
    sessions: Integers  # that it took, the last one included


class Lanes(NamedTuple):
    """Attempts that go on [L]."""

    number: Integers
    steps: Integers  # sessions that each has played
    account: Account  # [L] a field
    opening: Integers  # balance as the day opened
    traded_today: Bools
    traded: Integers  # earlier days with a trade
    best: Integers  # result of the best earlier day, 0 if none won
    ending: npt.NDArray[np.int8]
    setting: Setting

    def where(self, which: Integers) -> "Lanes":
        """Some of them."""
        account = Account(*(column[which] for column in self.account))
        names = ("number", "steps", "opening", "traded_today", "traded", "best", "ending")
        columns = {name: getattr(self, name)[which] for name in names}
        return self._replace(account=account, setting=self.setting.where(which), **columns)


class _Priced(NamedTuple):
    """A tape in cents a contract under one setting."""

    columns: Integers  # [9, M] stop, most contracts, gain, worst, best, best_held, fills, first drop, halved
    drop: Integers  # [M, K] of each point
    loss: Integers  # [M, K] of each point, the entry's commission included


AfterDay = Callable[[Lanes], Lanes]
"""What becomes of the lanes once a day is over, such as a payout; the day's opening balance is still known."""


def play_attempts(
    tape: Tape, setting: Setting, order: Integers, days: Integers, after_day: AfterDay | None = None
) -> Ended:
    """Play one attempt through each order of sessions.

    Args:
        tape: of the sessions.
        setting: of the account.
        order: [L, H] which session comes when.
        days: [H] calendar day of each step, by which attempts run out of days.
        after_day: what is done at the end of each day.
    """
    return _played(tape, [setting], order, days, after_day=after_day)[0]


def play_packs(
    tape: Tape, settings: Sequence[Setting], order: Integers, days: Integers, *, width: int = LANES
) -> list[Ended]:
    """The same under each of several settings, as if one after the other: packs of a kind share ``width`` lanes."""
    settings = [setting.of_attempts for setting in settings]
    kinds = [setting.kind for setting in settings]
    ended: dict[int, Ended] = {}
    for kind in dict.fromkeys(kinds):
        alike = [number for number, each in enumerate(kinds) if each == kind]
        played = _played(tape, [settings[number] for number in alike], order, days, width=width)
        ended.update(zip(alike, played, strict=True))
    return [ended[number] for number in range(len(settings))]


def _played(
    tape: Tape,
    settings: Sequence[Setting],
    order: Integers,
    days: Integers,
    *,
    width: int = LANES,
    after_day: AfterDay | None = None,
) -> list[Ended]:
    """Attempts under settings of one kind: number n plays order n % L, and begins as soon as there is a lane for it."""
    (count, horizon), packs = order.shape, len(settings)
    most = packs * count
    ended = Ended(np.zeros(most, np.int8), np.full(most, horizon, np.int64))
    setting, priced = _stacked(settings, count), _priced(tape, settings[0])
    lanes, begun = _opened(setting.where(slice(0)), np.arange(0)), 0
    while len(lanes.number) or begun < most:
        if len(lanes.number) <= width // 2 and begun < most:
            new = np.arange(begun, min(most, begun + width - len(lanes.number)))
            lanes, begun = cast(Lanes, _beside(lanes, _opened(setting.where(new), new))), begun + len(new)
        lanes.ending[days[lanes.steps] - days[0] >= lanes.setting.rules.max_days] = OUT_OF_DAYS
        lanes = _day_opened(_going_on(lanes, ended, horizon))
        session = order[lanes.number % count, lanes.steps]
        lanes = _session_traded(lanes, priced, tape.first[session], tape.trades[session])
        lanes = _day_closed(lanes._replace(steps=lanes.steps + 1))
        if after_day is not None:
            lanes = after_day(lanes)
        room = lanes.account.cash - lanes.account.floor
        lanes.ending[(room <= lanes.setting.limits.risk_budget) & (lanes.ending == ACTIVE)] = NO_ROOM
        lanes = _going_on(lanes, ended, horizon)
    parts = (np.split(column, packs) for column in ended)
    return [Ended(*each) for each in zip(*parts, strict=True)]


def _stacked(settings: Sequence[Setting], count: int) -> Setting:
    """One setting for ``count`` lanes of each: scalars where all agree, arrays where they differ."""

    def stack(values: Sequence[Any]) -> Any:
        first = values[0]
        if isinstance(first, tuple):
            fields = [stack(column) for column in zip(*values, strict=True)]
            return type(first)(*fields) if hasattr(first, "_fields") else tuple(fields)
        return first if all(value == first for value in values) else np.repeat(np.array(values, np.int64), count)

    return cast(Setting, stack(settings))


def _picked(value: Any, which: Any) -> Any:
    """The rows ``which`` of every array in nested tuples; a scalar is of every lane."""
    if isinstance(value, tuple):
        fields = [_picked(each, which) for each in value]
        return type(value)(*fields) if hasattr(value, "_fields") else tuple(fields)
    return value[which] if isinstance(value, np.ndarray) else value


def _beside(lanes: Any, more: Any) -> Any:
    """The arrays of nested tuples, one after the other; a scalar is of every lane."""
    if isinstance(lanes, tuple):
        fields = [_beside(each, other) for each, other in zip(lanes, more, strict=True)]
        return type(lanes)(*fields) if hasattr(lanes, "_fields") else tuple(fields)
    return np.concatenate([lanes, more]) if isinstance(lanes, np.ndarray) else lanes


def _session_traded(lanes: Lanes, priced: _Priced, first: Integers, trades: Integers) -> Lanes:
    """The lanes [L] after their session's trades, of which each has ``trades`` from number ``first`` on."""
    setting = lanes.setting
    lanes = lanes._replace(setting=setting.within_a_day)
    for nth in range(int(trades.max(initial=0))):
        meets = (trades > nth) & (lanes.ending == ACTIVE) & (lanes.account.paused == NOT_PAUSED)
        at = np.flatnonzero(meets)
        if len(at) == len(meets):
            lanes = _traded(lanes, priced, first + nth)
        elif len(at):
            _written(lanes, at, _traded(lanes.where(at), priced, first[at] + nth))
    return lanes._replace(setting=setting)


def _priced(tape: Tape, setting: Setting) -> _Priced:
    """The tape in cents of one contract, and the contracts that the usual budget pays for."""
    limits, terms = setting.limits, setting.terms
    value, commission = terms.tick_value, terms.commission
    quantity = limits.risk_budget // tape.stop_cents
    columns = (
        tape.stop_cents,
        np.where(tape.stop_percent <= limits.max_stop_percent, quantity, 0),
        tape.gain * value - 2 * commission,
        tape.worst * value + commission,
        tape.best * value - commission,
        tape.best_held * value - commission,
        tape.fills,
        tape.drop[:, 0] * value,
        tape.halved,
    )
    return _Priced(np.stack(columns), tape.drop * value, tape.loss * value + commission)


def _opened(setting: Setting, number: Integers) -> Lanes:
    """New attempts, one a ``number`` [L]."""
    zeros, rules = np.zeros(len(number), np.int64), setting.rules
    cash = zeros + rules.start
    names = {name: zeros for name in ("day_floor", "max_open_loss", "max_minis", "paused", "locked")}
    account = Account(cash=cash, floor=cash - rules.max_loss, **names)
    return Lanes(number, zeros, account, cash, zeros > 0, zeros, zeros, np.zeros(len(number), np.int8), setting)


def _day_opened(lanes: Lanes) -> Lanes:
    """The lanes as a trading day opens."""
    opened = opened_day(XP, lanes.account, lanes.setting.rules)
    shape = lanes.number.shape
    account = Account(*(column if np.ndim(column) else np.full(shape, column, np.int64) for column in opened))
    return lanes._replace(account=account, opening=account.cash.copy(), traded_today=np.zeros(shape, bool))


def _day_closed(lanes: Lanes) -> Lanes:
    """The lanes, flat, after a trading day."""
    closed = after_session(XP, lanes.account, lanes.setting.rules)
    result = closed.cash - lanes.opening
    return lanes._replace(account=closed, traded=lanes.traded + lanes.traded_today, best=np.maximum(lanes.best, result))


def _going_on(lanes: Lanes, ended: Ended, horizon: int) -> Lanes:
    """The lanes that go on; what became of the others is written down."""
    ends = (lanes.ending != ACTIVE) | (lanes.steps == horizon)
    over = np.flatnonzero(ends)
    if not len(over):
        return lanes
    ended.ending[lanes.number[over]] = lanes.ending[over]
    ended.sessions[lanes.number[over]] = lanes.steps[over]
    return lanes.where(np.flatnonzero(~ends))


def _written(lanes: Lanes, which: Integers, new: Lanes) -> None:
    """Put ``new`` in the place of the lanes ``which``."""
    for name in ("cash", "floor", "paused"):
        getattr(lanes.account, name)[which] = getattr(new.account, name)
    lanes.traded_today[which], lanes.ending[which] = new.traded_today, new.ending


def _traded(lanes: Lanes, priced: _Priced, trade: Integers) -> Lanes:
    """The lanes after their next ``trade`` [L], unless their account forbids it."""
    account, setting = lanes.account, lanes.setting
    rules = setting.rules
    if np.any(rules.lock_at_close < NEVER_LOCKS):
        rules = rules_in_force(XP, rules, account)
    stop, most, gain, worst, best, held, fills, drop, halved = np.take(priced.columns, trade, axis=1)
    quantity = _quantity(account, (stop, most, fills, halved), setting)
    cash, floor = account.cash + quantity * gain, account.floor
    killed = account.cash - quantity * worst <= floor
    if setting.rules.ratchet == INTRADAY:
        deep = np.flatnonzero((quantity * drop >= rules.max_loss) & (np.asarray(rules.ratchet) == INTRADAY))
        reach = (_picked(setting.rules.max_loss, deep), _picked(setting.rules.floor_cap, deep))
        killed[deep] |= _followed(account.cash[deep], quantity[deep], (priced, trade[deep]), reach)
        floor = floor_after_open_equity(XP, floor, account.cash + quantity * best, rules)
    if setting.rules.ratchet in (INTRADAY, CLOSED_BALANCE):
        floor = floor_after_close(XP, floor, cash, rules)
    at_floor = (killed & (rules.kills_open != 0)) | (cash <= floor)
    if not rules.kills_open:
        # The balance alone must stay above a floor that follows open equity.
        raised = floor_after_open_equity(XP, account.floor, account.cash + quantity * held, rules)
        at_floor |= account.cash - quantity * setting.terms.commission <= raised
    return _judged(lanes, (cash, floor, quantity > 0), at_floor)


def _quantity(account: Account, row: tuple[Integers, Integers, Integers, Integers], setting: Setting) -> Integers:
    """Contracts [L] of the entry as `rl_core.market.decisions` sizes it; 0 where it is not legal or not filled."""
    stop, quantity, fills, halved = row
    if setting.rules.open_loss_percent:
        quantity = np.minimum(quantity, account.max_open_loss // stop)
    quantity = np.minimum(
        quantity, np.minimum(account.max_minis * setting.limits.per_mini, setting.limits.max_quantity)
    )
    room = account.cash - np.maximum(account.floor, account.day_floor)
    # A gate is asked about what is legal at full size, so what has no room for that is not halved but never proposed.
    quantity = np.where(room > quantity * stop, quantity, 0)
    if setting.halved_under or halved.any():
        near = (account.cash - account.floor) * 1000 < setting.halved_under * quantity * stop
        quantity = np.where(near | (halved != 0), quantity // 2, quantity)
    return np.asarray(np.minimum(quantity, fills))


def _followed(cash: Integers, quantity: Integers, at: tuple[_Priced, Integers], reach: tuple[Any, Any]) -> Bools:
    """Whether a floor that had risen with a trade's best was reached at one of its points [L].

    Its ``reach`` is the largest loss that the account may take, and where its floor locks.
    """
    priced, trade = at
    drop, loss = (table[trade] * quantity[:, None] for table in (priced.drop, priced.loss))
    most, cap = (np.asarray(each)[..., None] for each in reach)
    return np.asarray(((drop >= most) & (cash[:, None] - loss <= cap)).any(axis=1))


def _judged(lanes: Lanes, after: tuple[Integers, Integers, Bools], at_floor: Bools) -> Lanes:
    """The lanes whose trade left this cash and floor [L]: ended, paused or neither; unchanged where none was made."""
    (cash, floor, trades), rules = after, lanes.setting.rules
    # Without a trade nobody stands at a floor or a limit; a target may be banked by an earlier trade.
    daily, banked = cash <= lanes.account.day_floor, (cash >= rules.start + rules.target) & trades
    ending, paused = np.zeros(cash.shape, np.int8), daily * np.int64(AT_DAILY_LOSS)
    if rules.daily_fails:
        ending[daily] = DAILY_LOSS
    ending[at_floor] = FLOOR
    may_pass = np.flatnonzero(banked & (ending == ACTIVE))
    if len(may_pass):
        ending[may_pass] = np.where(_passes(lanes.where(may_pass), cash[may_pass]), PASSED, ACTIVE)
    if rules.stand_down:
        paused[banked] = AT_TARGET
    account = lanes.account._replace(cash=cash, floor=floor, paused=paused)
    return lanes._replace(account=account, traded_today=lanes.traded_today | trades, ending=ending)


def _passes(lanes: Lanes, cash: Integers) -> Bools:
    """Whether a banked target passes [L]: on enough days, and consistently where the pack asks for it."""
    rules = lanes.setting.rules
    enough = lanes.traded + 1 >= rules.min_days
    if not rules.best_day_blocks_pass or rules.best_day_percent >= ANY_PERCENT:
        return np.asarray(enough)
    profit, best = cash - rules.start, np.maximum(lanes.best, cash - lanes.opening)
    allowed, got = rules.best_day_percent * profit, 100 * best
    steady = (profit > 0) & ((got <= allowed) if rules.best_day_inclusive else (got < allowed))
    return np.asarray(enough & steady)
