"""Simulated brokers with one defect each, and the check of an adapter that catches it."""

from typing import Any

from orchestrator.messaging.broker import Bracket, Execution, Holdings, OrderState
from orchestrator.messaging.catalogue import Bar
from orchestrator.workers.simulated_broker import SimulatedBroker
from rl_core.market.types import Order


class AnswersBeforeItWrites(SimulatedBroker):
    """What is asked reaches the journal with the next question only."""

    _late: tuple[str, dict[str, Any]] | None = None

    def _take(self, type: str, payload: dict[str, Any]) -> None:
        after, journal = self._after(type, payload), self._journal
        if self._late is not None and journal is not None:
            journal.append(*self._late, sync=True)
        self._late, self._book = (type, payload), after


class ForgetsIds(SimulatedBroker):
    """An id that came before is a new order once the old one is done."""

    def submit(self, bracket: Bracket) -> OrderState:
        """With the defect."""
        if bracket.order_id != self._book.live:
            self._take("submit", bracket.model_dump())
        return self.state(bracket.order_id)


class NumbersWithGaps(SimulatedBroker):
    """Every exit takes two numbers."""

    def _after(self, type: str, payload: Any) -> Any:
        book = super()._after(type, payload)
        if len(book.kept) > len(self._book.kept) and book.kept[-1].leg != "entry":
            moved = book.kept[-1].model_copy(update={"number": book.kept[-1].number + 1})
            held = book.held._replace(executions=book.held.executions + 1)
            book = book._replace(held=held, kept=(*book.kept[:-1], moved))
        return book


class TellsOnce(SimulatedBroker):
    """An execution is forgotten once it was told."""

    def executions(self, after: int) -> tuple[Execution, ...]:
        """With the defect."""
        found = super().executions(after)
        self._book = self._book._replace(kept=())
        return found


class TakesNakedEntries(SimulatedBroker):
    """A stop that is none is made one, far away."""

    def submit(self, bracket: Bracket) -> OrderState:
        """With the defect."""
        fixed = {"stop_ticks": max(1, bracket.stop_ticks), "target_ticks": max(1, bracket.target_ticks)}
        return super().submit(bracket.model_copy(update=fixed))


class CancelsInWords(SimulatedBroker):
    """A cancelled order is told to be, and works on."""

    def cancel(self, order_id: str) -> OrderState:
        """With the defect."""
        state = self.state(order_id)
        return state if state.status != "working" else state.model_copy(update={"status": "cancelled"})


class FillsTheRestLater(SimulatedBroker):
    """A thin market fills an order whole."""

    def trade(self, bar: Bar) -> None:
        """With the defect."""
        super().trade(bar.model_copy(update={"volume": 10_000}))


class HoldsWhatItSubmitted(SimulatedBroker):
    """What works is counted as held."""

    def holdings(self) -> Holdings:
        """With the defect."""
        held = super().holdings()
        return held.model_copy(update={"quantity": held.quantity + self._book.held.order.quantity})


class ClosesTwice(SimulatedBroker):
    """A position that was closed by its bracket while it was to be flattened is closed once more."""

    def _after(self, type: str, payload: Any) -> Any:
        book, before = super()._after(type, payload), self._book
        if type == "bar" and before.held.order == Order(0, 0, 0, True) and book.kept != before.kept:
            again = book.kept[-1].model_copy(update={"number": book.kept[-1].number + 1})
            held = book.held._replace(executions=book.held.executions + 1)
            book = book._replace(held=held, kept=(*book.kept, again))
        return book


class StopsForTheWhole(SimulatedBroker):
    """A stop closes what had entered, also where a part of it has left meanwhile."""

    def _after(self, type: str, payload: Any) -> Any:
        book, before = super()._after(type, payload), self._book
        entered = before.brackets[before.live].quantity if before.live else 0
        if type == "bar" and 0 < before.held.position.quantity < entered and book.kept and book.kept[-1].leg == "stop":
            more = book.kept[-1].model_copy(update={"quantity": -entered})
            book = book._replace(kept=(*book.kept[:-1], more))
        return book


class ForgetsWhatStaysOpen(SimulatedBroker):
    """What a part of an exit leaves open has no stop."""

    def _after(self, type: str, payload: Any) -> Any:
        book, before = super()._after(type, payload), self._book
        held = book.held.position
        if type == "bar" and 0 < held.quantity < before.held.position.quantity:
            book = book._replace(held=book.held._replace(position=held._replace(stop=-(10**6))))
        return book


class MovesInWords(SimulatedBroker):
    """A stop is told to stand elsewhere, and works where it stood."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        return self.state(order_id).model_copy(update={"stop": stop})


class TakesMovesAsTheyCome(SimulatedBroker):
    """The last move that came is the one that counts, whatever its number."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        self._book = self._book._replace(revision=0)
        return super().move_stop(order_id, revision, stop)


class OpensTheStopAgain(SimulatedBroker):
    """A stop is told to stand though nothing is open any more."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        return super().move_stop(order_id, revision, stop).model_copy(update={"stop": stop})


class DropsARefusedStop(SimulatedBroker):
    """The old stop is cancelled before the new one is looked at."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        told, held = super().move_stop(order_id, revision, stop), self._book.held
        if told.reason:
            naked = held._replace(position=held.position._replace(stop=0))
            self._book = self._book._replace(held=naked)
        return self.state(order_id)


class MovesWithoutARecord(SimulatedBroker):
    """Where a stop was moved to is forgotten with the process."""

    def move_stop(self, order_id: str, revision: int, stop: int) -> OrderState:
        """With the defect."""
        journal, self._journal = self._journal, None
        try:
            return super().move_stop(order_id, revision, stop)
        finally:
            self._journal = journal


class TakesPricesForDistances(SimulatedBroker):
    """Knows no legs at prices, and takes the order all the same."""

    def submit(self, bracket: Bracket) -> OrderState:
        """With the defect."""
        return super().submit(bracket.model_copy(update={"stop_price": None, "target_price": None}))


PLANTED: dict[type[SimulatedBroker], str] = {
    AnswersBeforeItWrites: "what_was_answered_outlives_a_kill",
    ForgetsIds: "the_same_id_is_the_same_order",
    NumbersWithGaps: "executions_are_dense_and_kept_until_they_are_acknowledged",
    TellsOnce: "executions_are_dense_and_kept_until_they_are_acknowledged",
    TakesNakedEntries: "a_bracket_with_a_bad_leg_is_rejected_whole",
    TakesPricesForDistances: "legs_at_prices_stand_where_they_are",
    CancelsInWords: "nothing_fills_after_a_cancel",
    FillsTheRestLater: "what_a_thin_market_leaves_is_protected_as_far_as_it_filled",
    HoldsWhatItSubmitted: "what_is_held_and_works_is_told",
    StopsForTheWhole: "a_part_of_an_exit_leaves_the_rest_with_its_stop",
    ForgetsWhatStaysOpen: "a_part_of_an_exit_leaves_the_rest_with_its_stop",
    ClosesTwice: "stop_and_flatten_never_both_fill",
    MovesInWords: "a_stop_stands_where_it_was_moved_to",
    TakesMovesAsTheyCome: "a_move_counts_once_and_an_older_one_not_at_all",
    OpensTheStopAgain: "a_move_that_comes_after_the_stop_filled_changes_nothing",
    DropsARefusedStop: "a_move_that_is_refused_leaves_the_stop_that_was",
    MovesWithoutARecord: "a_stop_that_was_moved_outlives_a_kill",
}
