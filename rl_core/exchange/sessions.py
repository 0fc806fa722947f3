"""Sessions of one product family as plain arrays."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Sessions(NamedTuple):
    """Sessions of one family in order of time; times are ns UTC."""

    open_ns: npt.NDArray[np.int64]  # [S]
    close_ns: npt.NDArray[np.int64]  # [S]
    trade_date: npt.NDArray[np.int32]  # [S] days since 1970-01-01
    open_minute_et: npt.NDArray[np.int32]  # [S] minute of the exchange-local day at the open
    break_start_ns: npt.NDArray[np.int64]  # [S] of a break inside the session
    break_end_ns: npt.NDArray[np.int64]  # [S] equal to its start where there is no break
