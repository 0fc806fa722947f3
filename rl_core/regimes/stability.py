"""Whether regimes stay what they were: shares, durations and moves of every half-year; a run against its training."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rl_core.features.market_view import MarketView
from rl_core.regimes.fitted import LABELS, RegimeModel
from rl_core.regimes.labels import DIRECTIONS, VOLATILITIES, compute_regimes

Integers = npt.NDArray[np.int64]


class Stability(NamedTuple):
    """One way of labelling in one period."""

    period: str  # such as 2024-H1
    kind: str  # direction, volatility or state
    labels: tuple[str, ...]
    bars: int
    share: npt.NDArray[np.float64]  # [K] of the bars
    mean_bars: npt.NDArray[np.float64]  # [K] bars that a stay lasts, sessions cut it; NaN without one
    moves: npt.NDArray[np.float64]  # [K, K] share of the next bars of the session, rows add up to 1; NaN without a bar

    def row(self) -> dict[str, Any]:
        """Plain values, NaN as None."""

        def plain(values: npt.NDArray[np.float64]) -> list[Any]:
            return [None if np.isnan(x) else round(float(x), 4) for x in values]

        return {
            **{name: getattr(self, name) for name in ("period", "kind", "bars")},
            "labels": list(self.labels),
            "share": plain(self.share),
            "mean_bars": plain(self.mean_bars),
            "moves": [plain(row) for row in self.moves],
        }


def stability(view: MarketView, model: RegimeModel) -> list[Stability]:
    """Every way of labelling in every half-year of ``view``, warm bars only."""
    regimes = compute_regimes(view, model.thresholds)
    state = model.states(view).argmax(axis=1)
    names = _state_names(len(model.mean))
    kinds = {
        "direction": (regimes.direction, DIRECTIONS),
        "volatility": (regimes.volatility, VOLATILITIES),
        "state": (state, names),
    }
    period, rows = periods(view), []
    for name in np.unique(period[view.features.warm]):
        chosen = np.flatnonzero((period == name) & view.features.warm)
        session = view.located.session[chosen]
        rows += [
            Stability(str(name), kind, labels, len(chosen), *summary(label[chosen], session, len(labels)))
            for kind, (label, labels) in kinds.items()
        ]
    return rows


def _state_names(count: int) -> tuple[str, ...]:
    """Of two or three hidden states, which are in order of their mean range: as evaluations and pages call them."""
    return ("calm", *("normal",) * (count - 2), "wild")


def periods(view: MarketView) -> npt.NDArray[np.str_]:
    """[T] year and half of each bar's trading day."""
    months = view.located.session.astype("datetime64[D]").astype("datetime64[M]")
    halves = months.astype(int) // 6
    names = np.array([f"{1970 + half // 2}-H{1 + half % 2}" for half in range(int(halves.max()) + 1)])
    return np.asarray(names[halves])


def summary(
    label: Integers, session: npt.NDArray[np.int32], labels: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Share [K], mean bars of a stay [K] and moves [K, K] of ``label`` [N]; nothing moves over a session's end."""
    same_session = session[1:] == session[:-1]
    count = np.bincount(label, minlength=labels)
    begins = np.append(True, ~same_session | (label[1:] != label[:-1]))
    stays = np.bincount(label[begins], minlength=labels)
    pairs = label[:-1][same_session] * labels + label[1:][same_session]
    moves = np.bincount(pairs, minlength=labels**2).reshape(labels, labels).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return count / len(label), count / stays, moves / moves.sum(axis=1, keepdims=True)


def as_lines(rows: list[Stability]) -> list[str]:
    """A table for a person: share and mean duration of each label, and how often it stays from bar to bar."""
    lines = [f"{'period':<9}{'kind':<12}{'label':<10}{'share':>7}{'bars a stay':>13}{'stays':>8}   moves"]
    for row in rows:
        for k, label in enumerate(row.labels):
            moves = "  ".join(f"{to} {chance:.3f}" for to, chance in zip(row.labels, row.moves[k], strict=True))
            figures = f"{row.share[k]:>7.3f}{row.mean_bars[k]:>13.1f}{row.moves[k, k]:>8.3f}"
            lines.append(f"{row.period:<9}{row.kind:<12}{label:<10}{figures}   {moves}")
    return lines


def shift_line(counts: Mapping[str, int], wild: int | None, model: RegimeModel) -> str:
    """How far the labels of other bars are from those of the training split, in one line.

    Args:
        counts: bars by label, direction/volatility.
        wild: of the same bars, those in the wildest hidden state; None if not known.
        model: fitted with the shares of its own bars; "" comes back for one without.
    """
    bars = sum(counts.values())
    if not bars or not model.label_shares:
        return ""
    now = {label: count / bars for label, count in counts.items()}
    then = dict(zip(LABELS, model.label_shares, strict=True))
    kinds = [[(n, _marginal(now, part, n), _marginal(then, part, n)) for n in names] for part, names in _NAMES]
    if wild is not None and model.wild_share is not None:
        kinds.append([("hidden state wild", wild / bars, model.wild_share)])
    shown = "; ".join(", ".join(f"{name} {100 * a:.0f} % ({100 * b:.0f} %)" for name, a, b in kind) for kind in kinds)
    name, a, b = max((row for kind in kinds for row in kind), key=lambda row: abs(row[1] - row[2]))
    return (
        f"Shares of the {bars:,} bars, in brackets those of the training split: {shown}. "
        f"Farthest apart: {name}, by {100 * abs(a - b):.0f} points."
    )


_NAMES = ((0, DIRECTIONS), (1, VOLATILITIES))


def _marginal(shares: Mapping[str, float], part: int, name: str) -> float:
    return sum(share for label, share in shares.items() if label.split("/")[part] == name)
