"""The calibration of the verdict runs, tells worlds apart, and counts as the registry does."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import verdict
from bench.verdict import CHOSEN, COUNTED, UNCOUNTED, Given, break_even, evaluation_of, experiment, judged, lines_of
from bench.verdict_played import Traded, _one_at_a_time
from bench.verdict_rules import RULES, Grid, channel, momentum, new_extreme, thinned
from bench.verdict_worlds import drawn_worlds
from rl_core.features.market_view import view_of

SMALL = Given(worlds=3, inside=40, outside=80, seed=5, drift_atr=1.5)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Three worlds of each kind; the planted edge is so large that 80 sessions show it."""
    return experiment(SMALL)


def passes(found: dict[str, Any], kind: str, protocol: str) -> int:
    """In how many worlds the word was PASS."""
    return next(row["passes"] for row in found["rows"] if (row["worlds"], row["protocol"]) == (kind, protocol))


def test_the_verdict_says_pass_where_there_is_an_edge_and_nowhere_else(found: dict[str, Any]) -> None:
    """A verdict that always said the same would fail one of the two."""
    for protocol in (CHOSEN, COUNTED):
        assert passes(found, "planted", protocol) == 3
        assert passes(found, "no edge", protocol) == 0
    assert all(fact["mean_r"] > 0.3 and fact["error"] < 0.1 for fact in found["planted"].values())
    assert set(found["chosen_before"]["planted"]) <= {"burst of 4 volumes", "burst of 3 volumes, 0.5 ATR"}


def test_the_table_is_printed_with_intervals_and_settings(found: dict[str, Any]) -> None:
    lines = lines_of(found)

    assert lines[0].startswith("best of 20 rules, chosen on 40 sessions, judged on the next 80; 3 worlds of each kind")
    assert any("planted     chosen before" in line and "3/3" in line and "43.9 to 100.0 %" in line for line in lines)
    assert "s of CPU" in lines[-1]


def test_the_command_prints_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The experiment itself ran above."""
    monkeypatch.setattr(verdict, "experiment", lambda given: {"settings": given._asdict()})
    monkeypatch.setattr(sys, "argv", ["verdict.py", "--worlds", "7", "--json"])

    verdict.main()

    assert json.loads(capsys.readouterr().out)["settings"]["worlds"] == 7


def test_who_shows_the_best_of_twenty_looks_is_held_to_twenty(tmp_path: Path) -> None:
    """One rule earns what would be a PASS for whoever tried it alone; the others nothing."""
    given = Given(worlds=1, inside=40, outside=80, seed=0, drift_atr=0.0)
    rng = np.random.default_rng(3)
    session = np.repeat(np.arange(120), 3)
    even = [np.tile([2.0, -1.0, -1.0], sessions) for sessions in (given.inside, given.outside)]
    luck = {rule: np.concatenate([rng.permutation(part) for part in even]) for rule in range(len(RULES))}
    luck[4] = luck[4] + 0.25
    rows = [(np.full(360, rule), session, r) for rule, r in luck.items()]
    world = Traded(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    found = judged(world, given, tmp_path / "tries")

    assert found.rule == list(RULES)[4] and found.trades == 240
    assert found.words == {CHOSEN: "PASS", COUNTED: "NOT PROVEN", UNCOUNTED: "PASS"}


def test_costs_are_given_back_rule_by_rule() -> None:
    worlds = [Traded(np.array([0, 0, 3]), np.array([0, 1, 1]), np.array([1.0, -2.0, 5.0]))] * 2

    assert [world.r.tolist() for world in break_even(worlds)] == [[1.5, -1.5, 0.0]] * 2


def test_one_position_at_a_time() -> None:
    """Of one session's entries the second comes while the first is open, and the third does not."""
    group, minute, held = np.array([0, 0, 0, 7]), np.array([10, 30, 50, 12]), np.array([40, 300, 5, 5])

    assert _one_at_a_time(group, minute, held).tolist() == [True, False, True, True]


def test_entries_are_apart_and_few() -> None:
    side = np.ones((1, 1, 390), np.int8)
    side[0, 0, 25] = -1
    allowed = np.ones((1, 390), np.bool_)
    allowed[0, :5] = False

    kept = np.flatnonzero(thinned(side, allowed)[0, 0])

    assert kept.tolist() == [5 + 20 * number for number in range(8)]


def test_rules_see_no_bar_after_the_one_they_decide_at() -> None:
    """Later bars are changed, and what was decided before stays."""
    rng = np.random.default_rng(0)
    close = 80_000 + np.cumsum(rng.integers(-40, 41, (2, 390)), axis=1)
    volume = rng.exponential(1_000, (2, 390)).astype(np.int64)
    opened = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    grid = Grid(opened, close + 9, close - 9, close, volume, np.full((2, 390), 15.0))
    changed = Grid(*(np.where(np.arange(390) >= 340, column + 700, column) for column in grid))

    for name, rule in RULES.items():
        assert rule(grid)[:, :340].tolist() == rule(changed)[:, :340].tolist(), name
        assert rule(grid)[:, :340].any(), name


def test_worlds_are_seen_as_any_market_is() -> None:
    """Without rows of features, the view says of ranges, hours and sessions what it says of a file of bars."""
    worlds = drawn_worlds(2, 1, 3, drift_atr=0.4)
    usual = view_of(worlds.view.bars, worlds.trading.pack, worlds.trading.hours, worlds.trading.yardstick)

    np.testing.assert_array_equal(worlds.view.features.true_range_sum, usual.features.true_range_sum)
    np.testing.assert_array_equal(worlds.view.hours.entry_open, usual.hours.entry_open)
    np.testing.assert_array_equal(worlds.view.last_in_session, usual.last_in_session)
    assert not worlds.may_enter[:4].any() and worlds.may_enter[4:].any(axis=1).all()
    assert usual.features.warm.reshape(-1, 390)[4:].all(), "the warm-up is as long as that of the features"


def test_rules_by_hand() -> None:
    """At bar 200, against a computation from the definition."""
    rng = np.random.default_rng(1)
    close = 80_000 + np.cumsum(rng.integers(-60, 61, (50, 390)), axis=1)
    grid = Grid(close, close + 9, close - 9, close, close, np.full((50, 390), 30.0))
    now, before = close[:, 200], slice(200 - 30, 200)

    extreme = (now > grid.high[:, before].max(axis=1)).astype(int) - (now < grid.low[:, before].min(axis=1))
    mean = close[:, 181:201].mean(axis=1)

    assert new_extreme(grid, bars=30)[:, 200].tolist() == extreme.tolist()
    assert channel(grid, bars=20, atr=3.0)[:, 200].tolist() == (
        np.where(np.abs(now - mean) > 90, np.sign(now - mean), 0).tolist()
    )
    assert momentum(grid, bars=5, atr=3.0, way=-1)[:, 200].tolist() == (
        np.where(np.abs(now - close[:, 195]) > 90, -np.sign(now - close[:, 195]), 0).tolist()
    )


def test_an_evaluation_holds_the_trades() -> None:
    held = evaluation_of(np.array([0, 0, 3]), np.array([3.0, -1.0, 0.25]), 5)

    assert held.trades.r.tolist() == [3.0, -1.0, 0.25] and held.sessions == 5
    assert held.expectancy is not None and held.expectancy.sessions == 2
