"""Who filled a run and what the broker refused, told alike by page, terminal, live page and status."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.journal.lines import Record
from orchestrator.live.follower import Follower
from orchestrator.live.told import header_told, state_told
from orchestrator.messaging.broker import Bracket, OrderState
from orchestrator.report.account_book import AccountBook, Event, _columns
from orchestrator.report.interventions import interventions
from orchestrator.report.report import report_on
from orchestrator.report.status import standings, status_of
from orchestrator.report.trade_paths import _stops_in_force
from orchestrator.run.folder import RunFolder
from orchestrator.workers.simulated_broker import SimulatedBroker
from tests.orchestrator.paper_market import Market, ReadyCrew, morning, play_paper, records
from tests.orchestrator.played_files import FileWorld

BARS = 80


class Refusing(SimulatedBroker):
    """Takes its first order only."""

    def submit(self, bracket: Bracket) -> OrderState:
        """With a margin that is soon used up."""
        if self._book.orders and bracket.order_id not in self._book.orders:
            return OrderState(order_id=bracket.order_id, status="rejected", reason="no margin")
        return super().submit(bracket)


@pytest.fixture(scope="module")
def refused(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose broker refuses orders."""
    folder = tmp_path_factory.mktemp("refused")

    def busy(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(BARS)

    market = morning(file_world, folder)
    run, _ = play_paper(file_world, market, folder / "runs", busy, broker_kind=Refusing, broker="simulated")
    return run


def rejected(run: RunFolder) -> int:
    """Orders that were rejected, by the record."""
    return sum(answer["status"] == "rejected" for answer in records(run, "order"))


def test_status_says_who_filled_and_what_was_refused(refused: RunFolder) -> None:
    count = rejected(refused)

    shown = CliRunner().invoke(app, ["status", str(refused.path)]).stdout

    assert count > 1
    assert f"the simulated broker; it refused {count} orders" in shown
    alarm = f"the simulated broker refused {count} orders; of the last order it said: no margin"
    assert alarm in status_of(refused).alarms


def test_the_live_page_says_so_too(refused: RunFolder) -> None:
    """In its header, beside the entry that came to nothing, and among what happened."""
    follower = Follower(refused)
    follower.read()

    told = state_told(follower, follower.outside())

    assert header_told(follower)["filled_by"] == "the simulated broker"
    assert told["refused"] == f"{rejected(refused)} orders"
    assert "rejected by the broker: no margin" in [decision["reason"] for decision in told["decisions"]]
    assert any("reason no margin, status rejected, filled 0" in note["words"] for note in told["notes"])


def test_the_page_and_the_terminal_say_so_too(refused: RunFolder) -> None:
    count = rejected(refused)

    summary = report_on(refused.path)

    page = (refused.path / "report.html").read_text()
    assert summary["filled_by"] == f"the simulated broker; it refused {count} orders"
    assert "filled by the simulated broker. Nothing was sent anywhere" in page
    assert f"The broker refused {count} orders (no margin {count}): what was refused is not in the result." in page
    assert f"rejected by the broker {count}" in page


def test_a_stop_that_the_broker_kept_is_counted_and_drawn_where_it_stood() -> None:
    """The policy wanted it at 90 from bar 5 on; the broker left it at 80."""
    told = [("managed", {"stop": 90}), ("stop_kept", {"order": "a", "stop": 80})]
    book = AccountBook(_columns([]), tuple(Event(kind, payload, 4) for kind, payload in told), True, "", 2)

    now = standings([Record(n, kind, payload, False, "") for n, (kind, payload) in enumerate(told, 1)])

    assert _stops_in_force(book) == {5: 80}
    assert (now.moves_refused, interventions(book).moves_refused) == (1, 1)
    assert interventions(book).sentences == [
        "The broker refused 1 move of a stop: what was refused is not in the result."
    ]


def test_a_run_without_a_broker_was_filled_by_its_own_engine(won: RunFolder) -> None:
    summary = report_on(won.path)

    assert "filled_by" not in summary
    assert "filled by the run&#39;s own engine. Nothing was sent anywhere" in (won.path / "report.html").read_text()
    assert "the run's own engine" in CliRunner().invoke(app, ["status", str(won.path)]).stdout
