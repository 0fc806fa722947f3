"""What regimes need from a training split: thresholds and a hidden Markov model, fitted once, frozen, kept as JSON."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rl_core.errors import DataError
from rl_core.features import StreamedBar
from rl_core.hidden_markov import HiddenMarkov, Reals, filtered, filtered_step, fit
from rl_core.hours import MINUTE_NS
from rl_core.regimes import HALF_HOURS, TREND_MINUTES, Thresholds, compute_regimes
from rl_core.view import View

LEAST_BARS = 1000
_MIDDLE_TREND = TREND_MINUTES.index(60)


class RegimeModel(BaseModel):
    """Everything that was learned from the training split; later bars never change it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    digest: str = Field(description="of the bars that it was fitted on")
    fitted_until_ns: int = Field(description="end of the last bar that was seen, ns UTC")
    bars: int = Field(gt=0, description="seen")
    thresholds: Thresholds
    usual_log_range: tuple[float, ...] = Field(min_length=HALF_HOURS, max_length=HALF_HOURS)
    start: tuple[float, ...]
    transition: tuple[tuple[float, ...], ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    log_likelihood_per_bar: float

    @property
    def markov(self) -> HiddenMarkov:
        """The hidden Markov model: states from the quietest to the wildest."""
        return HiddenMarkov(*(np.array(x) for x in (self.start, self.transition, self.mean, self.spread)))

    def states(self, view: View) -> Reals:
        """Probability [T, K] of each state at the close of every bar, from its session's bars up to it."""
        usual = np.array(self.usual_log_range)[view.located.minute_et // 30]
        return filtered(self.markov, log_range(view.bars.high, view.bars.low) - usual, view.located.session)


def log_range(high: npt.NDArray[np.int32], low: npt.NDArray[np.int32]) -> Reals:
    """Logarithm of a bar's range in ticks plus one."""
    return np.asarray(np.log(1.0 + (high.astype(np.int64) - low)))


def fit_regimes(view: View, stop: int, *, states: int = 2) -> RegimeModel:
    """Fit on the bars of ``view`` before ``stop``, and on nothing else.

    Raises:
        DataError: fewer warm bars than a fit needs.
    """
    warm = np.flatnonzero(view.features.warm[:stop])
    if warm.size < LEAST_BARS:
        raise DataError(f"regimes need {LEAST_BARS:,} bars after the warm-up to be fitted; there are {warm.size:,}")
    regimes = compute_regimes(view)  # row t reads no bar after t
    low, high = np.quantile(regimes.volatility_percentile[warm], (1 / 3, 2 / 3))
    thresholds = Thresholds(
        trend_milli=int(np.median(np.abs(regimes.trends[warm, _MIDDLE_TREND]))),
        calm_below=int(low),
        wild_from=max(int(low) + 1, int(high)),
    )
    seen, half_hour = view.bars.slice(0, stop), view.located.minute_et[:stop] // 30
    value = log_range(seen.high, seen.low)
    count = np.bincount(half_hour, minlength=HALF_HOURS)
    total = np.bincount(half_hour, weights=value, minlength=HALF_HOURS)
    usual = np.where(count > 0, total / np.maximum(1, count), value.mean())
    found = fit(value - usual[half_hour], view.located.session[:stop], states)
    return RegimeModel(
        digest=seen.digest,
        fitted_until_ns=int(seen.ts_event_ns[-1]) + MINUTE_NS,
        bars=stop,
        thresholds=thresholds,
        usual_log_range=tuple(usual.tolist()),
        start=tuple(found.model.start.tolist()),
        transition=tuple(tuple(row) for row in found.model.transition.tolist()),
        mean=tuple(found.model.mean.tolist()),
        spread=tuple(found.model.spread.tolist()),
        log_likelihood_per_bar=found.log_likelihoods[-1] / stop,
    )


def write_model(model: RegimeModel, path: Path) -> None:
    """Keep the model."""
    path.write_text(model.model_dump_json(indent=1) + "\n")


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
    """`RegimeModel.states`, one bar at a time; right from the first session that it sees open."""

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
