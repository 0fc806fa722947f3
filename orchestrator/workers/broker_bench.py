"""What the checks of a broker adapter run over: a bench, which moves its market, and the asker's side of an account."""

from collections.abc import Callable
from typing import Protocol

from orchestrator.messaging.broker import Bracket, BrokerAdapter, Execution, OrderState, new_executions
from orchestrator.messaging.catalogue import Bar
from rl_core.trading.hours import MINUTE_NS
from trigate.errors import ProcessNotReadyError

STOP, TARGET = 40, 80
PRICE = 80_000
START_NS = 1_704_200_000_000_000_000


class Bench(Protocol):
    """What a check can do besides asking the broker."""

    broker: BrokerAdapter

    def trade(self, low: int, high: int, *, volume: int = 1000) -> None:
        """Let the market open and close at `PRICE` and touch ``low`` and ``high``, in ticks; so much is traded."""

    def kill(self) -> None:
        """End the broker at once, as a kill does, and have it back."""

    def lose_the_answer(self, ask: Callable[[], object]) -> None:
        """Ask, and let the answer come after its deadline: ``ask`` raises ProcessNotReadyError."""


class Account:
    """The orchestrator's side: names, executions taken once each, and what they add up to."""

    def __init__(self, bench: Bench) -> None:
        """Begin with the first execution."""
        self.bench, self.broker = bench, bench.broker
        self.position, self.last, self.orders = 0, 0, 0

    def bracket(self, quantity: int = 2, stop: int = STOP, target: int = TARGET) -> Bracket:
        """One of a name of its own, long unless ``quantity`` is below 0."""
        self.orders += 1
        name = f"check.{self.orders}"
        return Bracket(order_id=name, quantity=quantity, stop_ticks=stop, target_ticks=target)

    def take(self) -> list[Execution]:
        """What is new, taken and acknowledged as an orchestrator does it."""
        found = new_executions(self.broker, self.last)
        self.acknowledge(found)
        return found

    def acknowledge(self, found: list[Execution]) -> None:
        """Count what was found, and let the broker forget it."""
        self.position += sum(execution.quantity for execution in found)
        self.last = found[-1].number if found else self.last
        self.broker.acknowledge(self.last)

    def quiet(self) -> None:
        """A bar in which nothing is reached but the open."""
        self.bench.trade(PRICE - 1, PRICE + 1)


def bar_of(seq: int, low: int, high: int, volume: int) -> Bar:
    """The ``seq``-th minute of a bench, which opens and closes at `PRICE`."""
    high, low, ts_ns = max(high, PRICE), min(low, PRICE), START_NS + seq * MINUTE_NS
    return Bar(seq=seq, ts_event_ns=ts_ns, open=PRICE, high=high, low=low, close=PRICE, volume=volume)


def says(state: OrderState, status: str, filled: int = 0) -> None:
    """Hold an order's state against what it has to be."""
    assert (state.status, state.filled) == (status, filled), f"{state}, expected {status} with {filled} filled"


def refused(ask: Callable[[], object]) -> None:
    """Helps a bench: ``ask`` must end in ProcessNotReadyError."""
    try:
        answer = ask()
    except ProcessNotReadyError:
        return
    raise AssertionError(f"{answer} was taken for an answer, though its own was late")
