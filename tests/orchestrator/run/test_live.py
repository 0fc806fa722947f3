"""Live mode with an installed adapter: the run on paper with another broker, asked for the account that was named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.run.config import RunConfig
from orchestrator.run.folder import RunFolder
from orchestrator.run.jobs import broker_job
from orchestrator.run.paper_plan import plan_paper
from orchestrator.run.rehearsal import Rehearsal, write_rehearsal
from orchestrator.workers.adapters import open_adapter
from orchestrator.workers.broker import MOVED, opening_of
from tests.orchestrator.paper_market import Market, ReadyCrew, morning, play_paper, replays
from tests.orchestrator.played_files import FileWorld
from tests.orchestrator.practice_adapter import ACCOUNT, NAME, install_practice, pack_that_says
from tests.orchestrator.run.test_paper_broker import held, traded
from trigate.errors import ConfigError, RefusedError

CLOSE = 3 * 1380
"""Number of the first bar after the third session."""
CONFIG = {"account": ACCOUNT, "market": "NQ", "trading": {"rules": "plain_static"}, "settings": {}}
GUARDS = {"contracts": 50, "entries_a_day": 100, "loss_a_day_dollars": 100_000}


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of a live run with the adapter of docs/extending.md, and of a paper run but for its broker."""
    install_practice(tmp_path / "site", monkeypatch)
    trading = {"rules": pack_that_says("allowed", tmp_path)}
    return {"mode": "live", "broker": NAME, "live": {"account": ACCOUNT}, "guards": GUARDS, "trading": trading}


def on_paper(live: dict[str, Any]) -> dict[str, Any]:
    """The same without what makes it live."""
    return {**live, "mode": "paper", "broker": "simulated", "live": {}}


def afternoon(world: FileWorld, folder: Path) -> Market:
    """A market that opens with what is known at 14:30, and closes at 17:00."""
    return Market(world, folder, CLOSE - 150)


def to_the_end(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
    """Every bar until the session is over, with some answers lost on the way."""
    crew.broker_misses = 3
    yield from market.trade(CLOSE - market.next)
    market.set_ns(int(market.bars.ts_event_ns[CLOSE - 1]), 3 * 3600.0)
    yield


def test_its_trades_are_those_of_the_run_on_paper(file_world: FileWorld, memory: Path, live: dict[str, Any]) -> None:
    """Stopped with a position open, and gone on with to its end; every byte comes out again without the adapter."""
    places = [memory / "live", memory / "paper"]
    for place in places:
        place.mkdir()

    def until_open(market: Market, crew: ReadyCrew, folder: RunFolder) -> Iterator[None]:
        yield from market.trade(30)
        while not held(folder):
            yield from market.trade(1)

    market, runs = afternoon(file_world, places[0]), places[0] / "runs"
    play_paper(file_world, market, runs, until_open, sessions=1, **live)
    sent, ended = play_paper(file_world, market, runs, to_the_end, sessions=1, **live)
    paper, _ = play_paper(
        file_world, afternoon(file_world, places[1]), places[1] / "runs", to_the_end, sessions=1, **on_paper(live)
    )

    assert ended.complete and traded(sent) == traded(paper) and len(traded(sent)) > 2
    assert (sent.path / "broker" / "journal.jsonl").stat().st_size > 0, "the adapter wrote into the folder it was given"
    assert replays(sent)


def test_the_rules_that_a_checkpoint_was_trained_under_are_asked_too(
    file_world: FileWorld, tmp_path: Path, live: dict[str, Any]
) -> None:
    """A run that names no pack has the checkpoint's, and its firm bans automation."""
    market = morning(file_world, tmp_path)
    asked = {**live, **market.settings, "checkpoint": file_world.checkpoint, "gate": {"engine": "rules"}}

    with pytest.raises(RefusedError, match="the firm bans automated trading; no order is sent"):
        plan_paper(RunConfig.model_validate({**asked, "trading": None}))


@pytest.mark.parametrize("rehearsed", [False, True])
def test_an_adapter_has_to_say_whose_account_it_trades_and_in_a_rehearsal_that_its_market_is_simulated(
    file_world: FileWorld, tmp_path: Path, live: dict[str, Any], rehearsed: bool
) -> None:
    """Before anything is asked of it: recorded bars send nothing into a market of today."""
    market, clock = morning(file_world, tmp_path), tmp_path / "clock"
    write_rehearsal(clock, Rehearsal(market_ns=1, wall_ns=1, speed=1.0))
    asked = {**live, **market.settings, "checkpoint": file_world.checkpoint, "gate": {"engine": "off"}}

    plan = plan_paper(RunConfig.model_validate({**asked, "paper": {"clock": clock} if rehearsed else {}}))
    job = broker_job(plan, RunFolder(tmp_path / "run"))

    said = {name: what for name, what in job.serves.items() if name != "code"}
    assert said == {"account": ACCOUNT, **({"market": MOVED} if rehearsed else {})}
    assert plan.notices[0].startswith("live: ORDERS ARE SENT, to account PRACTICE by the adapter practice")


def test_an_adapter_that_is_installed_twice_or_names_no_account_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_practice(tmp_path / "site", monkeypatch, "Practice.__init__ = lambda self, opening: None")
    opening = opening_of({**CONFIG, "folder": str(tmp_path / "broker")})

    with pytest.raises(ConfigError, match=r"practice_broker:Practice returned does not name its account"):
        open_adapter(NAME, opening)
    install_practice(tmp_path / "again", monkeypatch, package="another_broker")
    with pytest.raises(ConfigError, match="2 installed packages offer it"):
        open_adapter(NAME, opening)
    with pytest.raises(ConfigError, match="'mine': no installed package offers it"):
        open_adapter("mine", opening)
