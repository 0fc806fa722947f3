"""A trader's own entries in the place of a checkpoint: the trades of an evaluation, and a run like any other."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.journal.journal import read_journal
from orchestrator.report.report import report_on
from orchestrator.run.folder import ENTRIES, RunFolder
from orchestrator.run.replay import replay_run
from rl_core.bars.read import read_bars
from rl_core.bars.times import Clock
from rl_core.evaluation.carried import play_carried
from rl_core.evaluation.entries_file import read_entries
from rl_core.evaluation.entry_fates import entry_fates
from rl_core.evaluation.seen_until import NOBODY_SAID
from rl_core.evaluation.span import span_of
from rl_core.features.market_view import view_of
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.orchestrator.played_files import FileWorld, play_file
from tests.orchestrator.played_runs import explored, text_of
from trigate.errors import ConfigError, DataError

EVERY = 9  # bars between two entries


@pytest.fixture(scope="module")
def mine(file_world: FileWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Entries of every ninth bar in hours: with the usual bracket, with distances, with prices near and far."""
    bars = read_bars(file_world.bars)
    trading = compile_trading(TradingConfig(), bars.instrument)
    view = view_of(bars, trading.pack, trading.hours)
    rows = ["time,side,stop,target,stop_points"]
    for n, bar in enumerate(np.flatnonzero(view.hours.entry_open)[::EVERY].tolist()):
        side, time = (1 if n % 2 else -1), np.datetime64(int(bars.ts_event_ns[bar]), "ns")
        close = int(bars.close[bar]) / 4
        near = (close - side * 0.25, close + side * 0.25, "")  # one tick of slippage fills it at its target
        prices = ("", "", ""), ("", "", "12.5"), near, (close - side * 9, close + side * 20, "")
        rows.append(",".join(map(str, (f"{time}Z", "long" if side > 0 else "short", *prices[n % 4]))))
    path = tmp_path_factory.mktemp("mine") / "mine.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def ungated(file_world: FileWorld, mine: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of them without a gate."""
    runs = tmp_path_factory.mktemp("ungated")
    return play_file(file_world, runs, entries=mine, gate={"engine": "off"}, max_entries_per_session=12)


@pytest.fixture(scope="module")
def gated(file_world: FileWorld, mine: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """One under a gate that approves, shrinks and vetoes."""
    return play_file(file_world, tmp_path_factory.mktemp("gated"), entries=mine, seen_until="2020-01-02")


def called(*words: object) -> Result:
    """`orchestrator` in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def payloads(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    """Of every record of this type."""
    return [dict(record.payload) for record in read_journal(run.journal) if record.type == kind]


def test_the_run_trades_what_an_evaluation_trades(file_world: FileWorld, mine: Path, tmp_path: Path) -> None:
    """Without a gate: entry, exit, contracts and cents of every trade, and what became of every entry."""
    run = play_file(file_world, tmp_path, entries=mine, gate={"engine": "off"})
    bars = read_bars(file_world.bars)
    trading = compile_trading(TradingConfig(), bars.instrument)
    view = view_of(bars, trading.pack, trading.hours)
    span, signals = span_of(view.located.session, 0), read_entries(mine, view, Clock()).signals

    path = play_carried(signals, view, trading, span)
    report_on(run.path)

    ts = bars.ts_event_ns
    columns = (path.trades.entry, ts[path.trades.exit_bar], path.trades.exit, path.trades.pnl_cents)
    trades = payloads(run, "trade")
    names = ("entry", "exit_ns", "exit", "pnl")
    assert [[trade[name] for trade in trades] for name in names] == [to_list(column) for column in columns]
    assert len(trades) > 5
    assert {each["code"] for each in payloads(run, "cancelled")} == {"own_price_passed"}
    told = json.loads((run.path / "verdict.json").read_text())["own_entries"]
    fates = entry_fates(signals, view, span, path)
    assert {name: told[name] for name in fates} == fates
    assert min(fates[name] for name in ("unfilled", "while_open", "outside_span")) > 0
    assert told["refused_by_gate"] == told["not_reached"] == 0


def test_it_is_replayed_and_weighed_without_the_traders_file(gated: RunFolder, mine: Path) -> None:
    """The run keeps its entries: every byte comes out again, and the recorded verdicts lead to the recorded trades."""
    mine.rename(mine.with_suffix(".away"))
    try:
        replayed = replay_run(gated)
        weighed = called("weigh", gated.path, "--reruns", 2, "--json")
        cases = called("cases", gated.path)
    finally:
        mine.with_suffix(".away").rename(mine)

    assert (replayed.difference, replayed.ended) == ("", True)
    assert json.loads(weighed.stdout)["paths"]["gate"]["trades"] == len(payloads(gated, "trade")) >= 3
    assert "0 cases on bars that the policy was trained on" in cases.stdout


def test_the_page_and_the_manifest_say_whose_entries_these_are(gated: RunFolder, mine: Path) -> None:
    summary, digest = report_on(gated.path), hashlib.sha256(mine.read_bytes()).hexdigest()

    manifest, text = gated.manifest(), text_of(gated)
    assert manifest.inputs.checkpoint_digest == "" and "checkpoint" not in manifest.inputs.config
    assert manifest.inputs.entries_digest == hashlib.sha256((gated.path / ENTRIES).read_bytes()).hexdigest()
    assert "A trader’s own entries, no policy." in text and digest in text
    assert "seen until 2020-01-02" in text and "Which account suits these entries?" in text
    assert "the policy" not in text.lower().replace("the policy or its phase 1", "")
    assert "given:" in summary["own_entries"] and "refused by the gate" in summary["own_entries"]
    assert NOBODY_SAID not in summary["because"]


def test_prices_of_ones_own_are_drawn_where_they_are(gated: RunFolder) -> None:
    """Stop and target at prices: the explorer shows them, whatever the entry filled at."""
    report_on(gated.path)
    prices = {p["bar"]: p for p in payloads(gated, "proposed") if "stop_price" in p}
    rows = [row for row in explored(gated)["rows"] if row["bar"] in prices and "trade" in row]

    assert rows
    for row in rows:
        own = prices[row["bar"]]
        assert (row["trade"]["stops"][0][1], row["trade"]["target"]) == (own["stop_price"], own["target_price"])


def test_without_a_day_nobody_knows_what_had_been_seen(file_world: FileWorld, mine: Path, tmp_path: Path) -> None:
    """With one that includes the bars they are in sample; a try is counted as an evaluation counts it."""
    said = {None: "NOT PROVEN", "2030-01-01": "IN SAMPLE"}

    words = {}
    for day in said:
        run = play_file(
            file_world, tmp_path, entries=mine, seen_until=day, gate={"engine": "off"}, name="seen" if day else "unseen"
        )
        summary = report_on(run.path)
        words[day] = summary["verdict"]
        assert (NOBODY_SAID in summary["because"]) == (day is None)
    assert words == said


def test_a_row_that_is_no_entry_stops_the_run_before_its_first_bar(
    file_world: FileWorld, mine: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.csv"
    lines = mine.read_text().splitlines()
    given = ("run", "--bars", file_world.bars, "--gate", "off", "--set", f"runs={tmp_path / 'runs'}", "--entries", bad)

    faults = []
    for row in (lines[1].replace("short", "up"), lines[2]):
        bad.write_text("\n".join([lines[0], row, *lines[2:]]) + "\n")
        faults.append(str(called(*given).exception))

    assert "bad.csv:2:side: unknown_side: 'up' - long or short (buy or sell, 1 or -1) was expected. Corr" in faults[0]
    assert "Keep one of the rows of this bar" in faults[1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--checkpoint", "runs/nq2", "--entries", "mine.csv"], "give either --checkpoint or --entries"),
        (["--mode", "paper", "--entries", "mine.csv"], "leave --entries out"),
        (["--seen-until", "2024-01-01"], "seen_until belongs to entries"),
        (["--entries", "mine.csv", "--seen-until", "soon"], "--seen-until 'soon': a day such as"),
    ],
)
def test_what_does_not_go_together_is_one_line(options: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        raise called("run", *options).exception  # type: ignore[misc]


def test_a_changed_copy_of_the_entries_is_refused(gated: RunFolder) -> None:
    kept = gated.path / ENTRIES
    before = kept.read_text()
    kept.write_text(before.replace(",1,", ",-1,", 1))
    try:
        with pytest.raises(DataError, match=r"entries\.json: is not what the run traded"):
            replay_run(gated)
        report_on(gated.path)
        assert "The run’s copy of them is lost." in text_of(gated)
    finally:
        kept.write_text(before)


def test_real_workers_play_the_entries(file_world: FileWorld, mine: Path, ungated: RunFolder, tmp_path: Path) -> None:
    """The policy worker reads what the run kept: the same journal as in one process, but for its settings."""
    settings = {"part": "all", "runs": tmp_path, "max_entries_per_session": 12}
    options = [f"--set={name}={value}" for name, value in settings.items()]

    told = called("run", "--bars", file_world.bars, "--entries", mine, "--gate", "off", "--json", *options)

    run = RunFolder(Path(json.loads(told.stdout.splitlines()[-1])["run"]))
    assert payloads(run, "trade") == payloads(ungated, "trade")
    assert called("show-config", "--entries", mine).stdout.count("checkpoint") == 0
    asked = called("doctor", "--bars", file_world.bars, "--entries", mine, "--gate", "off", "--json", *options)
    looked = {check["check"]: check["level"] for check in json.loads(asked.stdout)["checks"]}
    assert (looked["entries"], looked["plan"]) == ("ok", "ok")
    assert looked["rules"] in ("ok", "warning"), "a warning from the day on that the shipped reading is 90 days old"
    assert called("status", run.path).exit_code == called("compare", run.path, ungated.path).exit_code == 0


def to_list(column: Any) -> list[int]:
    """A column as plain integers."""
    return [int(value) for value in column]
