"""A small demo world and two untrained policies on it, made once; and the command that plays them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.processes.commands import ROOT, Started


class DemoWorld(NamedTuple):
    """What a run needs."""

    minutes: Path
    seconds: Path  # of the first half of the first held-out session only
    phase1: Path  # a checkpoint
    phase2: Path


SESSIONS, TRAINED = 4, 2  # every run reads those that were trained on before it plays the others
SESSION_BARS = 1380
LEFT_OUT = ("7: 2024-01-02T00:05:00+00:00: a bad print",)  # as `data check --exclude` notes it


@pytest.fixture(scope="session")
def demo_world(tmp_path_factory: pytest.TempPathFactory) -> DemoWorld:
    """Four sessions, two of them held out, and a policy of each phase as it is before its first update."""
    import numpy as np

    from rl_core.bars.write import write_bars
    from rl_core.checkpoints.provenance import write_world
    from rl_core.exchange.calendar import Calendar
    from rl_core.worlds.demo import demo_world

    folder = tmp_path_factory.mktemp("demo")
    world = demo_world(7, SESSIONS, seconds=True)
    assert world.seconds is not None
    minutes, seconds = folder / "NQ_D1M.parquet", folder / "NQ_D1S.parquet"
    write_bars(replace(world.minutes, left_out=LEFT_OUT), minutes)
    write_world(minutes, world.minutes, world.edge, seed=7)
    stamps = world.minutes.ts_event_ns
    session = Calendar.covering(int(stamps[0]), int(stamps[-1])).locate(stamps).session
    days = np.unique(session)
    held_out = int(np.searchsorted(session, days[TRAINED]))
    until_ns, half_ns = int(stamps[held_out]), int(stamps[held_out + SESSION_BARS // 2])
    first, stop = np.searchsorted(world.seconds.ts_event_ns, [until_ns, half_ns])
    write_bars(world.seconds.slice(int(first), int(stop)), seconds)
    made = {phase: untrained(folder, phase, world.minutes, until_ns, fitted=phase == 2) for phase in (1, 2)}
    return DemoWorld(minutes, seconds, made[1], made[2])


def untrained(folder: Path, phase: int, bars: Any, until_ns: int, *, fitted: bool = False, **changed: object) -> Path:
    """A checkpoint of ``phase`` before its first update; ``changed`` are fields of its identity.

    With the regimes of the bars before ``until_ns`` if ``fitted``, without any, as older ones are, if not.
    """
    from rl_core.checkpoints.checkpoint import save_checkpoint
    from rl_core.checkpoints.manifest import Identity
    from rl_core.contract import ACTION_NAMES
    from rl_core.envs.env import Env, EnvParams
    from rl_core.envs.market_arrays import make_market
    from rl_core.features.features import fingerprint
    from rl_core.features.market_view import view_of
    from rl_core.ppo.environment import EnvArrays
    from rl_core.ppo.train import initial_state
    from rl_core.regimes.fitted import FILE, as_text, fit_regimes
    from rl_core.trading.setup import compile_trading
    from rl_core.training.config import TrainConfig

    settings = {"num_envs": 4, "rollout_length": 4, "total_steps": 16, "hidden": (8,), "hold_bias": 0.0, "seed": phase}
    config = TrainConfig.model_validate({"phase": phase, "ppo": settings})
    trading = compile_trading(config.trading, bars.instrument)
    env = Env(phase)
    params = EnvParams(trading.venue, trading.limits, config.episodes.least_room, config.episodes.most_room)
    view = view_of(bars, trading.pack, trading.hours)
    state = initial_state(config.ppo, env, EnvArrays(make_market(view), params))
    features = fingerprint()
    identity = Identity.model_validate(
        {
            "phase": phase,
            "market": "NQ",
            "step": 0,
            "observation_size": env.observation_size,
            "actions": ACTION_NAMES[: env.num_actions],
            "fingerprint": features.digest,
            "features": dict(features.parts),
            "config": {**config.model_dump(mode="json"), "trained_until_ns": until_ns},
            "data_digest": bars.digest,
            **changed,
        }
    )
    stop = int((bars.ts_event_ns < until_ns).sum())
    extra = {FILE: as_text(fit_regimes(view, stop)).encode()} if fitted else {}
    return save_checkpoint(folder / f"phase{phase}", state, identity, final=True, extra=extra)


@pytest.fixture(autouse=True)
def own_registry_of_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this test count among themselves alone, and nowhere else."""
    monkeypatch.setenv("TRIGATE_TRIES", str(tmp_path / "tries.jsonl"))


RunCommand = Callable[..., list[str]]
Start = Callable[..., Started]


def command_line(
    world: DemoWorld, runs: Path, *more: object, sessions: int = 1, gate: str = "rules", phase: int = 1
) -> list[str]:
    """The arguments of ``orchestrator`` that play held-out sessions into a folder under ``runs``."""
    checkpoint = world.phase1 if phase == 1 else world.phase2
    settings = (f'runs="{runs}"', f"sessions={sessions}")
    line = ["run", "--bars", world.minutes, "--checkpoint", checkpoint, "--gate", gate]
    return [str(word) for word in [*line, *(f"--set={setting}" for setting in settings), *more]]


@pytest.fixture
def run_command(demo_world: DemoWorld, tmp_path: Path) -> Iterator[RunCommand]:
    """The arguments of ``orchestrator`` that play one held-out session under the rules gate.

    After the test every run that it made comes out of its journal again, byte for byte.
    """

    def arguments(*more: object, runs: str = "runs", **options: Any) -> list[str]:
        return command_line(demo_world, tmp_path / runs, *more, **options)

    yield arguments
    for path in tmp_path.glob("*/*/journal.jsonl"):
        assert _difference(path, demo_world) == "", path


_REPLAYED: set[bytes] = set()
"""Journals that came out again; many tests make equal ones."""


def _difference(journal: Path, world: DemoWorld) -> str:
    """What does not come out of a journal again; the checkpoint may have been moved by its test."""
    from orchestrator.run.folder import RunFolder
    from orchestrator.run.found_again import Sources
    from orchestrator.run.replay import replay_run

    content = journal.read_bytes()
    if not content or content in _REPLAYED:
        return ""
    _REPLAYED.add(content)
    named = Path(RunFolder(journal.parent).manifest().inputs.config["checkpoint"]).name
    checkpoint = world.phase1 if named == world.phase1.name else world.phase2
    return replay_run(RunFolder(journal.parent), Sources(checkpoint=checkpoint)).difference


@pytest.fixture
def start(run_command: RunCommand, tmp_path: Path) -> Iterator[Start]:
    """Starts runs; at the end every process of theirs is gone, or the test fails."""
    started: list[Started] = []

    def begin(*more: object, cwd: Path = ROOT, **options: Any) -> Started:
        started.append(Started(tmp_path / "output", "orchestrator", *run_command(*more, **options), cwd=cwd))
        return started[-1]

    yield begin
    left = [run.family() for run in started]
    for run in started:
        run.__exit__()
    assert not any(left), left
