"""Second bars beside minute bars: which files are refused, what a ladder keeps, what an evaluation shows."""

from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest

from rl_core.bars.bars import Bars
from rl_core.bars.rungs import CHUNK, SECONDS, ladder_of
from rl_core.bars.seconds import read_seconds
from rl_core.bars.write import write_bars
from rl_core.contract import BUY, HOLD
from rl_core.envs.env import Env
from rl_core.envs.market_arrays import make_market
from rl_core.evaluation.accounts import by_resolution, play_account
from rl_core.evaluation.entrants import Trained
from rl_core.evaluation.inputs import EvaluationInputs
from rl_core.evaluation.span import Span
from rl_core.exchange.instruments import instrument
from rl_core.market.types import PESSIMISTIC
from rl_core.market.types import SECONDS as BY_SECONDS
from rl_core.trading.setup import TradingConfig, compile_trading
from tests.rl_core.envs.episodes import act, at_close, params_for
from tests.rl_core.markets import (
    RULES_FOLDER,
    closing_at,
    mnq_venue,
    quiet_bars,
    random_seconds,
    seen,
    seen_again,
    session_minutes,
    with_bar,
)
from trigate.errors import DataError

LEVEL = 80_000


def seconds_in(bars: Bars, t: int, *rows: tuple[int, int]) -> Bars:
    """One trade a row in minute ``t``: the second it falls in, and ticks from 80,000."""
    at = np.array([bars.ts_event_ns[t] + second * 10**9 for second, _ in rows], np.int64)
    price = np.array([LEVEL + ticks for _, ticks in rows], np.int32)
    return Bars(
        instrument=instrument("NQ"),
        interval_s=1,
        ts_event_ns=at,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=np.ones(len(rows), np.int64),
    )


def test_only_seconds_of_the_same_market_and_time_are_taken(tmp_path: Path) -> None:
    minutes, seconds = random_seconds(1, session_minutes(1)[:200])
    path = tmp_path / "NQ_D1S.parquet"

    write_bars(seconds, path)
    assert read_seconds(path, minutes).digest == seconds.digest

    write_bars(replace(seconds, ts_event_ns=seconds.ts_event_ns + 400 * 86_400 * 10**9, digest=""), path)
    with pytest.raises(DataError, match="none of its minutes"):
        read_seconds(path, minutes)

    other = (column + 40 for column in (seconds.open, seconds.high, seconds.low, seconds.close))
    names = ("open", "high", "low", "close")
    write_bars(replace(seconds, **dict(zip(names, other, strict=True)), digest=""), path)
    with pytest.raises(DataError, match=r"only 0\.0% of its minutes close"):
        read_seconds(path, minutes)


def test_a_ladder_is_the_same_however_the_minutes_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    minutes, seconds = random_seconds(2, session_minutes(1)[:300])
    whole = ladder_of(minutes, seconds)

    assert CHUNK > 300
    monkeypatch.setattr("rl_core.bars.rungs.CHUNK", 7)
    cut = ladder_of(minutes, seconds)

    np.testing.assert_array_equal(whole.offsets, cut.offsets)
    np.testing.assert_array_equal(whole.rungs, cut.rungs)
    assert whole.covered.all()
    assert np.diff(whole.offsets).max() <= SECONDS
    assert len(whole.rungs) < 0.6 * len(seconds)


def test_rungs_are_new_extremes_and_deeper_falls_only() -> None:
    """0, 5, 3, 4, 9, 2: 4 makes no greater rise or fall; 3 falls 2 from 5, 2 falls 7 from 9."""
    bars = with_bar(quiet_bars(1), 3, (0, 9, 0, 2))
    ladder = ladder_of(bars, seconds_in(bars, 3, (0, 0), (1, 5), (20, 3), (21, 4), (40, 9), (59, 2)))

    kept = ladder.rungs[ladder.offsets[3] : ladder.offsets[4]]

    assert kept.tolist() == [[0, 0, 0, 0, 0], [5, 0, 0, 5, 5], [5, 0, 2, 5, 3], [9, 0, 2, 9, 9], [9, 0, 7, 9, 2]]
    assert ladder.covered.tolist() == [t == 3 for t in range(len(bars))]


def test_a_minute_whose_seconds_do_not_add_up_has_none() -> None:
    bars = quiet_bars(1)

    for rows in (((0, 0), (5, 11), (9, -10), (50, 0)), ((0, 1), (5, 10), (9, -10), (50, 0)), ((0, 0),)):
        assert not ladder_of(bars, seconds_in(bars, 3, *rows)).covered.any()
    assert ladder_of(bars, seconds_in(bars, 3, (0, 0), (5, 10), (9, -10), (50, 0))).covered[3]


@pytest.mark.parametrize(
    ("rows", "ticks"), [(((0, 0), (9, 95), (30, -35), (59, 0)), 90), (((0, 0), (9, -35), (30, 95), (59, 0)), -36)]
)
def test_line_6_of_the_timing_contract_seconds_are_exact(rows: tuple[tuple[int, int], ...], ticks: int) -> None:
    """Bought at +1: stop -29, target +91. +95 first pays 90; -35 first opens beyond the stop and slips to -36."""
    quiet = quiet_bars()
    view = seen(quiet)
    t = closing_at(view, "11:00")
    bars = with_bar(quiet, t + 1, (0, 95, -35, 0))
    market = make_market(seen_again(view, bars), ladder=ladder_of(bars, seconds_in(bars, t + 1, *rows)))

    by_seconds = act(Env(2), market, at_close(t), BUY, params_for(mnq_venue(BY_SECONDS)))
    by_minute = act(Env(2), market, at_close(t), BUY, params_for(mnq_venue(PESSIMISTIC)))

    gross = ticks if ticks > 0 else ticks - 1
    assert int(by_seconds.trade.pnl_cents[0]) == 29 * (gross * 50 - 120)
    assert int(by_minute.trade.pnl_cents[0]) == 29 * (-31 * 50 - 120)


class EveryBuy:
    """A policy of phase 1 that buys wherever it may."""

    num_actions = 3

    def decide_batch(self, values: npt.NDArray[np.float32], legal: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
        """BUY where legal."""
        return np.where(legal[:, BUY], BUY, HOLD).astype(np.int32)


def test_an_evaluation_shows_profit_under_all_three_resolutions() -> None:
    minutes, seconds = random_seconds(3, session_minutes(4), spread=3.0)
    config = TradingConfig(rules=RULES_FOLDER / "apex_legacy_50k_eval.toml", resolution="seconds")
    trading = compile_trading(config, instrument("NQ"))
    view, ladder = seen(minutes), ladder_of(minutes, seconds)
    inputs = EvaluationInputs(Trained(EveryBuy()), view, trading, Span(0, len(minutes)), ladder)  # type: ignore[arg-type]

    shown = by_resolution("fresh", inputs)
    alone = play_account("fresh", inputs).summary()

    profits = [shown[f"{name}_pnl_dollars"] for name in ("pessimistic", "adaptive", "seconds")]
    assert None not in profits and len(set(profits)) > 1
    assert shown["seconds_pnl_dollars"] == alone["pnl_dollars"]
    assert shown["seconds_share"] == 1.0
    assert jnp.asarray(ladder.rungs).dtype == jnp.int16
