"""One fault of a training run or of what was played: its figure, threshold and remedy."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
"""The metrics of some updates, by name."""

MOST_ONE_SIDE, LEAST_ENTRIES = 0.9, 50
"""More entries of one side are a fault, where there are enough to call it a habit."""
MOST_EARNED = 1.5
"""R a trade that no market pays: who earns more in training knows its bars by heart."""


class Ailment(NamedTuple):
    """One fault."""

    name: str
    says: str
    figure: float
    relation: str  # "below" or "above"
    threshold: float
    change: str
    key: str  # of the configuration
    plot: str | None  # the column that shows it; None: it was seen in an evaluation

    @property
    def in_words(self) -> str:
        """One line for a terminal."""
        told = f"{self.name}: {self.says} (a fault {self.relation} {self.threshold:g}); {self.key}: {self.change}"
        return told if self.plot is None else f"{told}; plot {self.plot}"


class Side(NamedTuple):
    """The side that is entered more often."""

    figure: float  # share of all entries
    side: str


def earned_late(rows: Sequence[Row]) -> tuple[int, float]:
    """Trades in the second half of the rows of a training, and their mean R; 0.0 without a trade."""
    late = [row for row in rows[len(rows) // 2 :] if row.get("trades") and row.get("mean_r") is not None]
    trades = sum(int(row["trades"]) for row in late)
    return trades, sum(row["mean_r"] * row["trades"] for row in late) / max(1, trades)


def side_of(longs: float) -> Side:
    """The side that is entered more often, by the share of longs."""
    return Side(max(longs, 1 - longs), "long" if longs > 0.5 else "short")
