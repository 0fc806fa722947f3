"""What a training split fixes for the regimes: label thresholds and a hidden Markov model, kept as JSON.

Both are fitted once, on training bars alone. Training keeps the file in its checkpoint, where the manifest proves its
bytes; a run and an evaluation take it from there.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rl_core.checkpoints.manifest import read_manifest
from rl_core.features.features import StreamedBar
from rl_core.features.market_view import MarketView
from rl_core.regimes.hidden_markov import HiddenMarkov, Reals, filtered, filtered_step, fit
from rl_core.regimes.labels import (
    DIRECTIONS,
    HALF_HOURS,
    TREND_MINUTES,
    USUAL_THRESHOLDS,
    VOLATILITIES,
    Thresholds,
    labelled,
    trends_of,
    volatility_percentiles,
)
from rl_core.trading.hours import MINUTE_NS
from trigate.errors import DataError
from trigate.whole_files import write_whole

LEAST_BARS = 1000
MOST_SESSIONS = 250  # that the hidden states are fitted on, spread evenly over all
FILE = "regimes.json"  # in a checkpoint
WILD_FROM = 50  # percent, from which the wildest state counts as the state
LABELS = tuple(f"{direction}/{volatility}" for direction in DIRECTIONS for volatility in VOLATILITIES)
_MIDDLE_TREND = TREND_MINUTES.index(60)


class RegimeModel(BaseModel):
    """Everything that was learned from the training split; later bars never change it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    digest: str = Field(description="of the bars that it was fitted on")
    fitted_until_ns: int = Field(description="end of the last bar that it was fitted on, ns UTC")
    bars: int = Field(gt=0, description="how many it was fitted on")
    thresholds: Thresholds
    usual_log_range: tuple[float, ...] = Field(min_length=HALF_HOURS, max_length=HALF_HOURS)
    start: tuple[float, ...]
    transition: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    log_likelihood_per_bar: float
    label_shares: tuple[float, ...] = Field((), description="of the warm bars it was fitted on, in the order of LABELS")
    wild_share: float | None = Field(None, description="of the same bars, in the wildest state")

    @property
    def markov(self) -> HiddenMarkov:
        """The hidden Markov model: states from the quietest to the wildest."""
        return HiddenMarkov(*(np.array(x) for x in (self.start, self.transition, self.mean, self.spread)))

    def states(self, view: MarketView) -> Reals:
        """Probability [T, K] of each state at the close of every bar, from its session's bars up to it."""
        usual = np.array(self.usual_log_range)[view.located.minute_et // 30]
        return filtered(self.markov, log_range(view.bars.high, view.bars.low) - usual, view.located.session)


def wild_percents(states: Reals) -> npt.NDArray[np.int64]:
    """Whole percent [...] of the wildest state, from probabilities [..., K]."""
    return np.asarray(np.rint(100 * states[..., -1]), np.int64)


def log_range(high: npt.NDArray[np.int32], low: npt.NDArray[np.int32]) -> Reals:
    """Logarithm [T] of the range of every bar in ticks, plus one: a bar of one price has a logarithm too."""
    return np.asarray(np.log(1.0 + (high.astype(np.int64) - low)))


def fit_regimes(view: MarketView, stop: int, *, states: int = 2) -> RegimeModel:
    """Fit on the bars of ``view`` before ``stop``, and on nothing else.

    Sessions are independent sequences to the hidden Markov model, so where there are more than 250, 250 that are spread
    evenly over them stand for all: two parameters a state do not need more, and a fit stays short.

    Raises:
        DataError: fewer warm bars than a fit needs.
    """
    warm = np.flatnonzero(view.features.warm[:stop])
    if warm.size < LEAST_BARS:
        raise DataError(f"regimes need {LEAST_BARS:,} bars after the warm-up to be fitted; there are {warm.size:,}")
    bars, half_hour = view.bars.slice(0, stop), view.located.minute_et[:stop] // 30
    value = log_range(bars.high, bars.low)
    count = np.bincount(half_hour, minlength=HALF_HOURS)
    total = np.bincount(half_hour, weights=value, minlength=HALF_HOURS)
    usual = np.where(count > 0, total / np.maximum(1, count), value.mean())
    session = view.located.session[:stop]
    chosen = _spread_evenly(session)
    fitted = fit((value - usual[half_hour])[chosen], session[chosen], states)
    wild = wild_percents(filtered(fitted.model, value - usual[half_hour], session)[warm]) >= WILD_FROM
    thresholds, label_shares = _labels(view, warm)
    return RegimeModel(
        digest=bars.digest,
        fitted_until_ns=int(bars.ts_event_ns[-1]) + MINUTE_NS,
        bars=stop,
        thresholds=thresholds,
        usual_log_range=tuple(usual.tolist()),
        start=tuple(fitted.model.start.tolist()),
        transition=tuple(tuple(row) for row in fitted.model.transition.tolist()),
        mean=tuple(fitted.model.mean.tolist()),
        spread=tuple(fitted.model.spread.tolist()),
        log_likelihood_per_bar=fitted.log_likelihoods[-1] / np.count_nonzero(chosen),
        label_shares=label_shares,
        wild_share=float(wild.mean()),
    )


def _labels(view: MarketView, rows: npt.NDArray[np.int64]) -> tuple[Thresholds, tuple[float, ...]]:
    """What splits the bars ``rows`` in halves by trend and in thirds by volatility, and each label's share of them.

    Row t of what this reads reads no bar after t.
    """
    trends, percentile = trends_of(view)[rows], volatility_percentiles(view)[rows]
    low, high = np.quantile(percentile, (1 / 3, 2 / 3))
    thresholds = Thresholds(
        trend_milli=int(np.median(np.abs(trends[:, _MIDDLE_TREND]))),
        calm_below=int(low),
        wild_from=max(int(low) + 1, int(high)),
    )
    direction, volatility = labelled(trends, percentile, thresholds)
    count = np.bincount(direction * len(VOLATILITIES) + volatility, minlength=len(LABELS))
    return thresholds, tuple((count / len(rows)).tolist())


def _spread_evenly(session: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """[T] bars of at most 250 sessions."""
    days = np.unique(session)
    kept = days[np.linspace(0, len(days) - 1, min(MOST_SESSIONS, len(days))).round().astype(np.int64)]
    return np.isin(session, kept)


class Frozen(NamedTuple):
    """What a checkpoint says of regimes; without a fit the usual thresholds hold and no hidden state is known."""

    model: RegimeModel | None
    digest: str  # SHA-256 of the file, "" without one
    text: str  # the file

    @property
    def thresholds(self) -> Thresholds:
        """That label bars."""
        return USUAL_THRESHOLDS if self.model is None else self.model.thresholds


UNFITTED = Frozen(None, "", "")


def frozen_regimes(checkpoint: Path, market: str) -> Frozen:
    """The regimes that training left in the folder ``checkpoint``; UNFITTED if it left none, or on another market.

    A model of another market would not fit: what is usual is in ticks.

    Raises:
        ConfigError, DamagedCheckpointError: as `read_manifest`, which proves the bytes.
        DataError: the file is no regime model.
    """
    manifest = read_manifest(checkpoint)
    if FILE not in manifest.files or manifest.identity.market != market:
        return UNFITTED
    text = (checkpoint / FILE).read_text(encoding="utf-8")
    return Frozen(read_model(checkpoint / FILE), manifest.files[FILE], text)


def as_text(model: RegimeModel) -> str:
    """The file that keeps ``model``."""
    return model.model_dump_json(indent=1) + "\n"


def write_model(model: RegimeModel, path: Path) -> None:
    """Keep the model.

    Raises:
        ResourceError: the disk failed.
    """
    write_whole(path, as_text(model))


def read_model(path: Path) -> RegimeModel:
    """A kept model.

    Raises:
        DataError: unreadable, or not one.
    """
    try:
        return RegimeModel.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: is no regime model; fit one with rl-core data regimes --out {path}") from error


class StateStream:
    """`RegimeModel.states`, one bar at a time; equal to it from the first session whose open it is given."""

    def __init__(self, model: RegimeModel) -> None:
        """Before any bar."""
        self._markov, self._usual = model.markov, np.array(model.usual_log_range)
        self._session: int | None = None
        self._now: Reals | None = None

    def push(self, bar: StreamedBar) -> Reals:
        """Probability [K] of each state at the close of ``bar``."""
        before = self._now if bar.session == self._session else None
        high, low = np.array([bar.high], np.int32), np.array([bar.low], np.int32)
        value = log_range(high, low) - self._usual[bar.minute_et // 30]
        self._now, self._session = filtered_step(self._markov, before, value), bar.session
        row: Reals = self._now[0]
        return row
