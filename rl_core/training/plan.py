"""Plans a training run: resolves what it trains on, and refuses everything that can be refused before it begins."""

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import Bars
from rl_core.bars.mirror import mirrored, mirrored_ladder
from rl_core.bars.rungs import Ladder
from rl_core.checkpoints.checkpoint import LearnedParameters, digest_of, load_learned
from rl_core.checkpoints.manifest import Expected, Identity, find_checkpoint
from rl_core.checkpoints.provenance import WORLDS_FILE, TrainingWorlds, training_worlds, world_of
from rl_core.contract import ACTION_NAMES
from rl_core.envs.entry_outcomes import with_entry_outcomes
from rl_core.envs.env import Env, EnvParams
from rl_core.envs.market_arrays import make_market
from rl_core.envs.markets import joined, joined_params
from rl_core.features.features import compute_features, fingerprint
from rl_core.features.market_view import MarketView, view_of
from rl_core.ppo.devices import mesh_of
from rl_core.ppo.environment import EnvArrays
from rl_core.regimes.fitted import FILE as REGIMES
from rl_core.regimes.fitted import as_text, fit_regimes
from rl_core.rules.pack import relaxed
from rl_core.trading.setup import Trading, compile_trading, resolved
from rl_core.training.config import TrainConfig
from rl_core.training.folder import TrainingInputs
from trigate.errors import ConfigError, DataError

CODE_VERSION = "2"
"""Raised whenever the same settings would train to other numbers."""

BY_HEART = MappingProxyType({1: 10_000, 2: 6_000})
"""Phase -> bars played of each session from which real minutes were learned by heart (the table in docs/faq.md)."""


class Split(NamedTuple):
    """Where the training bars begin and end."""

    first: int  # index of the first training bar
    stop: int  # index after the last training bar
    stop_ns: int  # UTC start of the first bar that is not trained on, or just after the last bar of the file
    left_out: npt.NDArray[np.bool_] | None = None  # [T] bars between them that are not trained on; None: all are


class TrainingPlan(NamedTuple):
    """A training run that can begin; nothing has been written yet."""

    config: TrainConfig
    bars: Bars
    split: Split
    env: Env
    env_arrays: EnvArrays
    seconds_digest: str
    parent: LearnedParameters | None
    extra: dict[str, bytes]  # small files of every checkpoint
    regimes: str  # how the regimes were fitted
    sessions: int  # to train on, in which an entry can be made; over all markets
    others: tuple[Bars, ...] = ()  # of further markets

    @property
    def market(self) -> str:
        """The symbol that is trained on, or several, as in NQ+ES."""
        return "+".join(bars.instrument.symbol for bars in (self.bars, *self.others))

    @property
    def data_digest(self) -> str:
        """The digest of the bars; with several markets, one over the digests of each."""
        if not self.others:
            return self.bars.digest
        return hashlib.sha256(" ".join(bars.digest for bars in (self.bars, *self.others)).encode()).hexdigest()

    @property
    def total(self) -> int:
        """Bars played over all environments when training has finished."""
        return self.config.ppo.num_updates * self.config.ppo.batch_size

    @property
    def by_heart(self) -> str | None:
        """Why what this training reports will not be earned elsewhere, where it plays its sessions too often."""
        most = BY_HEART[self.config.phase]
        played = self.total // self.sessions
        if played < most:
            return None
        return (
            f"each of the {self.sessions:,} sessions to train on is played for {played:,} bars: where it was {most:,} "
            "and more, real minutes were learned by heart, and other sessions did not pay what training reports; give "
            f"more sessions, or ppo.total_steps below {self.sessions * most:,}"
        )


def check_parent(config: TrainConfig, parent: Path | None) -> None:
    """Raise ConfigError unless phase 2 has a parent and phase 1 has none."""
    if (config.phase == 2) != (parent is not None):
        raise ConfigError("phase 2 starts from a phase 1 run (--from RUN); phase 1 starts from nothing")


def check_size(config: TrainConfig, markets: int) -> None:
    """Raise ConfigError where there are fewer devices than ``ppo.devices``, or environments than markets to play."""
    mesh_of(config.ppo.devices)
    played = 2 * markets if config.mirror else markets
    if played > config.ppo.num_envs:
        raise ConfigError(f"{config.ppo.num_envs} environments cannot play {played} markets; raise ppo.num_envs")


def phase1_of(parent: Path, config: TrainConfig) -> LearnedParameters:
    """What phase 1 learned in the run or checkpoint folder ``parent``; raises as `load_learned`.

    It must have learned in the lengths of ``config``: another window, ATR or bracket is another task.
    """
    expected = Expected(phase=1, fingerprint=fingerprint(config.trading.yardstick))
    return load_learned(find_checkpoint(parent, phase=1), expected=expected)


def training_split(view: MarketView, config: TrainConfig) -> Split:
    """The sessions to train on, whole: from ``train_from`` to ``train_until``, else the first ``train_share`` of them.

    Without those that are ``left_out``.

    Raises:
        DataError: not one session is left to train on.
    """
    session = view.located.session
    days = np.unique(session)
    if config.train_until is not None:
        training_days = int(np.searchsorted(days, _day_number(config.train_until)))
    else:
        training_days = int(len(days) * config.train_share)
    stop = len(session) if training_days == len(days) else int(np.searchsorted(session, days[training_days]))
    first = 0 if config.train_from is None else int(np.searchsorted(session, _day_number(config.train_from)))
    if first >= stop:
        raise DataError(_nothing_to_train_on(config, days))
    last_ns = int(view.bars.ts_event_ns[stop]) if stop < len(session) else int(view.bars.ts_event_ns[-1]) + 1
    return Split(first, stop, last_ns, _left_out(session, config))


def _left_out(session: npt.NDArray[np.int32], config: TrainConfig) -> npt.NDArray[np.bool_] | None:
    """[T] whether a bar's session is one that the settings leave out."""
    if not config.left_out:
        return None
    within = [(session >= _day_number(first)) & (session <= _day_number(last)) for first, last in config.left_out]
    return np.asarray(np.any(within, axis=0))


def _day_number(day: date) -> int:
    """Days since 1970-01-01, as sessions are numbered."""
    return (day - date(1970, 1, 1)).days


def _nothing_to_train_on(config: TrainConfig, days: npt.NDArray[np.int32]) -> str:
    if config.train_from is None and config.train_until is None:
        found = f"{len(days)} sessions are" if len(days) != 1 else "1 session is"
        return f"{found} too few to train on a share of {config.train_share:g}; give more of them"
    first, last = days[[0, -1]].astype("datetime64[D]")
    asked = f"from {config.train_from or 'the first'} until {config.train_until or 'the split'}"
    return f"no session to train on {asked}: the bars hold {len(days)} from {first} to {last}"


def plan_training(
    config: TrainConfig,
    bars: Bars,
    *,
    others: Sequence[Bars] = (),
    parent: Path | None = None,
    ladder: Ladder | None = None,
) -> TrainingPlan:
    """Check everything that a run needs, and gather it.

    Args:
        config: everything that shapes the run.
        bars: minute bars of one market.
        others: minute bars of further markets, which other environments play.
        parent: phase 1's run or checkpoint folder; phase 2 needs it.
        ladder: the second bars of ``bars``, reduced.

    Raises:
        ConfigError: phase 2 without a parent, or no checkpoint there; too few environments for the markets; too few
            devices.
        DataError: too few bars.
        FitError: the parent does not fit.
    """
    check_parent(config, parent)
    check_size(config, 1 + len(others))
    parts = [_part(config, bars, ladder), *(_part(config, each, None) for each in others)]
    learned = None
    if parent is not None:
        learned = phase1_of(parent, config)
    # Markets move together, so a bar held out of one must lie behind the training bars of all of them. And phase 2 must
    # not call bars held out that its parent was trained on.
    ends = [part.split.stop_ns for part in parts]
    ends += [] if learned is None else [int(learned.identity.config["trained_until_ns"])]
    split = parts[0].split._replace(stop_ns=max(ends))
    worlds = [card for card in map(world_of, (bars, *others)) if card is not None]
    if parent is not None:
        worlds += [card for card in training_worlds(find_checkpoint(parent, phase=1)) if card not in worlds]
    regimes: tuple[dict[str, bytes], str] = ({}, "not fitted, so the usual thresholds hold: several markets")
    if not others:
        regimes = _regimes(parts[0].view, split)
    env_arrays, env = _env_arrays(config, parts), Env(config.phase, config.trading.yardstick)
    return TrainingPlan(
        config=config,
        bars=bars,
        split=split,
        env=env,
        env_arrays=env_arrays,
        seconds_digest=digest_of(ladder),
        parent=learned,
        extra={**regimes[0], WORLDS_FILE: TrainingWorlds(worlds=tuple(worlds)).model_dump_json(indent=1).encode()},
        regimes=regimes[1],
        sessions=sum(part.sessions for part in parts),
        others=tuple(others),
    )


class _MarketPart(NamedTuple):
    """One market of a run."""

    view: MarketView
    split: Split
    trading: Trading
    ladder: Ladder | None
    sessions: int  # of the split, in which an entry can be made


def _part(config: TrainConfig, bars: Bars, ladder: Ladder | None) -> _MarketPart:
    trading = compile_trading(resolved(config.trading, seconds=ladder is not None), bars.instrument)
    view = view_of(bars, trading.pack, trading.hours, trading.yardstick)
    split = training_split(view, config)
    may_enter = view.hours.entry_open & view.features.warm
    may_enter = may_enter if split.left_out is None else may_enter & ~split.left_out
    trained = slice(split.first, split.stop)
    sessions = len(np.unique(view.located.session[trained][may_enter[trained]]))
    if not sessions:
        raise DataError("the training part holds no warm bar in entry hours; give more sessions")
    return _MarketPart(view, split, trading, ladder, sessions)


def _mirrored_part(part: _MarketPart) -> _MarketPart:
    """``part`` with its prices mirrored; the features are computed anew from the mirrored bars."""
    view, ladder = part.view, None if part.ladder is None else mirrored_ladder(part.ladder)
    bars = mirrored(view.bars)
    features = compute_features(bars, view.located.session, view.located.minute_et, view.hours, view.yardstick)
    return part._replace(view=view._replace(bars=bars, features=features), ladder=ladder)


def _env_arrays(config: TrainConfig, parts: Sequence[_MarketPart]) -> EnvArrays:
    """The arrays of one market, or of M markets joined, of which environment b plays number b mod M."""
    parts = [*parts, *(map(_mirrored_part, parts) if config.mirror else ())]
    markets = [
        make_market(
            part.view,
            part.split.first,
            part.split.stop,
            ladder=part.ladder,
            frictions=part.trading.frictions,
            left_out=part.split.left_out,
        )
        for part in parts
    ]
    each = [_params(config, part.trading) for part in parts]
    one = len(parts) == 1
    market, params = (markets[0], each[0]) if one else (joined(markets), joined_params(each))
    if config.ppo.known_entries:
        market = with_entry_outcomes(
            market, params, credit_decay=config.ppo.credit_decay, yardstick=config.trading.yardstick
        )
    return EnvArrays(market, params)


def inputs_of(plan: TrainingPlan) -> TrainingInputs:
    """Everything that the numbers of the run depend on, to tell it from another run."""
    parent = plan.parent
    return TrainingInputs(
        config=_settings_that_shape_numbers(plan.config),
        market=plan.market,
        bars_digest=plan.data_digest,
        seconds_digest=plan.seconds_digest,
        fingerprint=fingerprint(plan.config.trading.yardstick).digest,
        parent_digest="" if parent is None else digest_of((parent.parameters, parent.normaliser)),
        code_version=CODE_VERSION,
    )


def identity_of(plan: TrainingPlan, step: int) -> Identity:
    """The identity of the run's checkpoint at ``step``."""
    features = fingerprint(plan.config.trading.yardstick)
    return Identity(
        phase=plan.config.phase,
        market=plan.market,
        step=step,
        observation_size=plan.env.observation_size,
        actions=ACTION_NAMES[: plan.env.num_actions],
        fingerprint=features.digest,
        features=dict(features.parts),
        config={**_settings_that_shape_numbers(plan.config), "trained_until_ns": plan.split.stop_ns},
        data_digest=plan.data_digest,
    )


def _settings_that_shape_numbers(config: TrainConfig) -> dict[str, Any]:
    """The settings without those that change no number: how often a run is saved, and its number of devices.

    Dates that were not given are left out too: a run that began before there were such settings is still itself.
    """
    rest: Any = {"checkpoint_every_updates": True, "checkpoints_kept": True, "ppo": {"devices"}}
    rest |= {name: True for name in ("train_from", "train_until", "left_out") if not getattr(config, name)}
    return config.model_dump(mode="json", exclude=rest)


def _regimes(view: MarketView, split: Split) -> tuple[dict[str, bytes], str]:
    """The regimes file fitted on the training split, and a note on the fit; no file where there are too few bars."""
    if split.left_out is not None:
        return {}, "not fitted, so the usual thresholds hold: sessions in between are left out"
    try:
        model = fit_regimes(view, split.stop)
    except DataError as error:
        return {}, f"not fitted, so the usual thresholds hold: {error}"
    return {REGIMES: as_text(model).encode()}, f"fitted on {model.bars:,} bars"


def _params(config: TrainConfig, trading: Trading) -> EnvParams:
    episodes, venue = config.episodes, trading.venue
    if episodes.rules == "relaxed":
        venue = venue._replace(rules=relaxed(venue.rules))
    room = (episodes.least_room, episodes.most_room)
    return EnvParams(venue, trading.limits, *room, episodes.most_profit or None, config.curriculum.compiled())
