"""A run in another window, ATR and bracket: what it leaves, and what refuses it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rl_core.checkpoints.checkpoint import save_checkpoint
from rl_core.checkpoints.manifest import read_manifest
from rl_core.checkpoints.policy import check_yardstick, load_trader
from rl_core.checkpoints.provenance import trading_of
from rl_core.errors import FitError
from rl_core.evaluation.evaluate import evaluate
from rl_core.evaluation.trades import Trades
from rl_core.features.market_view import view_of
from rl_core.market.types import STOP, TARGET
from rl_core.market.yardstick import USUAL
from rl_core.ppo.train import initial_state
from rl_core.trading.setup import compile_trading
from rl_core.training.config import TrainConfig
from rl_core.training.parents_settings import with_parents_settings
from rl_core.training.plan import identity_of, plan_training
from tests.rl_core.markets import RULES_FOLDER, small_view
from tests.rl_core.training.settings import PPO

RULES = str(RULES_FOLDER / "plain_static.toml")
OTHER = {
    "rules": RULES,
    "bracket": {"stop_atr": "2", "target_stops": "1.5"},
    "features": {"window": 7, "atr_bars": 5},
}


def config(phase: int, **trading: object) -> TrainConfig:
    """A run on the first two of three sessions; without the table of entries, which `test_entry_outcomes` tests."""
    ppo = {**PPO, "known_entries": False}
    return TrainConfig.model_validate({"phase": phase, "train_share": 0.7, "ppo": ppo, "trading": trading})


@pytest.fixture(scope="module")
def phase1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of such a run before its first update."""
    plan = plan_training(config(1, **OTHER), small_view().bars)
    state = initial_state(plan.config.ppo, plan.env, plan.env_arrays)
    identity = identity_of(plan, 0)
    return save_checkpoint(tmp_path_factory.mktemp("lengths"), state, identity, final=True, extra=plan.extra)


def brackets(trades: Trades) -> set[float]:
    """Targets in stops, of the trades that reached one; a target never slips."""
    gross = abs(trades.exit - trades.entry) * abs(trades.quantity)
    reached = trades.reason == TARGET
    return set((gross[reached] * 50 / trades.risk_cents[reached]).round(1).tolist())


def test_the_checkpoint_sees_and_trades_in_its_own_lengths(phase1: Path) -> None:
    """7 x 11 + 5 inputs; every target that is reached lies 1.5 stops away."""
    policy, bars = load_trader(phase1), small_view().bars
    assert policy.identity is not None and policy.identity.observation_size == policy.observation_size == 82
    entering = replace(policy, biases=(*policy.biases[:-1], np.array([-99, 0, 0], np.float32)))
    trading = compile_trading(trading_of(policy.identity), bars.instrument)
    view = view_of(bars, trading.pack, trading.hours, trading.yardstick)

    judged = evaluate(entering, view, trading, 0, len(bars))

    assert (judged.trades.reason == STOP).any()
    assert brackets(judged.trades) <= {1.5, 1.6} and len(brackets(judged.trades)) > 0


def test_phase_2_goes_on_in_the_lengths_of_its_phase_1(phase1: Path) -> None:
    """Nothing is said of them, so the parent's hold: 3 inputs more than phase 1's 82."""
    taken_over = with_parents_settings(config(2), read_manifest(phase1).identity.config)

    plan = plan_training(taken_over, small_view().bars, parent=phase1)

    assert plan.env.observation_size == 85 and plan.env.yardstick == config(1, **OTHER).trading.yardstick


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bracket": {"stop_atr": "2", "target_stops": "2.5"}}, "feature target_stops 1.5 in the checkpoint, 2.5 here"),
        ({"bracket": {"target_stops": "1.5"}}, "feature stop_atr 2.0 in the checkpoint, usual here"),
        ({"features": {"window": 8, "atr_bars": 5}}, "feature window 7 in the checkpoint, 8 here"),
        ({"features": {"window": 7}}, "feature atr_bars 5 in the checkpoint, 14 here"),
    ],
)
def test_phase_2_in_other_lengths_is_refused_with_the_remedy(
    phase1: Path, changed: dict[str, object], said: str
) -> None:
    remedy = "; give the settings that it was trained with, or train again"

    with pytest.raises(FitError, match=f"{said}{remedy}$") as refused:
        plan_training(config(2, **{**OTHER, **changed}), small_view().bars, parent=phase1)

    assert "\n" not in str(refused.value)


def test_a_run_asks_for_the_checkpoints_own_lengths(phase1: Path) -> None:
    identity = read_manifest(phase1).identity

    check_yardstick(phase1, identity, config(1, **OTHER).trading.yardstick)
    with pytest.raises(FitError, match=r"feature window 7 in the checkpoint, 20 here.*train again"):
        check_yardstick(phase1, identity, USUAL)
