"""How NQ spreads its movement and volume over the day, measured on NQ 2023-11..2025-12 (volume: 2022-01..2026-06)."""

import numpy as np
import numpy.typing as npt

SESSION_OPEN_MINUTE = 18 * 60
SESSION_MINUTES = 23 * 60
HALF_HOUR = 30

# fmt: off
MEAN_ABS_RETURN_BP = np.array([  # per one-minute bar, by half hour from 18:00 to 17:00 ET
    1.58, 1.10, 1.21, 1.09, 1.40, 1.19, 1.15, 1.09, 1.01, 0.89, 0.88, 0.83,
    0.85, 0.83, 0.99, 1.08, 1.29, 1.21, 1.81, 1.54, 1.77, 1.45, 1.37, 1.26,
    1.38, 1.36, 1.59, 1.47, 1.63, 2.40, 1.94, 5.01, 4.31, 3.61, 3.20, 2.93,
    2.68, 2.56, 2.72, 2.60, 2.67, 2.59, 2.56, 3.11, 1.93, 1.08,
])
MEDIAN_VOLUME = np.array([  # contracts per one-minute bar, same half hours
    108, 78, 103, 84, 118, 102, 77, 68, 62, 56, 46, 43,
    57, 60, 65, 57, 94, 84, 164, 132, 154, 135, 115, 106,
    120, 116, 154, 154, 224, 324, 350, 2338, 1704, 1377, 1081, 900,
    720, 643, 754, 649, 720, 766, 806, 1254, 276, 104,
])
MINUTES_OF_THEIR_OWN_BP = {  # mean absolute return of minutes that stand out of their half hour, by (hour, minute) ET
    (8, 30): 7.62, (8, 31): 3.58, (8, 35): 2.68, (9, 25): 2.99, (9, 29): 2.28, (9, 30): 7.72, (9, 31): 7.31,
    (9, 32): 6.12, (9, 35): 5.64, (9, 40): 5.38, (9, 45): 5.49, (9, 59): 3.78, (10, 0): 7.20, (10, 1): 4.84,
    (10, 5): 4.45, (11, 59): 2.48, (14, 0): 3.83, (14, 1): 2.99, (15, 30): 3.11, (15, 45): 2.93, (15, 55): 4.60,
    (15, 58): 2.57, (15, 59): 5.02, (16, 0): 4.70, (16, 1): 3.57, (18, 1): 2.78, (18, 5): 2.32,
}
# fmt: on


def index_in_session(hour: int, minute: int) -> int:
    """Minutes from the 18:00 ET open to this exchange-local time."""
    return (hour * 60 + minute - SESSION_OPEN_MINUTE) % (24 * 60)


def mean_abs_return_bp() -> npt.NDArray[np.float64]:
    """[1380] mean absolute one-minute return of each minute from 18:00 ET; half-hour means are kept."""
    standing_out = {index_in_session(*time): value for time, value in MINUTES_OF_THEIR_OWN_BP.items()}
    profile = np.repeat(MEAN_ABS_RETURN_BP, HALF_HOUR)
    fixed = np.zeros(SESSION_MINUTES, bool)
    fixed[list(standing_out)] = True
    profile[list(standing_out)] = list(standing_out.values())
    blocks, rest = profile.reshape(-1, HALF_HOUR), ~fixed.reshape(-1, HALF_HOUR)
    left = MEAN_ABS_RETURN_BP * HALF_HOUR - np.where(rest, 0.0, blocks).sum(axis=1)
    return np.asarray(np.where(rest, (left / rest.sum(axis=1))[:, None], blocks).ravel())


def median_volume() -> npt.NDArray[np.float64]:
    """[1380] usual contracts of each minute from 18:00 ET: the half hour's median, moved with the mean return."""
    within = mean_abs_return_bp() / np.repeat(MEAN_ABS_RETURN_BP, HALF_HOUR)
    return np.asarray(np.repeat(MEDIAN_VOLUME, HALF_HOUR) * within)
