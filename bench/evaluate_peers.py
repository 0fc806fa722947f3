"""Plays listed entries with their brackets in one of three other backtesters, and times it.

Started by `bench/evaluate.py`:

    PYTHON bench/evaluate_peers.py PEER ENTRIES.npz FILLS.npz

PYTHON is of an environment that has the peer; nothing of this project is imported. One JSON object: versions and CPU
seconds of the first and of the second call, or that the peer is not installed.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, Any]
Trades = Any  # [M, 4] bar of the entry, its price, bar of the exit, its price
TICK = 0.25
CASH = 1e12  # so that no account is ever in the way


def by_vectorbt(given: Arrays) -> Trades:
    """Signals at the bar that fills them, stops as shares of the fill."""
    import pandas as pd
    import vectorbt as vbt

    price = {name: pd.Series(given[name]) for name in ("open", "high", "low", "close")}
    side = np.append(0, given["side"][:-1])
    stop, target = (np.append(np.nan, given[name][:-1]) for name in ("stop", "target"))
    flatten = np.append(False, given["flatten"][:-1])
    portfolio = vbt.Portfolio.from_signals(
        price["close"],
        entries=side > 0,
        short_entries=side < 0,
        exits=flatten,
        short_exits=flatten,
        price=price["open"],
        open=price["open"],
        high=price["high"],
        low=price["low"],
        sl_stop=np.abs(given["open"] - stop) / given["open"],
        tp_stop=np.abs(target - given["open"]) / given["open"],
        stop_entry_price="price",
        size=1,
        init_cash=CASH,
    )
    rows = portfolio.trades.records
    return rows[["entry_idx", "entry_price", "exit_idx", "exit_price"]].to_numpy()


def by_backtesting(given: Arrays) -> Trades:
    """A strategy that is asked at every bar."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    frame = pd.DataFrame({name.capitalize(): given[name] for name in ("open", "high", "low", "close")})
    frame["Volume"] = 1
    side, stop, target = (given[name].tolist() for name in ("side", "stop", "target"))
    flatten = given["flatten"].tolist()

    class Listed(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.bar = 0

        def next(self) -> None:
            self.bar = len(self.data) - 1
            if flatten[self.bar] and self.position:
                self.position.close()
            elif side[self.bar] > 0:
                self.buy(size=1, sl=stop[self.bar], tp=target[self.bar])
            elif side[self.bar] < 0:
                self.sell(size=1, sl=stop[self.bar], tp=target[self.bar])

    found = Backtest(frame, Listed, cash=CASH, finalize_trades=True).run()
    rows = found["_trades"].sort_values("EntryBar", kind="stable")
    return rows[["EntryBar", "EntryPrice", "ExitBar", "ExitPrice"]].to_numpy()


def by_nautilus(given: Arrays) -> Trades:
    """A strategy with bracket orders; a market order fills at the close that it is sent at, which is the next open."""
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.enums import OrderSide
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.objects import Price, Quantity
    from nautilus_trader.trading.strategy import Strategy

    kind, name = BarType.from_str("NQ.SIM-1-MINUTE-LAST-EXTERNAL"), InstrumentId(Symbol("NQ"), Venue("SIM"))
    one = Quantity.from_int(1)
    side, stop, target = (given[each].tolist() for each in ("side", "stop", "target"))
    flatten = given["flatten"].tolist()
    fills: list[tuple[int, float]] = []

    class Listed(Strategy):  # type: ignore[misc]
        def on_start(self) -> None:
            self.seen = 0
            self.subscribe_bars(kind)

        def on_bar(self, bar: Any) -> None:
            at, self.seen = self.seen, self.seen + 1
            if flatten[at] and not self.portfolio.is_flat(name):
                self.cancel_all_orders(name)
                self.close_all_positions(name)
            elif side[at]:
                self.submit_order_list(
                    self.order_factory.bracket(
                        instrument_id=name,
                        order_side=OrderSide.BUY if side[at] > 0 else OrderSide.SELL,
                        quantity=one,
                        sl_trigger_price=Price(stop[at], 2),
                        tp_price=Price(target[at], 2),
                        tp_post_only=False,
                    )
                )

        def on_order_filled(self, event: Any) -> None:
            fills.append((self.seen, float(event.last_px)))

    engine = _nautilus_engine(given, kind)
    engine.add_strategy(Listed())
    engine.run()
    engine.dispose()
    whole = np.array(fills, np.float64)[: len(fills) // 2 * 2]
    return whole.reshape(-1, 4)


def _nautilus_engine(given: Arrays, kind: Any) -> Any:
    """A venue with one future and its bars, which are of ``kind`` and known as they end."""
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import Bar
    from nautilus_trader.model.enums import AccountType, AssetClass, OmsType
    from nautilus_trader.model.instruments import FuturesContract
    from nautilus_trader.model.objects import Money, Price, Quantity

    name = kind.instrument_id
    contract = FuturesContract(
        instrument_id=name,
        raw_symbol=name.symbol,
        asset_class=AssetClass.INDEX,
        currency=USD,
        price_precision=2,
        price_increment=Price(TICK, 2),
        multiplier=Quantity.from_int(1),
        lot_size=Quantity.from_int(1),
        underlying="NQ",
        activation_ns=0,
        expiration_ns=2**62,
        ts_event=0,
        ts_init=0,
    )
    ends = (given["ts_event_ns"] + 60_000_000_000).tolist()
    columns = [given[each].tolist() for each in ("open", "high", "low", "close")]
    rows = zip(*columns, ends, strict=True)
    bars = [Bar(kind, *(Price(each, 2) for each in row), Quantity.from_int(1000), end, end) for *row, end in rows]
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        venue=name.venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=USD,
        starting_balances=[Money(1_000_000_000, USD)],
    )
    engine.add_instrument(contract)
    engine.add_data(bars)
    return engine


PEERS: dict[str, tuple[str, Callable[[Arrays], Trades]]] = {
    "backtesting": ("backtesting", by_backtesting),
    "vectorbt": ("vectorbt", by_vectorbt),
    "nautilus_trader": ("nautilus_trader", by_nautilus),
}


def main() -> None:
    """Play twice, write the fills of the second call, print the seconds."""
    peer, entries, fills = sys.argv[1:]
    package, play = PEERS[peer]
    if find_spec(package) is None:
        print(json.dumps({"missing": f"{package} is not installed in {Path(sys.executable).parent.parent.name}"}))
        return
    with np.load(entries) as file:
        given = dict(file)
    spent = []
    for _ in range(2):
        began = time.process_time()
        trades = play(given)
        spent.append(time.process_time() - began)
    np.savez(fills, trades=trades)
    print(json.dumps({"version": version(package), "first_cpu_s": spent[0], "cpu_s": spent[1]}))


if __name__ == "__main__":
    main()
