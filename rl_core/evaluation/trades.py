"""The trades that a policy closed in an evaluation, and the file that lists them for people and programs."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from rl_core.bars.bars import Bars
from rl_core.market.types import EXIT_NAMES
from trigate.errors import ConfigError
from trigate.whole_files import write_whole

Integers = npt.NDArray[np.int64]
ENDINGS = (".parquet", ".csv")


class Trades(NamedTuple):
    """Closed trades, each field [N]; prices in ticks, money in cents, bars by their index."""

    session: Integers  # trading day of the exit
    attempt: Integers  # which account it was of, from 1
    quantity: Integers  # contracts, signed as bought (+) or sold (-)
    decided: Integers  # bar at whose close the entry was decided; it filled at the next open
    entry: Integers
    exit_bar: Integers
    exit: Integers
    reason: Integers  # STOP ... DAILY_LOSS
    pnl_cents: Integers  # after costs
    risk_cents: Integers

    @property
    def r(self) -> npt.NDArray[np.float64]:
        """Net result in units of the trade's risk [N]."""
        return self.pnl_cents / self.risk_cents

    @property
    def side(self) -> Integers:
        """1 where a long was closed, -1 where a short was [N]."""
        return np.sign(self.quantity)

    @property
    def bars_held(self) -> Integers:
        """Bars from the entry's to the exit's, both counted [N]."""
        return self.exit_bar - self.decided


def trades_from(rows: list[tuple[int, ...]]) -> Trades:
    """The trades of ``rows`` in the order of the fields; none where there are no rows."""
    columns = np.array(rows, np.int64).reshape(len(rows), len(Trades._fields)).T
    return Trades(*columns)


def check_ending(path: Path) -> None:
    """ConfigError unless trades can be written to a file of this name."""
    if path.suffix not in ENDINGS:
        raise ConfigError(f"{path}: trades are written as {' or '.join(ENDINGS)}; give a name that ends so")


def write_trades(path: Path, trades: Trades, bars: Bars) -> None:
    """One row a trade, whole or not at all; times are the starts of the bars in UTC, prices in points.

    Raises:
        ConfigError: the file's name ends otherwise than in .parquet or .csv.
        ResourceError: the disk refuses it.
    """
    check_ending(path)
    tick = float(bars.instrument.tick_size)
    frame = pd.DataFrame(
        {
            "number": np.arange(1, len(trades.session) + 1),
            "attempt": trades.attempt,
            "session": trades.session.astype("datetime64[D]").astype(str),
            "quantity": trades.quantity,
            "entry_time": pd.to_datetime(bars.ts_event_ns[trades.decided + 1], utc=True),
            "entry_price": trades.entry * tick,
            "exit_time": pd.to_datetime(bars.ts_event_ns[trades.exit_bar], utc=True),
            "exit_price": trades.exit * tick,
            "reason": [EXIT_NAMES[reason] for reason in trades.reason],
            "pnl_cents": trades.pnl_cents,
            "risk_cents": trades.risk_cents,
            "r": trades.r,
        }
    )
    if path.suffix == ".csv":
        write_whole(path, frame.to_csv(index=False))
        return
    write_whole(path, frame.to_parquet(index=False))
