"""The interval of a mean: repeatable, wider where trades of a session hang together, and right on average."""

import numpy as np

from rl_core.statistics.bootstrap import session_block_bootstrap


def test_without_a_trade_there_is_no_interval() -> None:
    assert session_block_bootstrap(np.zeros(0), np.zeros(0, np.int64)) is None


def test_equal_trades_leave_no_doubt() -> None:
    found = session_block_bootstrap(np.full(6, 0.5), np.array([1, 1, 2, 2, 3, 3]))

    assert found is not None
    assert (found.mean, found.low, found.high, found.sessions, found.trades) == (0.5, 0.5, 0.5, 3, 6)


def test_two_sessions_by_hand() -> None:
    """Drawing two of {+1, -1} gives means of -1, 0 and 1 with 1/4, 1/2 and 1/4: 95 % is the whole range."""
    found = session_block_bootstrap(np.array([1.0, -1.0]), np.array([10, 20]))

    assert found is not None and (found.mean, found.low, found.high) == (0.0, -1.0, 1.0)


def test_the_same_seed_gives_the_same_interval_and_order_does_not_matter() -> None:
    values, session = np.random.default_rng(0).normal(size=40), np.repeat(np.arange(10), 4)

    first, again = session_block_bootstrap(values, session), session_block_bootstrap(values, session)
    mixed = session_block_bootstrap(values[::-1], session[::-1])

    assert first == again and first is not None and mixed is not None
    np.testing.assert_allclose(mixed, first)


def test_trades_that_move_together_count_as_one() -> None:
    """Ten copies of each session's trade say no more than one: the interval is as wide as without copies."""
    values = np.random.default_rng(1).normal(size=50)
    alone = session_block_bootstrap(values, np.arange(50))
    copied = session_block_bootstrap(np.repeat(values, 10), np.repeat(np.arange(50), 10))
    unblocked = session_block_bootstrap(np.repeat(values, 10), np.arange(500))

    assert alone is not None and copied is not None and unblocked is not None
    np.testing.assert_allclose((copied.low, copied.high), (alone.low, alone.high))
    assert unblocked.high - unblocked.low < 0.5 * (copied.high - copied.low)


def test_a_lower_level_is_narrower_and_the_mean_lies_inside() -> None:
    values, session = np.random.default_rng(2).normal(size=200), np.arange(200) // 4

    wide, narrow = (session_block_bootstrap(values, session, level=level) for level in (0.95, 0.5))

    assert wide is not None and narrow is not None
    assert wide.low < narrow.low < values.mean() < narrow.high < wide.high
