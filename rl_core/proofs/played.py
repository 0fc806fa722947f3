"""What ails a policy as `rl-core evaluate` played it: one side alone, hardly a trade, or far less than in training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rl_core.proofs.ailment import LEAST_ENTRIES, MOST_EARNED, MOST_ONE_SIDE, Ailment, Row, earned_late, side_of
from trigate.errors import DataError

LEAST_PLAYED = 0.1  # trades a session
_REMEDY = "give what `rl-core evaluate RUN --json` prints"


def read_play(path: Path) -> Mapping[str, Any]:
    """The figures of a policy that `rl-core evaluate --json` printed into ``path``.

    Raises:
        DataError: it holds something else.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as an evaluation: {error}; {_REMEDY}") from error
    if not isinstance(told, dict) or not _was_played(told.get("sessions"), told.get("trades"), told.get("long_share")):
        raise DataError(f"{path}: is no evaluation, it has no sessions, trades and long_share; {_REMEDY}")
    return told


def _was_played(sessions: object, trades: object, longs: object) -> bool:
    """Whether these are counts, and a share of longs where there are trades."""
    if type(sessions) is not int or type(trades) is not int or sessions < 1 or trades < 0:
        return False
    return longs is None if trades == 0 else isinstance(longs, float) and 0 <= longs <= 1


def ailments_of_play(figures: Mapping[str, Any], training: Sequence[Row] = ()) -> list[Ailment]:
    """What ails a policy as it was played.

    Args:
        figures: named as in `rl-core evaluate --json`.
        training: the rows of its training, where they are at hand.
    """
    sessions, trades = int(figures["sessions"]), int(figures["trades"])
    if trades < LEAST_PLAYED * sessions:
        return [_played_rarely(trades, sessions, training)]
    return [*_one_sided(figures), *_less_than_in_training(figures, training)]


def _played_rarely(trades: int, sessions: int, training: Sequence[Row]) -> Ailment:
    taught, earned = earned_late(training)
    change = "train longer, or lower ppo.hold_bias, unless there is nothing to enter"
    if taught >= LEAST_ENTRIES and earned > MOST_EARNED:
        change = f"train on more sessions: training earned {earned:+.2f} R a trade, so its bars are known by heart"
    return Ailment(
        name="played_rarely",
        says=f"{trades:,} trades in {sessions:,} sessions: whatever they earned is no evidence",
        figure=trades / sessions,
        relation="below",
        threshold=LEAST_PLAYED,
        change=change,
        key="ppo.total_steps",
        plot=None,
    )


def _one_sided(figures: Mapping[str, Any]) -> list[Ailment]:
    trades, share = int(figures["trades"]), side_of(float(figures["long_share"]))
    if trades < LEAST_ENTRIES or share.figure <= MOST_ONE_SIDE:
        return []
    return [
        Ailment(
            name="played_one_sided",
            says=f"{100 * share.figure:.0f} % of the {trades:,} trades played are {share.side}: "
            "the market's direction is judged, not entries",
            figure=share.figure,
            relation="above",
            threshold=MOST_ONE_SIDE,
            change="true shows it every market upside down as well",
            key="mirror",
            plot=None,
        )
    ]


def _less_than_in_training(figures: Mapping[str, Any], training: Sequence[Row]) -> list[Ailment]:
    """Less than the training bars paid: even the upper end of the interval lies below what its late trades earned.

    Training draws its actions and an evaluation takes the likeliest, so that an honest policy earns no less here.
    """
    trades, earned = earned_late(training)
    low, mean, high = (figures.get(name) for name in ("mean_r_low", "mean_r", "mean_r_high"))
    if trades < LEAST_ENTRIES or mean is None or low is None or high is None or figures.get("in_sample"):
        return []
    if earned <= max(0.0, high):
        return []
    return [
        Ailment(
            name="known_by_heart",
            says=f"the late trades of training earned {earned:+.2f} R each and these {mean:+.2f} R "
            f"({low:+.2f} to {high:+.2f}): it knows its training bars by heart, or the market has changed since",
            figure=earned,
            relation="above",
            threshold=round(max(0.0, high), 4),
            change="train on more sessions; with few of them, lower it",
            key="ppo.total_steps",
            plot=None,
        )
    ]
