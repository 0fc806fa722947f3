"""The drawdown floor of every kind of pack, in the numbers that firms print."""

import pytest

from rl_core.exchange.instruments import instrument
from rl_core.market.account import (
    after_session,
    equity,
    floor_after_close,
    floor_after_open_equity,
    floor_after_session,
    opened_day,
    opening_account,
    passed,
    touches_daily_loss,
    touches_floor,
    unrealized_pnl,
)
from rl_core.market.types import (
    CLOSED_BALANCE,
    EOD_BALANCE,
    FLAT,
    INTRADAY,
    NEVER_LOCKS,
    STATIC,
    UNLIMITED,
    Account,
    PlainIntegers,
    Position,
    Rules,
    Tier,
)
from rl_core.rules.pack import terms_of
from tests.rl_core.markets import legacy_pack

XP = PlainIntegers()
ALL_RATCHETS = (STATIC, EOD_BALANCE, CLOSED_BALANCE, INTRADAY)


def rules(ratchet: int, *, max_loss: int = 250_000, cap: int = NEVER_LOCKS) -> Rules:
    return Rules(5_000_000, 300_000, max_loss, ratchet, cap)


@pytest.mark.parametrize(("symbol", "cents"), [("NQ", 20_000), ("MNQ", 2_000), ("ES", 50_000), ("YM", 5_000)])
def test_ten_points_are_worth_what_the_exchange_says(symbol: str, cents: int) -> None:
    """NQ pays $20 a point and ES $50: 10 points are $200 and $500, never the other's; micros a tenth."""
    contract = instrument(symbol)
    ticks = int(10 / contract.tick_size)
    long, short = Position(1, 80_000, 0, 0, 1, 0, 1), Position(-1, 80_000, 0, 0, 1, 0, 1)

    assert unrealized_pnl(long, 80_000 + ticks, contract.tick_value) == cents
    assert unrealized_pnl(short, 80_000 + ticks, contract.tick_value) == -cents


def test_equity_is_the_balance_plus_open_profit() -> None:
    terms = terms_of(instrument("MNQ"))

    assert equity(Account(5_000_000, 0), Position(3, 100, 0, 0, 1, 0, 1), 110, terms) == 5_000_000 + 3 * 10 * 50
    assert equity(Account(5_000_000, 0), FLAT, 110, terms) == 5_000_000


def test_legacy_50k_with_a_peak_of_50_875_has_its_floor_at_48_375() -> None:
    pack = legacy_pack().compiled()
    account = opening_account(XP, pack)

    assert (account.cash, account.floor) == (5_000_000, 4_750_000)
    assert floor_after_open_equity(XP, account.floor, 5_087_500, pack) == 4_837_500


def test_a_static_floor_never_moves() -> None:
    """The 100K static account: 625 below 100,000 is 99,375 for good."""
    pack = Rules(10_000_000, 200_000, 62_500, STATIC, NEVER_LOCKS)
    floor = opening_account(XP, pack).floor

    assert floor == 9_937_500
    for moved in (floor_after_open_equity, floor_after_close, floor_after_session):
        assert moved(XP, floor, 10_150_000, pack) == floor


def test_a_900_spike_given_back_moves_the_intraday_floor_by_900_and_the_eod_floor_not_at_all() -> None:
    start, spike = 5_000_000, 5_090_000
    floors = {}
    for ratchet in (INTRADAY, EOD_BALANCE):
        pack = rules(ratchet, max_loss=200_000)
        floor = floor_after_open_equity(XP, opening_account(XP, pack).floor, spike, pack)
        floor = floor_after_close(XP, floor, start, pack)
        floors[ratchet] = floor_after_session(XP, floor, start, pack)

    assert floors == {INTRADAY: 4_890_000, EOD_BALANCE: 4_800_000}


def test_each_ratchet_follows_its_own_reference_only() -> None:
    """A reference 1,000 above start lifts the floor where the ratchet looks at that moment."""
    moved = {
        ratchet: tuple(
            follow(XP, 4_750_000, 5_100_000, rules(ratchet)) == 4_850_000
            for follow in (floor_after_open_equity, floor_after_close, floor_after_session)
        )
        for ratchet in ALL_RATCHETS
    }

    assert moved == {
        STATIC: (False, False, False),
        EOD_BALANCE: (False, False, True),
        CLOSED_BALANCE: (False, True, False),
        INTRADAY: (True, True, False),
    }


def test_a_lock_at_50_100_is_reached_at_a_peak_of_52_100_and_never_passed() -> None:
    pack = rules(INTRADAY, max_loss=200_000, cap=5_010_000)

    peaks = (5_209_900, 5_210_000, 5_210_100, 5_900_000)
    assert [floor_after_open_equity(XP, 4_800_000, peak, pack) for peak in peaks] == [
        5_009_900,
        5_010_000,
        5_010_000,
        5_010_000,
    ]


def test_a_lock_at_the_target_balance_holds_at_53_000_and_never_locks_elsewhere() -> None:
    """4.0 evaluation, drawdown 2,000: on Rithmic 53,000 at 55,000; on Tradovate 53,500 at 55,500."""
    locking, trailing = (rules(INTRADAY, max_loss=200_000, cap=cap) for cap in (5_300_000, NEVER_LOCKS))

    assert floor_after_open_equity(XP, 4_800_000, 5_500_000, locking) == 5_300_000
    assert floor_after_open_equity(XP, 4_800_000, 5_550_000, locking) == 5_300_000
    assert floor_after_open_equity(XP, 4_800_000, 5_550_000, trailing) == 5_350_000


@pytest.mark.parametrize("ratchet", ALL_RATCHETS)
def test_no_floor_ever_falls(ratchet: int) -> None:
    for follow in (floor_after_open_equity, floor_after_close, floor_after_session):
        assert follow(XP, 4_900_000, 4_800_000, rules(ratchet)) == 4_900_000
        assert follow(XP, 4_900_000, 9_000_000, rules(ratchet, cap=4_850_000)) == 4_900_000


def test_the_target_passes_only_when_it_is_banked() -> None:
    """53,000 closed passes; open profit or one cent less does not."""
    pack, held = rules(INTRADAY), Position(1, 100, 90, 130, 10, 0, 1)

    assert passed(Account(5_300_000, 0), FLAT, pack)
    assert not passed(Account(5_299_999, 0), FLAT, pack)
    assert not passed(Account(5_300_000, 0), held, pack)


def test_a_day_that_closes_exactly_at_the_lock_locks_the_floor_for_good() -> None:
    """52,600 locks, one cent less does not, and no later loss unlocks."""
    pack = rules(INTRADAY)._replace(lock_at_close=5_260_000)

    locked = [after_session(XP, Account(cash, 5_000_000), pack).locked for cash in (5_259_999, 5_260_000)]
    later = after_session(XP, Account(5_100_000, 5_010_000, locked=1), pack)

    assert locked == [0, 1]
    assert (later.locked, later.floor) == (1, 5_010_000)


@pytest.mark.parametrize(("counts_open", "counted"), [(1, "open"), (0, "closed")])
def test_a_loss_of_exactly_the_limit_has_reached_it(counts_open: int, counted: str) -> None:
    """At the daily limit and at the floor; open equity counts where the pack says so, else the closed balance."""
    pack = rules(STATIC)._replace(daily_counts_open=counts_open, kills_open=counts_open)
    limit, above = 4_900_000, 4_900_001
    at = Account(cash=above if counted == "open" else limit, floor=limit, day_floor=limit)
    over = at._replace(cash=limit if counted == "open" else above)

    for touch in (touches_daily_loss, touches_floor):
        assert touch(XP, at, limit if counted == "open" else above, pack)
        assert not touch(XP, over, above if counted == "open" else limit, pack)


def test_a_tier_and_a_raised_open_loss_begin_at_exactly_their_profit() -> None:
    """At 1,500 of profit 4 minis and a daily loss of 1,000; at 2,600 half of the profit may be lost, before 30 %."""
    tiers = (Tier(0, 2, UNLIMITED), *[Tier(150_000, 4, 100_000)] * 3)
    raised = {"open_loss_percent": 30, "open_loss_raised_percent": 50, "open_loss_raised_at": 260_000}
    pack = rules(STATIC)._replace(tiers=tiers, **raised)

    opened = {p: opened_day(XP, Account(5_000_000 + p, 0), pack) for p in (149_999, 150_000, 259_999, 260_000)}

    assert [account.max_minis for account in opened.values()] == [2, 4, 4, 4]
    assert opened[149_999].day_floor == -UNLIMITED and opened[150_000].day_floor == 5_050_000
    assert (opened[259_999].max_open_loss, opened[260_000].max_open_loss) == (77_999, 130_000)
