"""Rule packs: read, compiled to integers, and refused when a key or value is wrong."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from rl_core.exchange.instruments import instrument
from rl_core.market.account import floor_after_open_equity, opening_account
from rl_core.market.types import (
    EOD_BALANCE,
    INTRADAY,
    NEVER_LOCKS,
    STATIC,
    UNLIMITED,
    Limits,
    PlainIntegers,
    Rules,
    Terms,
    Tier,
)
from rl_core.rules.examples import pack_faults
from rl_core.rules.files import pack_paths
from rl_core.rules.pack import RulePack, limits_of, read_rule_pack, refuse_sending, terms_of
from tests.rl_core.markets import RULES_FOLDER, legacy_pack
from trigate.errors import ConfigError, RefusedError

PLAIN = (RULES_FOLDER / "plain_static.toml").read_text(encoding="utf-8")
TABLES = """
[daily_loss]
amount = 1_000
action = "pause"

[trade]
max_stop_to_target = 5
open_loss = { percent = 30 }
"""


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """The plain pack with some tables more, and each ``before`` replaced by ``after``."""
    text = PLAIN + TABLES
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = folder / "pack.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_legacy_50k_evaluation_is_the_printed_one() -> None:
    """Target 3,000, drawdown 2,500 on unrealised equity, locked at the target balance, 10 minis, flat by 16:59."""
    pack = legacy_pack()

    whole = Tier(0, 10, UNLIMITED)
    expected = Rules(5_000_000, 300_000, 250_000, INTRADAY, 5_300_000, tiers=(whole,) * 4, min_days=7)
    assert pack.compiled() == expected
    assert pack.max_quantity(instrument("NQ")) == 10
    assert pack.max_quantity(instrument("MNQ")) == 100
    assert (pack.flat_minute, pack.days.min, pack.automation) == (1019, 7, "banned")


@pytest.mark.parametrize("path", pack_paths(RULES_FOLDER), ids=lambda path: path.name)
def test_every_pack_reads_states_its_source_and_opens_an_account_with_room(path: Path) -> None:
    pack = read_rule_pack(path)
    account = opening_account(PlainIntegers(), pack.compiled())

    assert pack.sources and pack.confidence and pack.effective
    assert account.cash - account.floor == int(pack.max_loss.amount * 100)
    assert pack_faults(pack) == []


def test_a_lock_compiles_to_the_balance_where_the_floor_stops(tmp_path: Path) -> None:
    """Start + 100 = 50,100; the target balance 53,000; never; and at the cap the floor never passes it."""
    intraday = ('"static"', '"intraday_unrealized"')
    lock = ('lock = "never"', 'lock = "start_plus"\nlock_offset = 100')
    start_plus = read_rule_pack(written(tmp_path, intraday, lock)).compiled()
    at_target = read_rule_pack(written(tmp_path, intraday, (lock[0], 'lock = "target_balance"'))).compiled()
    never = read_rule_pack(written(tmp_path, intraday)).compiled()

    assert (start_plus.floor_cap, at_target.floor_cap, never.floor_cap) == (5_010_000, 5_300_000, NEVER_LOCKS)
    assert floor_after_open_equity(PlainIntegers(), 4_750_000, 9_000_000, start_plus) == 5_010_000


@pytest.mark.parametrize(
    ("name", "ratchet"), [("intraday_unrealized", INTRADAY), ("static", STATIC), ("eod_balance", EOD_BALANCE)]
)
def test_a_ratchet_is_compiled_by_name(tmp_path: Path, name: str, ratchet: int) -> None:
    assert read_rule_pack(written(tmp_path, ('"static"', f'"{name}"'))).compiled().ratchet == ratchet


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("flat_by", "flat_bye"), "did you mean 'session.flat_by'"),
        (("min = 0", "mini = 0"), "did you mean 'days.min'"),
        (("max_stop_to_target", "max_stop_target"), "did you mean 'trade.max_stop_to_target'"),
        (("amount = 2_000", "amount = 0"), "max_loss.amount"),
        (('"static"', '"intraday"'), "max_loss.ratchet"),
        (('"16:59"', '"29:59"'), "session.flat_by"),
        (('"16:59"', '"4:59 pm"'), "session.flat_by"),
        (('"allowed"', '"maybe"'), "automation"),
        (('action = "pause"', 'action = "stop"'), "daily_loss.action"),
        (("amount = 1_000", "amount = 1_000\npercent = 2"), "either amount or percent"),
        (("percent = 30", "percent = 130"), "trade.open_loss.percent"),
        (("percent = 30", "percent = 30, raised_percent = 50"), "go together"),
        (("max_mini = 5", "max_mini = 5\ntiers = [{ from_profit = 10, max_mini = 2 }]"), "start at from_profit = 0"),
        (("max_mini = 5", "max_mini = 5\ntiers = [{ from_profit = 0, max_mini = 6 }]"), "more than max_mini"),
        (("as_of = 2026-11-22", 'as_of = "soon"'), "as_of"),
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
    assert limits_of(legacy_pack(), micro, 50_000) == Limits(50_000, 100, 10)
    assert limits_of(legacy_pack(), micro, 50_000, 12) == Limits(50_000, 12, 10)
    assert limits_of(legacy_pack(), instrument("NQ"), 50_000, 12) == Limits(50_000, 10)


def test_the_default_path_is_the_same_pack_as_the_familys() -> None:
    assert legacy_pack() == read_rule_pack(RULES_FOLDER / "apex_legacy.toml#50k-eval-rithmic")
    assert legacy_pack().name == "Apex legacy 50K evaluation (Rithmic)"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("apex_legacy.toml", "a family of packs"),
        ("apex_legacy.toml#50k-eval-rythmic", "did you mean '50k-eval-rithmic'"),
        ("plain_static.toml#50k", "is one pack"),
    ],
)
def test_a_pack_that_a_file_does_not_hold_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_rule_pack(RULES_FOLDER / name)


def test_a_part_or_a_second_pointer_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "family.toml").write_text('[parts.a]\nstart = 1\n[packs]\none = ["b"]\n', encoding="utf-8")
    (tmp_path / "first.toml").write_text('same_as = "second.toml"\n', encoding="utf-8")
    (tmp_path / "second.toml").write_text('same_as = "first.toml"\n', encoding="utf-8")

    with pytest.raises(ConfigError, match="names part 'b'"):
        read_rule_pack(tmp_path / "family.toml#one")
    with pytest.raises(ConfigError, match="only stands for another"):
        read_rule_pack(tmp_path / "first.toml")


@pytest.mark.parametrize(
    ("size", "target", "drawdown", "minis", "safety_net"),
    [
        ("25k", 1_500, 1_500, 4, 26_600),
        ("50k", 3_000, 2_500, 10, 52_600),
        ("75k", 4_250, 2_750, 12, 77_850),
        ("100k", 6_000, 3_000, 14, 103_100),
        ("150k", 9_000, 5_000, 17, 155_100),
        ("250k", 15_000, 6_500, 27, 256_600),
        ("300k", 20_000, 7_500, 35, 307_600),
    ],
)
def test_legacy_packs_are_the_printed_table(size: str, target: int, drawdown: int, minis: int, safety_net: int) -> None:
    """PA: half the contracts below the safety net; once a day closes there the floor stays, at start + 100 or above."""
    evaluation = read_rule_pack(RULES_FOLDER / f"apex_legacy.toml#{size}-eval-rithmic").compiled()
    endless = read_rule_pack(RULES_FOLDER / f"apex_legacy.toml#{size}-eval-tradovate").compiled()
    funded = read_rule_pack(RULES_FOLDER / f"apex_legacy.toml#{size}-pa").compiled()

    start = int(size[:-1]) * 100_000
    assert (evaluation.start, evaluation.target, evaluation.max_loss) == (start, target * 100, drawdown * 100)
    assert (evaluation.floor_cap, endless.floor_cap) == (start + target * 100, NEVER_LOCKS)
    assert evaluation.tiers[0].max_minis == minis
    assert [tier.max_minis for tier in funded.tiers[:2]] == [minis // 2, minis]
    assert funded.start + funded.tiers[1].from_profit == funded.lock_at_close == safety_net * 100
    assert (funded.target, funded.best_day_percent, funded.best_day_blocks_pass) == (UNLIMITED, 30, 0)


@pytest.mark.parametrize(
    ("size", "target", "drawdown", "minis", "daily"),
    [
        ("25k", 1_500, 1_000, 4, 500),
        ("50k", 3_000, 2_000, 6, 1_000),
        ("100k", 6_000, 3_000, 8, 1_500),
        ("150k", 9_000, 4_000, 12, 2_000),
    ],
)
def test_apex_4_0_packs_are_the_printed_table(size: str, target: int, drawdown: int, minis: int, daily: int) -> None:
    eod = read_rule_pack(RULES_FOLDER / f"apex_4_0.toml#{size}-eod-eval-rithmic").compiled()
    intraday = read_rule_pack(RULES_FOLDER / f"apex_4_0.toml#{size}-intraday-eval-tradovate").compiled()

    for rules in (eod, intraday):
        assert (rules.target, rules.max_loss, rules.tiers[0].max_minis) == (target * 100, drawdown * 100, minis)
        assert (rules.min_days, rules.max_days, rules.kills_open) == (0, 30, 1)
    assert (eod.ratchet, eod.tiers[0].daily_loss, eod.daily_fails) == (EOD_BALANCE, daily * 100, 0)
    assert (intraday.ratchet, intraday.tiers[0].daily_loss) == (INTRADAY, UNLIMITED)
    assert (eod.floor_cap, intraday.floor_cap) == (eod.start + eod.target, NEVER_LOCKS)


@pytest.mark.parametrize(
    ("size", "target", "loss", "minis"),
    [("50k", 3_000, 2_000, 5), ("100k", 6_000, 3_000, 10), ("150k", 9_000, 4_500, 15)],
)
def test_topstep_packs_are_the_printed_table(size: str, target: int, loss: int, minis: int) -> None:
    pack = read_rule_pack(RULES_FOLDER / f"topstep_combine.toml#{size}")
    rules = pack.compiled()

    assert (rules.target, rules.max_loss, rules.tiers[0].max_minis) == (target * 100, loss * 100, minis)
    assert (rules.ratchet, rules.floor_cap, rules.kills_open) == (EOD_BALANCE, rules.start, 1)
    assert (rules.best_day_percent, rules.best_day_inclusive, rules.best_day_blocks_pass) == (50, 1, 1)
    assert pack.flat_minute == 16 * 60 + 10


def test_a_wrong_example_is_a_fault_that_names_both_numbers(tmp_path: Path) -> None:
    pack = read_rule_pack(written(tmp_path, ("floor = 48_000", "floor = 48_001")))

    assert pack_faults(pack) == [
        "a day with a peak of 51000 and a close of 51000: floor is 48,000, the example says 48,001"
    ]


@pytest.mark.parametrize("automation", ["banned", "unknown", "restricted", "allowed"])
def test_only_a_rehearsal_goes_on_unless_automation_is_allowed(automation: str) -> None:
    pack = legacy_pack().model_copy(update={"automation": automation})

    for mode in ("sim", "paper", "replay", "advisory"):
        refuse_sending(pack, mode)
    if automation == "allowed":
        refuse_sending(pack, "live")
        return
    with pytest.raises(RefusedError, match="automated trading") as caught:
        refuse_sending(pack, "live")
    assert caught.value.exit_code == 6


def test_a_stale_pack_says_when_it_was_read_and_how_long_ago() -> None:
    assert legacy_pack().staleness(date(2026, 11, 29)) is None
    assert "2026-08-31, 91 days ago" in str(legacy_pack().staleness(date(2026, 11, 30)))


@pytest.mark.parametrize(
    "name",
    ["apex_legacy#50k-eval-rithmic", "apex_legacy.toml#50k-eval-rithmic", "configs/rules/apex_legacy#50k-eval-rithmic"],
)
def test_a_pack_is_found_by_the_name_that_the_list_prints(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any folder, and wherever a pack is named: `trading.rules` is read by the same function."""
    monkeypatch.chdir(tmp_path)

    assert read_rule_pack(Path(name)) == legacy_pack()


def test_a_near_miss_names_the_packs_that_may_have_been_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError, match=r"apex_50k: .*no such rule pack; did you mean .*'apex_legacy_50k_eval'"):
        read_rule_pack(Path("apex_50k"))
    with pytest.raises(ConfigError, match=r"zzzz: .*no such rule pack; orchestrator rules list names all"):
        read_rule_pack(Path("zzzz"))


def test_an_own_pack_in_the_current_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "configs/rules"
    own.mkdir(parents=True)
    (own / "plain_static.toml").write_text(PLAIN.replace("start = 50_000", "start = 60_000"), encoding="utf-8")

    paths = [path.name for path in pack_paths(Path("configs/rules"))]

    assert read_rule_pack(Path("plain_static")).start == 60_000
    assert paths.count("plain_static.toml") == 1 and "apex_legacy.toml#50k-pa" in paths
