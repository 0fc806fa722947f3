"""The minute of the exchange's day at which moments lie."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from rl_core.exchange.product_hours import EXCHANGE_ZONE


def minutes_of_day(ts_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Minutes [T] since midnight in New York of the moments ``ts_ns`` [T], ns UTC."""
    local = pd.DatetimeIndex(ts_ns.view("datetime64[ns]"), tz="UTC").tz_convert(EXCHANGE_ZONE)
    return np.asarray(local.hour * 60 + local.minute, np.int64)
