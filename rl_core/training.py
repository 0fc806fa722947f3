"""One training run from a file of bars to a checkpoint: phase 1, or phase 2 from phase 1."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from rl_core.bars import Bars
from rl_core.checkpoint import load_learned, save_checkpoint, write_records
from rl_core.contract import ACTION_NAMES
from rl_core.envs.base import Env, EnvParams, make_market
from rl_core.errors import ConfigError, DataError, TrigateError
from rl_core.features import fingerprint
from rl_core.ladder import Ladder
from rl_core.manifest import Expected, Identity, find_checkpoint
from rl_core.ppo.config import PPOConfig
from rl_core.ppo.environment import World
from rl_core.ppo.metrics import Summary
from rl_core.ppo.networks import Parameters
from rl_core.ppo.normaliser import Normaliser
from rl_core.ppo.train import TrainState, initial_state, train
from rl_core.ppo.transfer import TransferReport, transfer
from rl_core.trading import Trading, TradingConfig, compile_trading, resolved
from rl_core.view import View, view_of

TRANSFER_STATES = 4096


class EpisodeConfig(BaseModel):
    """How an episode starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    least_room: float = Field(0.2, gt=0, le=1, description="room to the floor at the start, share of the limit")
    most_room: float = Field(1.0, gt=0, le=1)


class TrainConfig(BaseModel):
    """One phase of training."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    phase: Literal[1, 2] = 1
    train_share: float = Field(0.8, gt=0, le=1, description="of the sessions, from the first; the rest is held out")
    ppo: PPOConfig = PPOConfig()
    trading: TradingConfig = TradingConfig()
    episodes: EpisodeConfig = EpisodeConfig()


class Split(NamedTuple):
    """Which bars are trained on."""

    stop: int  # index after the last training bar
    stop_ns: int  # end of the last training bar's session, as the start of the next bar; the file's end if all


class Trained(NamedTuple):
    """What a run left."""

    checkpoint: Path
    rows: list[Summary]
    transfer: TransferReport | None
    stop: str


def check_parent(config: TrainConfig, parent: Path | None) -> None:
    """ConfigError unless phase 2 has a parent and phase 1 has none."""
    if (config.phase == 2) != (parent is not None):
        raise ConfigError("phase 2 starts from a phase 1 run (--from RUN); phase 1 starts from nothing")


def split_of(view: View, share: float) -> Split:
    """The first ``share`` of the sessions, whole.

    Raises:
        DataError: not one session is left to train on.
    """
    session = view.located.session
    days = np.unique(session)
    kept = int(len(days) * share)
    if kept == 0:
        raise DataError(f"{len(days)} sessions are too few to train on a share of {share:g}")
    stop = len(session) if kept == len(days) else int(np.searchsorted(session, days[kept]))
    last_ns = int(view.bars.ts_event_ns[stop]) if stop < len(session) else int(view.bars.ts_event_ns[-1]) + 1
    return Split(stop, last_ns)


def train_run(
    config: TrainConfig,
    bars: Bars,
    out: Path,
    *,
    parent: Path | None = None,
    ladder: Ladder | None = None,
    on_update: Callable[[Summary], bool] = lambda row: False,
) -> Trained:
    """Train one phase on ``bars`` and leave its checkpoint and records in ``out``.

    Args:
        config: everything that shapes the run.
        bars: minute bars of one market.
        out: the run's folder.
        parent: phase 1's run or checkpoint folder; phase 2 needs it.
        ladder: the second bars of ``bars``, reduced.
        on_update: called with each row of metrics; True asks to stop (and save).

    Raises:
        ConfigError: phase 2 without a parent, or no checkpoint there.
        DataError: too few bars.
        FitError: the parent does not fit.
        TrigateError: training met a non-finite loss and was stopped.
    """
    check_parent(config, parent)
    trading = compile_trading(resolved(config.trading, seconds=ladder is not None), bars.instrument)
    view = view_of(bars, trading.pack, trading.hours)
    split = split_of(view, config.train_share)
    if not (view.hours.entry_open & view.features.warm)[: split.stop].any():
        raise DataError("the training part holds no warm bar in entry hours; give more sessions")
    env = Env(config.phase)
    market = make_market(view, stop=split.stop, ladder=ladder, frictions=trading.frictions)
    world = World(market, _params(config, trading))
    start, report = (None, None) if parent is None else _transferred(config, env, world, parent)
    state = initial_state(config.ppo, env, world, start=start)

    rows: list[Summary] = []

    def note(state: TrainState, row: Summary) -> bool:
        rows.append(row)
        return on_update(row)

    result = train(config.ppo, env, world, state, note)
    if result.stop == "not_finite":
        raise TrigateError("training stopped: the loss was not finite; lower the learning rate")
    identity = _identity(config, bars, split, int(result.state.updates) * config.ppo.batch_size)
    checkpoint = save_checkpoint(out / "checkpoints", result.state, identity, final=True)
    metadata = {"checkpoint": checkpoint.name, "stop": result.stop, **identity.model_dump(mode="json")}
    if report is not None:
        metadata["transfer"] = {"divergence": report.divergence, "states": report.states, "fates": report.fates}
    write_records(out, market=bars.instrument.symbol, metrics=rows, metadata=metadata)
    return Trained(checkpoint, rows, report, result.stop)


def _params(config: TrainConfig, trading: Trading) -> EnvParams:
    return EnvParams(trading.venue, trading.limits, config.episodes.least_room, config.episodes.most_room)


def _transferred(
    config: TrainConfig, env: Env, world: World, parent: Path
) -> tuple[tuple[Parameters, Normaliser], TransferReport]:
    """Phase 2's first parameters, from phase 1's last."""
    learned = load_learned(find_checkpoint(parent, phase=1), expected=Expected(phase=1, fingerprint=fingerprint()))
    key_states, key_new = jax.random.split(jax.random.key(config.ppo.seed + 1))
    shown = env.observe(*world, env.reset(*world, key_states, TRANSFER_STATES))
    moved = transfer(config.ppo, (learned.parameters, learned.normaliser), shown, key=key_new)
    return (moved.parameters, moved.normaliser), moved.report


def _identity(config: TrainConfig, bars: Bars, split: Split, step: int) -> Identity:
    env = Env(config.phase)
    features = fingerprint()
    return Identity(
        phase=config.phase,
        market=bars.instrument.symbol,
        step=step,
        observation_size=env.observation_size,
        actions=ACTION_NAMES[: env.num_actions],
        fingerprint=features.digest,
        features=dict(features.parts),
        config={**config.model_dump(mode="json"), "trained_until_ns": split.stop_ns},
        data_digest=bars.digest,
    )
