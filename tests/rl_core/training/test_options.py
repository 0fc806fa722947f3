"""Every option of training at once: both phases, stopped and continued, and nothing of it when the policy is used."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from rl_core.bars.bars import Bars
from rl_core.checkpoints.checkpoint import restore_state, save_checkpoint
from rl_core.checkpoints.manifest import Expected, read_manifest
from rl_core.checkpoints.policy import POLICY_FILE, load_trader
from rl_core.checkpoints.provenance import first_held_out, trading_of
from rl_core.errors import FitError
from rl_core.evaluation.evaluate import evaluate
from rl_core.exchange.instruments import instrument
from rl_core.ppo.metrics import MetricRow
from rl_core.ppo.train import initial_state, update
from rl_core.regimes.fitted import UNFITTED, frozen_regimes
from rl_core.trading.setup import compile_trading
from rl_core.training.config import TrainConfig
from rl_core.training.plan import TrainingPlan, plan_training
from rl_core.training.run import TrainingResult, continue_run
from tests.rl_core.markets import RULES_FOLDER, random_bars, seen_again, small_view
from trigate.errors import ConfigError

PPO = {
    "num_envs": 4, "rollout_length": 8, "total_steps": 32 * 4, "minibatches": 1, "epochs": 1, "hidden": [8],
    "hold_bias": -2.0, "updates_per_sync": 1, "entropy_control": {"share": 0.9, "most_change": 1.2},
    "warmup_updates": 2,
}  # fmt: skip
EASY = {"cost_share": 0.0, "cost_updates": 3, "entry_bonus": 0.1, "entry_updates": 4}
FORCED = {"forced_share": 0.5, "forced_updates": 3}


def settings(phase: int, **changed: Any) -> TrainConfig:
    """Four updates of everything."""
    episodes = {"most_profit": 0.3, "rules": "relaxed" if phase == 1 else "strict"}
    return TrainConfig.model_validate(
        {
            "phase": phase,
            "train_share": 0.7,
            "mirror": True,
            "ppo": PPO | {"known_entries": phase == 2},
            "episodes": episodes,
        }
        | {"trading": {"rules": RULES_FOLDER / "apex_legacy_50k_eval.toml"}}
        | {"curriculum": EASY | (FORCED if phase == 2 else {})}
        | changed
    )


@cache
def es_bars() -> Bars:
    """Other prices at the times of the small market."""
    bars = random_bars(5, small_view().bars.ts_event_ns, spread=5.0)
    return replace(bars, instrument=instrument("ES"), digest="")


def plan_of(phase: int, parent: Path | None = None) -> TrainingPlan:
    return plan_training(settings(phase), small_view().bars, others=[es_bars()], parent=parent)


class Runs(NamedTuple):
    """Phase 1; phase 2 in one go, and stopped after two updates and continued; updates compiled on the way."""

    first: TrainingResult
    whole: TrainingResult
    halves: TrainingResult
    folder: Path
    compiled: tuple[int, int, int]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("options")
    before = update._cache_size()
    first = continue_run(plan_of(1), folder / "one")
    between = update._cache_size()
    second = plan_of(2, folder / "one")
    whole = continue_run(second, folder / "whole")

    def at_two(row: MetricRow) -> bool:
        return row["update"] == 2

    continue_run(second, folder / "halves", on_update=at_two)
    halves = continue_run(plan_of(2, folder / "one"), folder / "halves")
    after = update._cache_size()
    return Runs(first, whole, halves, folder, (before, between, after))


def test_one_compile_a_run_as_curricula_and_coefficients_change(runs: Runs) -> None:
    before, between, after = runs.compiled

    assert between - before == 1 and after - between == 1


def test_stopped_and_continued_it_is_the_whole_and_no_adjustment_is_written_twice(runs: Runs) -> None:
    paths = [runs.folder / name / "adjustment_history.json" for name in ("whole", "halves")]
    history = [json.loads(path.read_text()) for path in paths]

    assert runs.halves.began == 64
    assert history[0] == history[1] and [row["update"] for row in history[0]] == [1, 2, 3, 4]
    assert sorted(history[0][0]) == ["coefficient", "entropy", "step", "target", "update"]
    assert len({row["coefficient"] for row in history[0]}) == 4
    digests = [read_manifest(run.checkpoint).files[POLICY_FILE] for run in (runs.whole, runs.halves)]
    assert digests[0] == digests[1]


def test_the_checkpoint_says_what_it_was_trained_with(runs: Runs) -> None:
    identity = read_manifest(runs.whole.checkpoint).identity

    assert identity.market == "NQ+ES" and (runs.folder / "whole/training_metrics_NQ+ES.json").is_file()
    assert identity.config["curriculum"]["forced_share"] == 0.5 and identity.config["mirror"] is True
    assert identity.config["ppo"]["entropy_control"]["share"] == 0.9
    assert identity.data_digest not in (small_view().bars.digest, es_bars().digest)
    assert frozen_regimes(runs.whole.checkpoint, "NQ") == UNFITTED


@pytest.mark.parametrize("market", ["NQ", "ES"])
def test_the_policy_serves_each_market_and_sees_no_option(runs: Runs, tmp_path: Path, market: str) -> None:
    """The same arrays under an identity without any option: the same file to serve, and the same trades."""
    plan = plan_of(2, runs.folder / "one")
    like = initial_state(plan.config.ppo, plan.env, plan.env_arrays)
    state, identity = restore_state(runs.whole.checkpoint, like, expected=Expected())
    plain = TrainConfig.model_validate({"phase": 2, "trading": identity.config["trading"], "ppo": {"hidden": [8]}})
    bare = plain.model_dump(mode="json") | {"trained_until_ns": identity.config["trained_until_ns"]}
    other = save_checkpoint(tmp_path, state, identity.model_copy(update={"config": bare}), final=True)
    bars = small_view().bars if market == "NQ" else es_bars()

    found = []
    for checkpoint in (runs.whole.checkpoint, other):
        policy = load_trader(checkpoint)
        assert policy.identity is not None
        trading = compile_trading(trading_of(policy.identity), bars.instrument)
        first = first_held_out(policy.identity, bars)
        found.append(evaluate(policy, seen_again(small_view(), bars), trading, first, len(bars)))

    for ours, theirs in zip(found[0].trades, found[1].trades, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found[0].sessions == 1 and len(found[0].trades.r) > 0
    assert (runs.whole.checkpoint / POLICY_FILE).read_bytes() == (other / POLICY_FILE).read_bytes()


def test_phase_2_enters_as_phase_1_did(runs: Runs) -> None:
    report = runs.whole.transfer

    assert report is not None and report.divergence < 1e-4 and report.states > 0 and report.count("copied") > 0


def test_training_refuses_a_phase_2_that_enters_otherwise(runs: Runs, tmp_path: Path) -> None:
    """Parameters that are no numbers agree with nothing; of a network with other names nothing could be copied."""
    plan = plan_of(2, runs.folder / "one")
    assert plan.parent is not None
    moved = plan.parent._replace(parameters=jax.tree.map(lambda leaf: leaf * np.nan, plan.parent.parameters))
    renamed = plan.parent._replace(parameters={f"old_{name}": part for name, part in plan.parent.parameters.items()})

    with pytest.raises(FitError, match="does not enter as phase 1 does"):
        continue_run(plan._replace(parent=moved), tmp_path / "moved")
    with pytest.raises(FitError, match="copied no parameter"):
        continue_run(plan._replace(parent=renamed), tmp_path / "renamed")


def test_the_sessions_of_all_markets_share_what_is_played() -> None:
    """Two of three are trained on, of which the first warms up; upside down they are the same sessions."""
    assert plan_of(1).sessions == 2


def test_what_does_not_belong_together_is_refused() -> None:
    with pytest.raises(ValueError, match="'relaxed' is for phase 1"):
        settings(2, episodes={"rules": "relaxed"})
    with pytest.raises(ValueError, match="forced_share is for phase 2"):
        settings(1, curriculum=FORCED)
    with pytest.raises(ValueError, match=r"least_room 0\.9 is above most_room 0\.3"):
        settings(1, episodes={"least_room": 0.9, "most_room": 0.3})
    with pytest.raises(ValueError, match=r"phase 1 learns with ppo\.known_entries = false"):
        settings(1, ppo=PPO)
    with pytest.raises(ValueError, match="cost_updates must say when"):
        settings(1, curriculum={"cost_share": 0.5})
    with pytest.raises(ConfigError, match="4 environments cannot play 6 markets"):
        plan_training(settings(1), small_view().bars, others=[es_bars()] * 2)
