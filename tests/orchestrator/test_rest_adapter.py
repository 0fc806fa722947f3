"""An adapter over a REST gateway conforms, though the gateway does nothing exactly once and names no leg."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.messaging.broker import BrokerAdapter, Execution
from orchestrator.workers.broker_bench import PRICE, STOP, Account, refused
from orchestrator.workers.broker_checks import faults
from tests.orchestrator.rest_adapter import RestAdapter
from tests.orchestrator.rest_gateway import TICK, Gateway, Row
from trigate.errors import ProcessNotReadyError


class Living:
    """Whichever process of the adapter lives now."""

    def __init__(self, opened: Callable[[], RestAdapter]) -> None:
        """``opened`` reads its journal again."""
        self._opened, self._now = opened, opened()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now, name)

    def restart(self) -> None:
        """As after a kill."""
        self._now.close()
        self._now = self._opened()


def near(gateway: Gateway) -> type[RestAdapter]:
    """The adapter, calling the gateway where it stands, which costs a hundredth of a request over the network."""

    class Near(RestAdapter):
        def _ask(self, path: str, body: Row) -> Row:
            answer = gateway.answer(f"/api/{path}", body)
            if answer is None:
                raise ProcessNotReadyError(f"{path}: cut off")
            return dict(json.loads(json.dumps(answer)))

    return Near


class RestBench:
    """A bench over the adapter and the gateway."""

    def __init__(self, gateway: Gateway, folder: Path, kind: type[RestAdapter] = RestAdapter) -> None:
        """The adapter keeps its journal in ``folder``."""
        self.gateway = gateway
        self._living = Living(lambda: kind(gateway.port, folder, tick=TICK))
        self.broker: BrokerAdapter = self._living

    def trade(self, low: int, high: int, *, volume: int = 1000) -> None:
        """One bar."""
        self.gateway.trade(low, high, volume)

    def kill(self) -> None:
        """And have it back."""
        self._living.restart()

    def lose_the_answer(self, ask: Callable[[], object]) -> None:
        """Of the request that does something."""
        self.gateway.lose = lambda number, path: "after" if path.endswith(("place", "cancel", "modify")) else ""
        refused(ask)
        self.gateway.lose = lambda number, path: ""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RestBench]:
    """Of an account of its own."""
    with Gateway(PRICE) as gateway:
        yield RestBench(gateway, tmp_path)


def test_it_conforms(bench: RestBench) -> None:
    assert faults(Account(bench)) == {}


def until_answered(bench: RestBench, ask: Callable[[], object]) -> None:
    """Ask as an orchestrator does: again after every kill and every answer that does not come."""
    for _ in range(9):
        try:
            ask()
            return
        except ProcessNotReadyError:
            bench.kill()
    raise AssertionError("it was never answered")


def a_trade_and_a_flattened_one(bench: RestBench) -> list[tuple[str, str, int]]:
    """What was executed: an entry that its moved stop closes, and a second one that is flattened."""
    account, told = Account(bench), list[Execution]()

    def taken() -> None:
        told.extend(account.take())

    first, second = account.bracket(2), account.bracket(-3)
    until_answered(bench, lambda: bench.broker.submit(first))
    account.quiet()
    until_answered(bench, lambda: bench.broker.move_stop(first.order_id, 1, PRICE - 10))
    until_answered(bench, taken)
    bench.trade(PRICE - 12, PRICE)
    until_answered(bench, taken)
    until_answered(bench, lambda: bench.broker.submit(second))
    account.quiet()
    until_answered(bench, lambda: bench.broker.flatten(second.order_id))
    account.quiet()
    bench.trade(PRICE, PRICE + STOP + 10)
    until_answered(bench, taken)
    assert account.position == bench.gateway.position == 0
    return [(each.order_id, each.leg, each.quantity) for each in told]


EXECUTED = [("check.1", "entry", 2), ("check.1", "stop", -2), ("check.2", "entry", -3), ("check.2", "other", 3)]


def lost_at(number: int, how: str) -> Callable[[int, str], str]:
    """The request with that number is lost, and no other."""
    return lambda asked, path: how if asked == number else ""


@pytest.mark.parametrize("lost", ["before", "after"])
def test_whichever_request_is_lost_and_whichever_way_it_trades_once(tmp_path: Path, lost: str) -> None:
    """At every request in turn: it never came, or it was done and its answer was lost; the adapter is killed then."""
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Gateway(PRICE, listens=False) as gateway:
            gateway.lose = lost_at(number, lost)
            assert a_trade_and_a_flattened_one(RestBench(gateway, folder, near(gateway))) == EXECUTED, (
                f"request {number}"
            )
        if gateway.asked < number:
            break
    assert 20 < number < 99, "not every request was lost once"


def test_what_is_held_is_of_one_moment(bench: RestBench) -> None:
    """The stop is filled between the question for the orders and that for the position."""
    account = Account(bench)
    account.broker.submit(account.bracket(2))
    account.quiet()

    def stopped(number: int, path: str) -> str:
        if path.endswith("Position/searchOpen") and bench.gateway.position:
            bench.trade(PRICE - STOP - 10, PRICE)
        return ""

    bench.gateway.lose = stopped

    held = bench.broker.holdings()
    assert (held.quantity, held.stop, held.executions) == (0, None, 2)


def test_a_trade_that_is_voided_is_undone_by_one_the_other_way(bench: RestBench) -> None:
    """Once, also after a kill: what the orchestrator books never contradicts what it was told."""
    account = Account(bench)
    account.broker.submit(account.bracket(2))
    account.quiet()
    (entry,) = account.take()

    bench.gateway.trades[0]["voided"] = True
    (undone,) = account.take()
    bench.kill()

    assert (undone.leg, undone.quantity, undone.price) == ("other", -2, entry.price)
    assert account.take() == []


def test_a_mean_price_is_no_execution(bench: RestBench) -> None:
    """Half a tick is the mean of two fills; taken for one, the book would be wrong by a cent."""
    account = Account(bench)
    account.broker.submit(account.bracket(2))
    account.quiet()
    bench.gateway.trades[0]["price"] += TICK / 2

    with pytest.raises(AssertionError, match="no tick"):
        account.take()
