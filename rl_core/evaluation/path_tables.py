"""What paths over the same bars share, whatever their gate: plain lists, and where a policy enters next."""

import numpy as np
import numpy.typing as npt

from rl_core.bars.seconds import SecondsByMinute
from rl_core.evaluation.entrants import Enters, Trained
from rl_core.evaluation.flat_decisions import FlatDecisions
from rl_core.evaluation.held_decisions import HeldDecisions
from rl_core.features.market_view import MarketView
from rl_core.features.observation import AccountRoom
from rl_core.trading.setup import Trading


class PathTables:
    """Bars and settings as lists of plain integers, made once; [T] each."""

    def __init__(self, who: Enters, view: MarketView, trading: Trading, seconds: SecondsByMinute | None = None) -> None:
        """Of whoever enters, on the whole file, under an account's setting; seconds where fills read them."""
        bars = view.bars
        self.who, self.view, self.trading, self.seconds = who, view, trading, seconds
        columns = [column.tolist() for column in (bars.open, bars.high, bars.low, bars.close)]
        self.prices: list[tuple[int, int, int, int]] = list(zip(*columns, strict=True))
        self.ranges: list[int] = view.features.true_range_sum.tolist()
        self.session: list[int] = view.located.session.tolist()
        self.flatten_due: list[bool] = view.hours.flatten_due.tolist()
        entry_open = view.hours.entry_open & view.features.warm
        self.entry_open: list[bool] = entry_open.tolist()
        self.last: list[bool] = view.last_in_session.tolist()
        session, chosen = view.located.session, who.entries()
        self.may_enter: list[bool] | None = None if chosen is None else chosen.tolist()  # None: it has to be asked
        opens = np.append(True, session[1:] != session[:-1])
        self._opens = _next_from(opens)
        self._due = _next_from(opens | view.hours.flatten_due | np.append(False, view.last_in_session[:-1]))
        self._busy = _next_from(opens | (entry_open if chosen is None else entry_open & chosen))
        self._flat = FlatDecisions(who.policy, view) if isinstance(who, Trained) else None
        self.held: HeldDecisions | None = None  # of a policy that manages, where what fills slip stays the same
        if isinstance(who, Trained) and who.phase == 2 and trading.frictions is None:
            self.held = HeldDecisions(who.policy, view, trading)

    def due(self, bar: int) -> int:
        """The bar after ``bar`` in which the clock acts on what is open: it must go, has gone, or a session opens."""
        return self._due[bar + 1]

    def following(self, bar: int, room: AccountRoom | None) -> int:
        """The bar after ``bar`` in which anything can happen to whoever is flat: an entry, or a session that opens.

        Args:
            bar: the last one that was played.
            room: of the account; None where it takes no entry before the next session.
        """
        opens = self._opens[bar + 1]
        if room is None:
            return opens
        return self._busy[bar + 1] if self._flat is None else self._flat.next_entry(bar + 1, opens, room)


def _next_from(where: npt.NDArray[np.bool_]) -> list[int]:
    """[T + 1] from each bar on, the first at which ``where`` [T] holds; T after the last."""
    total = len(where)
    at = np.append(np.where(where, np.arange(total), total), total)
    following: list[int] = np.minimum.accumulate(at[::-1])[::-1].tolist()
    return following
