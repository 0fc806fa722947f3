"""What ails a run: every fault found in a real short run that has it, and none in one that has not."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from rl_core.bars.bars import Bars
from rl_core.cli import app
from rl_core.envs.entry_outcomes import with_entry_outcomes
from rl_core.envs.env import Env, EnvParams
from rl_core.envs.market_arrays import make_market
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import EnvArrays
from rl_core.ppo.loop import train
from rl_core.ppo.metrics import MetricRow
from rl_core.ppo.train import TrainState, initial_state
from rl_core.proofs.diagnose import ailments_in, diagnose, read_rows
from rl_core.worlds.controls import planted_world
from tests.browser import FITS, QUIET, WIDTHS, draw, needs_browser, too_wide
from tests.rl_core.markets import mnq_limits, mnq_venue, seen
from trigate.errors import ConfigError, DataError

USUAL = PPOConfig(
    num_envs=32,
    rollout_length=64,
    total_steps=32 * 64 * 64,
    learning_rate=1e-3,
    discount=0.9,
    gae_lambda=0.8,
    hidden=(32,),
    window_decay=1.0,
    hold_bias=2.0,
    entropy_coefficient=0.003,
    epochs=2,
    updates_per_sync=4,
)


@cache
def bars() -> Bars:
    return planted_world(5, 6, drift_atr=1.2).minutes


def rising() -> Bars:
    """The same minutes, each two ticks higher than the one before it: only longs pay."""
    lift = 8 * np.arange(len(bars()), dtype=np.int32)
    prices = {name: getattr(bars(), name) // 4 + lift for name in ("open", "high", "low", "close")}
    return replace(bars(), **prices, digest="")


def run_of(config: PPOConfig, market: Bars | None = None, start: TrainState | None = None) -> list[MetricRow]:
    """The rows of a run of phase 1."""
    rows: list[MetricRow] = []
    world = EnvArrays(make_market(seen(market or bars())), EnvParams(mnq_venue(), mnq_limits(), 0.2, 1.0))
    state = initial_state(config, Env(1), world) if start is None else start

    def note(state: TrainState, row: MetricRow) -> bool:
        rows.append(row)
        return False

    train(config, Env(1), world, state, note)
    return rows


def names(rows: list[MetricRow]) -> set[str]:
    return {finding.name for finding in ailments_in(rows)}


@cache
def healthy() -> list[MetricRow]:
    return run_of(USUAL)


def test_a_healthy_run_has_no_finding() -> None:
    assert names(healthy()) == set()


def test_every_figure_of_a_live_run_is_in_its_rows() -> None:
    wanted = {
        "steps_per_s",
        "episode_return",
        "p_entry_flat",
        "long_share",
        "entropy_choice",
        "kl",
        "clip_fraction",
        "explained_variance",
        "drawdown_r",
    }

    last = healthy()[-1]

    assert all(last[name] is not None for name in wanted) and last["drawdown_r"] > 0  # type: ignore[operator]


def test_a_policy_that_never_enters_is_in_a_hold_trap() -> None:
    """e^-12 of an entry: a whole run sees a handful of them."""
    rows = run_of(USUAL.model_copy(update={"hold_bias": 12.0}))

    assert "hold_trap" in names(rows)


def test_a_market_that_only_rises_makes_a_one_sided_policy() -> None:
    rows = run_of(USUAL.model_copy(update={"hold_bias": 0.0, "learning_rate": 3e-3, "epochs": 4}), rising())

    assert "one_sided" in names(rows)


def test_trades_that_earn_more_than_any_market_pays_are_known_by_heart() -> None:
    """Recorded of the default training on five sessions of gold: 99 of 100 trades won."""
    early, late = {"step": 1, "trades": 300, "mean_r": -0.5}, {"step": 2, "trades": 100, "mean_r": 2.83}

    assert names([early, early, late, late]) == {"known_by_heart"}
    assert names([early, early, {**late, "mean_r": 1.5}, late | {"mean_r": 1.5}]) == set()
    assert names([early, early, {**late, "trades": 24}, late | {"trades": 25}]) == set()
    assert names([late, late, early, early]) == set()


def test_a_critic_that_is_not_trained_is_dead() -> None:
    rows = run_of(USUAL.model_copy(update={"value_coefficient": 1e-9, "shared_torso": False}))

    assert "dead_critic" in names(rows)


def test_a_rate_that_changes_nothing_freezes_the_policy() -> None:
    rows = run_of(USUAL.model_copy(update={"learning_rate": 1e-9}))

    assert "frozen_policy" in names(rows) and "frozen_schedule" not in names(rows)


def test_a_schedule_that_ended_early_is_frozen() -> None:
    """The optimiser's count starts halfway, as if the schedule were stepped too fast."""
    world = EnvArrays(make_market(seen(bars())), EnvParams(mnq_venue(), mnq_limits(), 0.2, 1.0))
    state = initial_state(USUAL, Env(1), world)
    ahead = jax.tree.map(
        lambda leaf: jnp.full_like(leaf, USUAL.optimiser_steps // 2) if leaf.dtype == jnp.int32 else leaf,
        state.learner.optimiser,
    )

    rows = run_of(USUAL, start=state._replace(learner=state.learner._replace(optimiser=ahead)))

    assert names(rows) & {"frozen_schedule", "frozen_policy"} == {"frozen_schedule", "frozen_policy"}


def test_a_rate_far_too_high_explodes() -> None:
    rows = run_of(USUAL.model_copy(update={"learning_rate": 0.03, "epochs": 8, "schedule": "constant"}))

    assert "exploding_updates" in names(rows)


def test_skipped_steps_are_named_with_their_number() -> None:
    rows = [{**row, "skipped_steps": 1} for row in healthy()]

    (found,) = ailments_in(rows)

    assert (found.name, found.figure, found.key) == ("skipped_steps", len(rows), "ppo.learning_rate")


def test_the_command_writes_a_page_and_names_the_fault(tmp_path: Path) -> None:
    rows = [{**row, "p_entry_flat": 1e-5} for row in healthy()]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 1')

    done = CliRunner().invoke(app, ["diagnose", str(tmp_path), "--json"])

    found = json.loads(done.stdout)
    assert done.exit_code == 0 and found["rows"] == len(rows)
    assert [(f["name"], f["plot"], f["key"]) for f in found["findings"]] == [
        ("hold_trap", "p_entry_flat", "ppo.hold_bias")
    ]
    page = (tmp_path / "diagnosis.html").read_text()
    assert "hold trap" in page and 'id="plot-p_entry_flat"' in page and "<script src" not in page


@needs_browser
def test_the_page_is_drawn_and_fetches_nothing(tmp_path: Path) -> None:
    rows = [{**row, "p_entry_flat": 1e-5} for row in healthy()]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert CliRunner().invoke(app, ["diagnose", str(tmp_path)]).exit_code == 0

    page = (tmp_path / "diagnosis.html").read_text()
    drawn = draw(page, tmp_path)

    assert drawn.seen == QUIET and drawn.plots >= 1
    assert {width: too_wide(page, tmp_path, width) for width in WIDTHS} == dict.fromkeys(WIDTHS, FITS)


def test_a_folder_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no metrics"):
        read_rows(tmp_path)
    (tmp_path / "training_metrics_NQ.json").write_text(json.dumps(healthy()[:2]))
    with pytest.raises(ConfigError, match="2 rows of metrics are too few"):
        diagnose(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("no row\n")
    with pytest.raises(DataError, match="cannot be read"):
        diagnose(tmp_path)


@pytest.mark.parametrize(
    "content", ["null\n" * 5, '{"kl": 0.1}\n' * 5, '{"step": 1, "kl": "much"}\n' * 5, '{"step": "1"}\n' * 5, "7\n" * 5]
)
def test_rows_that_are_no_metrics_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(content)

    with pytest.raises(DataError, match="its metrics cannot be read: row 1 is no row of metrics"):
        diagnose(tmp_path)


def test_rows_with_few_columns_are_judged_by_what_they_have(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "long_share": 1.0}\n' * 5)

    assert diagnose(tmp_path).ailments == []


RECORDED = {"learning_rate": 1e-3, "kl": 0.01, "clip_fraction": 0.1, "explained_variance": 0.2, "entries": 0}


def recorded(**columns: float) -> list[MetricRow]:
    """Eight rows of 1,000 bars, all alike."""
    return [{**RECORDED, "step": 1000 * (k + 1), **columns} for k in range(8)]


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        # phase1_nq.toml on NQ as it was: 3 M bars, and nothing learned
        ({"entropy_choice": 1.0, "p_entry_flat": 0.672, "choices": 30}, "still_uniform"),
        ({"entropy_choice": 1.0, "p_entry_flat": 0.672, "choices": 30}, "few_choices"),
        ({"p_entry_flat": 0.001, "known_entry_r": 0.12, "known_random_r": -0.1}, "hold_trap"),
        ({"p_entry_flat": 0.001, "known_entry_r": -0.04, "known_random_r": -0.1}, "nothing_to_enter"),
        ({"p_entry_flat": 0.2, "known_served_entries": 0.0, "known_served_longs": 0.0}, "served_never"),
        ({"p_entry_flat": 0.2, "known_served_entries": 0.1, "known_served_longs": 0.94}, "served_one_sided"),
        ({"explained_variance": -0.03}, "dead_critic"),
    ],
)
def test_recorded_rows_are_named(columns: dict[str, float], name: str) -> None:
    assert name in names(recorded(**columns))


@pytest.mark.parametrize(
    "columns",
    [
        {"entropy_choice": 0.98, "p_entry_flat": 0.672, "choices": 101},
        {"entropy_choice": 1.05, "p_entry_flat": 0.59, "choices": 500},
        {"p_entry_flat": 0.02, "choices": 30, "known_entry_r": 0.5, "known_random_r": -0.1},
        {"p_entry_flat": 0.003, "known_entry_r": -0.5, "known_random_r": -0.1},
        {"p_entry_flat": 0.02, "known_served_entries": 0.0, "known_served_longs": 0.0},
        {"p_entry_flat": 0.2, "known_served_entries": 0.001, "known_served_longs": 0.9},
    ],
)
def test_rows_just_within_the_bounds_are_not(columns: dict[str, float]) -> None:
    assert names(recorded(**columns)) == set()


PLAYED = {"sessions": 81, "trades": 145, "long_share": 0.9241}  # the quick start's policy on real bars


def test_the_command_reads_an_evaluation_as_well(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in recorded()))
    (tmp_path / "nq1.json").write_text(json.dumps(PLAYED))

    done = CliRunner().invoke(app, ["diagnose", str(tmp_path), "--evaluation", str(tmp_path / "nq1.json")])

    assert done.exit_code == 0 and done.stdout.startswith(
        "played_one_sided: 92 % of the 145 trades played are long: the market's direction is judged, not entries (a "
        "fault above 0.9); mirror: true shows it every market upside down as well\n1 finding in 8 rows; plots: "
    )
    page = (tmp_path / "diagnosis.html").read_text()
    assert "played one sided" in page and "Seen in what was played" in page and "#plot-None" not in page


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"sessions": 0, "trades": 0}',
        '{"sessions": 2, "trades": true, "long_share": 0.5}',
        '{"sessions": 2, "trades": 3}',
        '{"sessions": 2, "trades": 3, "long_share": 1.5}',
    ],
)
def test_a_file_that_is_no_evaluation_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in recorded()))
    (path := tmp_path / "e.json").write_text(content)

    with pytest.raises(
        DataError,
        match=r"e\.json: (cannot be read as an evaluation|is no evaluation, .*; give what `rl-core evaluate RUN)",
    ):
        diagnose(tmp_path, path)


def test_a_run_that_knows_its_entries_shows_what_they_earn() -> None:
    """On a planted world the entries that the policy comes to prefer earn far more than random ones."""
    market = make_market(seen(bars()))
    params = EnvParams(mnq_venue(), mnq_limits(), 0.2, 1.0)
    world = EnvArrays(with_entry_outcomes(market, params, credit_decay=1.0), params)
    rows: list[MetricRow] = []

    def note(state: TrainState, row: MetricRow) -> bool:
        rows.append(row)
        return False

    train(USUAL, Env(1), world, initial_state(USUAL, Env(1), world), note)

    late = rows[-1]
    assert (late["known_entry_r"] or 0) > (late["known_random_r"] or 0) + 0.3
    assert 0 < (late["known_served_entries"] or 0) < 0.2
    assert not {"still_uniform", "few_choices", "served_never"} & names(rows)
