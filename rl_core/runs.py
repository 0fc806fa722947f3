"""What belongs to a training run besides the arrays: where its bars are, what world they come from, its settings."""

from pathlib import Path
from typing import Any, NamedTuple

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

from rl_core.bars import Bars, read_bars
from rl_core.errors import ConfigError, ResourceError
from rl_core.ladder import Ladder, ladder_of
from rl_core.manifest import find_checkpoint, read_manifest
from rl_core.policy import Policy, load_trader
from rl_core.provenance import WorldCard, check_unchanged, first_held_out, read_world, trading_of
from rl_core.second_bars import read_seconds
from rl_core.trading import Trading, compile_trading, resolved
from rl_core.training import TrainConfig, check_parent
from rl_core.view import View, view_of

SOURCE = "source.json"
CONFIG = "config.toml"
PARTS = ("held_out", "all")


class Source(BaseModel):
    """Which file a run was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bars: Path
    market: str
    timezone: str | None
    digest: str
    seconds: Path | None = None


class TrainingJob(NamedTuple):
    """A run about to be trained."""

    config: TrainConfig
    bars: Bars
    ladder: Ladder | None
    source: Source


class EvaluationJob(NamedTuple):
    """A checkpoint and the bars to hold it against."""

    policy: Policy
    view: View
    trading: Trading
    first: int
    stop: int
    world: WorldCard | None
    ladder: Ladder | None


def prepare_training(
    config: TrainConfig,
    *,
    bars: Path | None,
    parent: Path | None,
    market: str | None,
    timezone: str | None,
    seconds: Path | None = None,
) -> TrainingJob:
    """Read the bars, and take from the parent what phase 2 must share with it.

    Raises:
        ConfigError, DataError: phase 2 without a parent, no bars were named, or they cannot be read.
    """
    check_parent(config, parent)
    if parent is not None:
        config = _inherited(config, parent)
    source = _source_of(parent) if bars is None and parent is not None else None
    if source is not None:
        bars, market, timezone = source.bars, market or source.market, timezone or source.timezone
        seconds = seconds or source.seconds
    if bars is None:
        raise ConfigError("which bars? give --bars FILE")
    resolved(config.trading, seconds=seconds is not None)
    read = read_bars(bars, market=market, timezone=timezone)
    found = Source(
        bars=bars.resolve(),
        market=read.instrument.symbol,
        timezone=timezone,
        digest=read.digest,
        seconds=None if seconds is None else seconds.resolve(),
    )
    return TrainingJob(config, read, _ladder(seconds, read, timezone), found)


def record_training(out: Path, job: TrainingJob) -> None:
    """Write the resolved settings and the source of the bars into the run's folder."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / CONFIG).write_text(tomli_w.dumps(job.config.model_dump(mode="json", exclude_none=True)))
        (out / SOURCE).write_text(job.source.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise ResourceError(f"{out}: {error.strerror}") from error


def prepare_evaluation(
    run: Path,
    *,
    bars: Path | None,
    part: str,
    market: str | None,
    timezone: str | None,
    seconds: Path | None = None,
) -> EvaluationJob:
    """Load the policy and see the bars under the account that it was trained with.

    Raises:
        ConfigError, FitError, DataError: as `load_trader` and `read_bars`; nothing is held out.
    """
    if part not in PARTS:
        raise ConfigError(f"part {part!r}: there are {' and '.join(PARTS)}")
    folder = find_checkpoint(run)
    policy = load_trader(folder)
    assert policy.identity is not None
    source = _source_of(run) if bars is None else None
    if source is not None:
        bars, market, timezone = source.bars, market or source.market, timezone or source.timezone
        seconds = seconds or source.seconds
    if bars is None:
        raise ConfigError("which bars? give --bars FILE")
    account = resolved(trading_of(policy.identity), seconds=seconds is not None)
    read = read_bars(bars, market=market, timezone=timezone)
    if source is not None:
        check_unchanged(bars, read.digest, source.digest)
    ladder = _ladder(seconds, read, timezone)
    trading = compile_trading(account, read.instrument)
    view = view_of(read, trading.pack, trading.hours)
    first = first_held_out(policy.identity, read) if part == "held_out" else 0
    return EvaluationJob(policy, view, trading, first, len(read), read_world(bars, read.digest), ladder)


def _ladder(seconds: Path | None, bars: Bars, timezone: str | None) -> Ladder | None:
    """What the second bars say of ``bars``."""
    return None if seconds is None else ladder_of(bars, read_seconds(seconds, bars, timezone=timezone))


def _source_of(run: Path) -> Source | None:
    """Where the bars of a run are; ``run`` may also be its checkpoint."""
    for folder in (run, run.parent.parent):
        path = folder / SOURCE
        if path.is_file():
            try:
                return Source.model_validate_json(path.read_bytes())
            except ValidationError as error:
                raise ConfigError(f"{path}: cannot be read; give --bars FILE") from error
    return None


def _inherited(config: TrainConfig, parent: Path) -> TrainConfig:
    """Phase 2's settings with the network's shape, account and split of phase 1 where the file does not set them."""
    known: dict[str, Any] = read_manifest(find_checkpoint(parent, phase=1)).identity.config
    shape = {key: known["ppo"][key] for key in ("hidden", "shared_torso", "normalise_observations")}
    given = config.model_dump(mode="json")
    given["ppo"] |= shape
    for key in ("trading", "train_share", "episodes"):
        if key not in config.model_fields_set:
            given[key] = known[key]
    return TrainConfig.model_validate(given)
