"""Statistics of minute bars beside those of NQ: how market-like a synthetic market is.

The reference was measured on NQ 2023-11..2025-12 (543 full sessions, 744,700 one-minute returns); volume on
real NQ minutes of 2022-01, 2023-11, 2026-02 and 2026-06.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.bars.bars import NS_PER_SECOND, Bars
from rl_core.exchange.calendar import Located, locate
from rl_core.worlds.nq_profile import HALF_HOUR, MEAN_ABS_RETURN_BP, SESSION_MINUTES, SESSION_OPEN_MINUTE

RTH_OPEN, RTH_CLOSE = 9 * 60 + 30, 16 * 60
ACF_LAGS = (1, 5, 30, 60)
BP = 1e4


class Reference(NamedTuple):
    """What NQ shows, and how far from it a synthetic market may be."""

    value: float
    low: float
    high: float


def _near(value: float, share: float) -> Reference:
    return Reference(value, value * (1 - share), value * (1 + share))


def _within(value: float, distance: float) -> Reference:
    return Reference(value, value - distance, value + distance)


# Returns in bp and ranges in ticks; ticks at about 20,000 points. Kurtosis of NQ hangs on a few minutes of April 2025.
REFERENCE: dict[str, Reference] = {
    "std_bp": _near(3.30, 0.25),
    "mean_abs_bp": _near(1.83, 0.15),
    "std_bp_rth": _near(4.91, 0.25),
    "mean_abs_bp_rth": _near(3.13, 0.15),
    "std_bp_eth": _near(2.39, 0.25),
    "mean_abs_bp_eth": _near(1.32, 0.15),
    "excess_kurtosis": Reference(201, 15, 400),
    "zero_share": _within(0.038, 0.02),
    "zero_share_rth": _within(0.017, 0.01),
    "range_ticks": _near(29.2, 0.25),
    "median_range_ticks": _near(20, 0.30),
    "range_ticks_rth": _near(51.5, 0.25),
    "range_ticks_eth": _near(20.6, 0.25),
    "body_to_range": _within(0.48, 0.05),
    "close_at_extreme": _within(0.146, 0.06),
    "open_moved_ticks": _within(1.79, 0.8),
    "acf_r_1": _within(0.0, 0.03),
    "acf_abs_r_1": _within(0.422, 0.10),
    "acf_abs_r_5": _within(0.379, 0.10),
    "acf_abs_r_30": _within(0.325, 0.10),
    "acf_abs_r_60": _within(0.291, 0.10),
    "corr_log_volume_log_range": _within(0.86, 0.07),
    "std_log_volume": _within(1.30, 0.20),
    "session_volume": _near(530_000, 0.50),
    "session_rv_percent": _near(1.05, 0.20),
    "std_log_session_rv": _within(0.43, 0.12),
    "half_hour_profile_correlation": Reference(1.0, 0.9, 1.0),
}


class _MinuteMoves(NamedTuple):
    """Minute returns with where they lie; NaN where the minute before is missing or of another session."""

    returns: npt.NDArray[np.float64]
    ranges: npt.NDArray[np.int64]
    rth: npt.NDArray[np.bool_]
    session: npt.NDArray[np.int32]
    half_hour: npt.NDArray[np.int32]


def calibration_table(bars: Bars) -> dict[str, float]:
    """The statistics that ``REFERENCE`` names, of minute bars [T] over at least a few sessions."""
    assert bars.interval_s == 60
    located = locate(bars.ts_event_ns, bars.instrument.calendar)
    minutes = _minutes(bars, located)
    return {
        **_return_statistics(minutes),
        **_shape_statistics(bars, minutes),
        **_memory_statistics(minutes),
        **_volume_statistics(bars, minutes),
        **_session_statistics(minutes),
    }


def render(table: dict[str, float]) -> str:
    """The table as text, a line each: name, value, NQ's value, the range allowed, and whether it is inside."""
    lines = [f"{'statistic':<32}{'here':>12}{'NQ':>12}{'from':>12}{'to':>12}"]
    for name, wanted in REFERENCE.items():
        value = table[name]
        mark = "" if wanted.low <= value <= wanted.high else "  outside"
        lines.append(f"{name:<32}{value:>12.4g}{wanted.value:>12.4g}{wanted.low:>12.4g}{wanted.high:>12.4g}{mark}")
    return "\n".join(lines) + "\n"


def _minutes(bars: Bars, located: Located) -> _MinuteMoves:
    joined = np.diff(bars.ts_event_ns) == 60 * NS_PER_SECOND
    joined &= np.diff(located.session) == 0
    returns = np.full(len(bars), np.nan)
    returns[1:][joined] = np.diff(np.log(bars.close))[joined] * BP
    return _MinuteMoves(
        returns=returns,
        ranges=(bars.high - bars.low).astype(np.int64),
        rth=(located.minute_et >= RTH_OPEN) & (located.minute_et < RTH_CLOSE),
        session=located.session,
        half_hour=((located.minute_et - SESSION_OPEN_MINUTE) % (24 * 60)) // HALF_HOUR,
    )


def _return_statistics(minutes: _MinuteMoves) -> dict[str, float]:
    known = np.isfinite(minutes.returns)
    parts = {"": known, "_rth": known & minutes.rth, "_eth": known & ~minutes.rth}
    returns = minutes.returns[known]
    statistics = {f"std_bp{part}": float(minutes.returns[rows].std()) for part, rows in parts.items()}
    statistics |= {f"mean_abs_bp{part}": float(np.abs(minutes.returns[rows]).mean()) for part, rows in parts.items()}
    statistics |= {f"zero_share{part}": float((minutes.returns[rows] == 0).mean()) for part, rows in parts.items()}
    centred = returns - returns.mean()
    statistics["excess_kurtosis"] = float((centred**4).mean() / (centred**2).mean() ** 2 - 3)
    statistics["half_hour_profile_correlation"] = float(
        np.corrcoef(_half_hour_profile(minutes), MEAN_ABS_RETURN_BP)[0, 1]
    )
    return statistics


def _half_hour_profile(minutes: _MinuteMoves) -> npt.NDArray[np.float64]:
    """[46] mean absolute return in bp of each half hour from 18:00 ET."""
    known = np.isfinite(minutes.returns)
    total = np.bincount(minutes.half_hour[known], np.abs(minutes.returns[known]), SESSION_MINUTES // HALF_HOUR)
    return total / np.bincount(minutes.half_hour[known], minlength=SESSION_MINUTES // HALF_HOUR)


def _shape_statistics(bars: Bars, minutes: _MinuteMoves) -> dict[str, float]:
    ranged = minutes.ranges > 0
    body = np.abs(bars.close - bars.open)
    moved = np.abs(bars.open[1:] - bars.close[:-1])[np.isfinite(minutes.returns[1:])]
    return {
        "range_ticks": float(minutes.ranges.mean()),
        "median_range_ticks": float(np.median(minutes.ranges)),
        "range_ticks_rth": float(minutes.ranges[minutes.rth].mean()),
        "range_ticks_eth": float(minutes.ranges[~minutes.rth].mean()),
        "body_to_range": float((body[ranged] / minutes.ranges[ranged]).mean()),
        "close_at_extreme": float(((bars.close == bars.high) | (bars.close == bars.low))[ranged].mean()),
        "open_moved_ticks": float(moved.mean()),
    }


def _memory_statistics(minutes: _MinuteMoves) -> dict[str, float]:
    statistics = {"acf_r_1": _autocorrelation(minutes.returns, minutes.session, 1)}
    for lag in ACF_LAGS:
        statistics[f"acf_abs_r_{lag}"] = _autocorrelation(np.abs(minutes.returns), minutes.session, lag)
    return statistics


def _volume_statistics(bars: Bars, minutes: _MinuteMoves) -> dict[str, float]:
    rows = (minutes.ranges > 0) & (bars.volume > 0)
    log_volume, log_range = np.log(bars.volume[rows]), np.log(minutes.ranges[rows])
    _sessions, at = np.unique(minutes.session, return_inverse=True)
    return {
        "corr_log_volume_log_range": float(np.corrcoef(log_volume, log_range)[0, 1]),
        "std_log_volume": float(log_volume.std()),
        "session_volume": float(np.median(np.bincount(at, bars.volume))),
    }


def _session_statistics(minutes: _MinuteMoves) -> dict[str, float]:
    known = np.isfinite(minutes.returns)
    _sessions, at, count = np.unique(minutes.session[known], return_inverse=True, return_counts=True)
    realised = np.sqrt(np.bincount(at, minutes.returns[known] ** 2)) / BP * 100
    full = realised[count >= SESSION_MINUTES - HALF_HOUR]
    return {"session_rv_percent": float(full.mean()), "std_log_session_rv": float(np.log(full).std())}


def _autocorrelation(values: npt.NDArray[np.float64], session: npt.NDArray[np.int32], lag: int) -> float:
    """Correlation of ``values`` [T] with themselves ``lag`` rows before, within sessions."""
    pairs = (session[lag:] == session[:-lag]) & np.isfinite(values[lag:]) & np.isfinite(values[:-lag])
    return float(np.corrcoef(values[lag:][pairs], values[:-lag][pairs])[0, 1])
