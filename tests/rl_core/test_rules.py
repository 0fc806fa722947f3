"""Rule packs: read, compiled to integers, and refused when a key or value is wrong."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from rl_core.errors import ConfigError
from rl_core.instruments import instrument
from rl_core.market.account import floor_after_open_equity, opening_account
from rl_core.market.types import EOD_BALANCE, INTRADAY, NEVER_LOCKS, STATIC, Limits, PlainIntegers, Rules, Terms
from rl_core.rules import RulePack, limits_of, read_rule_pack, terms_of
from tests.rl_core.markets import RULES_FOLDER, legacy_pack

LEGACY = (RULES_FOLDER / "apex_legacy_50k_eval.toml").read_text(encoding="utf-8")


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """The legacy pack with each ``before`` replaced by ``after``."""
    text = LEGACY
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "pack.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_legacy_50k_evaluation_is_the_printed_one() -> None:
    """Target 3,000, drawdown 2,500 on unrealised equity, locked at the target balance, 10 minis, flat by 16:59."""
    pack = legacy_pack()

    assert pack.compiled() == Rules(5_000_000, 300_000, 250_000, INTRADAY, 5_300_000)
    assert pack.max_quantity(instrument("NQ")) == 10
    assert pack.max_quantity(instrument("MNQ")) == 100
    assert (pack.flat_minute, pack.min_days, pack.automation) == (1019, 7, "banned")


@pytest.mark.parametrize("path", sorted(RULES_FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_pack_reads_states_its_source_and_opens_an_account_with_room(path: Path) -> None:
    pack = read_rule_pack(path)
    account = opening_account(pack.compiled())

    assert pack.sources and pack.confidence and pack.effective
    assert account.cash - account.floor == int(pack.max_loss.amount * 100)


def test_a_lock_compiles_to_the_balance_where_the_floor_stops(tmp_path: Path) -> None:
    """Start + 100 = 50,100; the target balance 53,000; never; and at the cap the floor never passes it."""
    lock = ('lock = "target_balance"', 'lock = "start_plus"\nlock_offset = 100')
    start_plus = read_rule_pack(written(tmp_path, lock)).compiled()
    never = read_rule_pack(written(tmp_path, (lock[0], 'lock = "never"'))).compiled()

    assert (start_plus.floor_cap, never.floor_cap) == (5_010_000, NEVER_LOCKS)
    assert floor_after_open_equity(PlainIntegers(), 4_750_000, 9_000_000, start_plus) == 5_010_000


@pytest.mark.parametrize(("name", "ratchet"), [("static", STATIC), ("eod_balance", EOD_BALANCE)])
def test_a_ratchet_is_compiled_by_name(tmp_path: Path, name: str, ratchet: int) -> None:
    assert read_rule_pack(written(tmp_path, ("intraday_unrealized", name))).compiled().ratchet == ratchet


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("flat_by", "flat_bye"), "did you mean 'flat_by'"),
        (("min_days = 7", "min_day = 7"), "did you mean 'min_days'"),
        (("amount = 2_500", "amount = 0"), "max_loss.amount"),
        (('"intraday_unrealized"', '"intraday"'), "max_loss.ratchet"),
        (('"16:59"', '"29:59"'), "session.flat_by"),
        (('"16:59"', '"4:59 pm"'), "session.flat_by"),
        (('"banned"', '"maybe"'), "automation"),
        (("target = 3_000", "target = "), "not valid TOML"),
    ],
)
def test_a_wrong_pack_is_refused_with_file_key_and_fault(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = written(tmp_path, change)

    with pytest.raises(ConfigError) as caught:
        read_rule_pack(path)

    assert said in str(caught.value) and str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_pack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml"):
        read_rule_pack(tmp_path / "nothing.toml")


def test_a_pack_is_stale_after_ninety_days() -> None:
    """Read on 2026-08-31: the 90th day is 2026-11-29."""
    pack = legacy_pack()

    assert not pack.stale(date(2026, 11, 29))
    assert pack.stale(date(2026, 11, 30))


def test_cents_are_exact_for_prices_with_cents(tmp_path: Path) -> None:
    pack = RulePack.model_validate(legacy_pack().model_dump() | {"target": Decimal("1234.56")})

    assert pack.compiled().target == 123_456


def test_terms_and_limits_come_from_the_contract_unless_configured() -> None:
    """NQ bars are traded as MNQ by default: 50 cents a tick, 60 cents a side."""
    micro = instrument(instrument("NQ").micro or "")

    assert terms_of(micro) == Terms(50, 60, 1)
    assert terms_of(micro, commission=35) == Terms(50, 35, 1)
    assert terms_of(instrument("NQ"), commission=0).commission == 0
    assert limits_of(legacy_pack(), micro, 50_000) == Limits(50_000, 100)
    assert limits_of(legacy_pack(), micro, 50_000, 12) == Limits(50_000, 12)
    assert limits_of(legacy_pack(), instrument("NQ"), 50_000, 12) == Limits(50_000, 10)
