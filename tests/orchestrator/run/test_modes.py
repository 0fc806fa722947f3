"""Orders are rehearsed; sending them is refused unless everything allows it, each time with what is missing."""

from pathlib import Path

import pytest

from orchestrator.run.config import RunConfig
from tests.orchestrator.practice_adapter import ACCOUNT, NAME, install_practice, pack_that_says
from tests.processes.commands import call_here


def live(*words: str) -> str:
    """What `orchestrator run` says to these words; it is refused."""
    ended = call_here("orchestrator", "run", *words)
    assert (ended.returncode, ended.stdout) == (6, ""), ended.stderr
    (line,) = ended.stderr.splitlines()
    return line


def settings(**changed: str | None) -> list[str]:
    """All that a live run must be told, with changes; None leaves one out."""
    given = {
        "mode": "live",
        "broker": NAME,
        "live.account": ACCOUNT,
        "guards.contracts": "2",
        "guards.entries_a_day": "4",
        "guards.loss_a_day_dollars": "300",
    } | {name.replace("__", "."): value for name, value in changed.items()}
    return [word for name, value in given.items() if value is not None for word in ("--set", f"{name}={value}")]


CONFIRMED = ("--send-orders-to", ACCOUNT)


@pytest.mark.parametrize(
    ("automation", "said"),
    [
        ("banned", "bans automated trading"),
        ("unknown", "its pack says unknown"),
        ("restricted", "restricts automated trading"),
        ("allowed", "no broker adapter is installed"),
    ],
)
def test_a_live_run_is_refused_by_the_pack_first_and_then_for_want_of_an_adapter(
    tmp_path: Path, automation: str, said: str
) -> None:
    pack = f'trading.rules="{pack_that_says(automation, tmp_path)}"'

    assert said in live("--set", "mode=live", "--set", pack)


REFUSED: dict[str, tuple[dict[str, str | None], tuple[str, ...], str]] = {
    "no adapter named": ({"broker": None}, CONFIRMED, "the broker adapters installed are practice, and --broker names"),
    "the simulated one": ({"broker": "simulated"}, CONFIRMED, "--broker simulated is none of them"),
    "no account": ({"live__account": None}, CONFIRMED, "live.account does not name the account at the broker"),
    "no guard": (
        {"guards__contracts": None, "guards__loss_a_day_dollars": None},
        CONFIRMED,
        "guards.contracts and guards.loss_a_day_dollars must be set",
    ),
    "no entries a day": ({"guards__entries_a_day": None}, CONFIRMED, "guards.entries_a_day must be set"),
    "not confirmed": ({}, (), "--send-orders-to was not given, and live.account is PRACTICE"),
    "another account": ({}, ("--send-orders-to", "OTHER"), "--send-orders-to says OTHER, and live.account is PRACTICE"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_live_run_is_refused_unless_adapter_account_guards_and_a_person_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """The adapter is found as it would be after ``pip install``."""
    install_practice(tmp_path / "site", monkeypatch)
    changed, words, said = REFUSED[case]

    assert said in live(*settings(**changed), *words)


def test_doctor_says_of_a_live_run_what_the_run_would_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_practice(tmp_path / "site", monkeypatch)

    told = call_here("orchestrator", "doctor", *settings())

    assert told.returncode == 6
    assert f"wrong    settings   {live(*settings()).removeprefix('orchestrator: ')}" in told.stdout


def test_a_live_run_is_refused_by_rules_that_were_read_long_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning elsewhere."""
    install_practice(tmp_path / "site", monkeypatch)
    old = f'trading.rules="{pack_that_says("allowed", tmp_path, "2024-01-01")}"'

    assert "were read on 2024-01-01" in live(*settings(), *CONFIRMED, "--set", old)


def test_a_live_run_that_nothing_forbids_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it misses then is bars."""
    install_practice(tmp_path / "site", monkeypatch)
    pack, bars = f'trading.rules="{pack_that_says("allowed", tmp_path)}"', tmp_path / "none.csv"

    named = ("--bars", bars, "--checkpoint", tmp_path / "none")

    ended = call_here("orchestrator", "run", *settings(), *CONFIRMED, "--set", pack, *named)

    assert ended.returncode == 3 and "none.csv: not_a_file" in ended.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--broker", "practice"), "mode 'paper' sends nothing, so its broker is 'simulated' or none"),
        (("--set", "live.account=PRACTICE"), "live.*: mode 'paper' sends nothing"),
        (("--send-orders-to", "PRACTICE"), "--send-orders-to: mode 'paper' sends none"),
    ],
)
def test_what_is_for_a_live_run_is_refused_elsewhere(words: tuple[str, ...], said: str) -> None:
    """So that nobody takes a rehearsal for a run that sends, or the other way round."""
    ended = call_here("orchestrator", "run", "--mode", "paper", "--bars", "no.csv", *words)

    assert (ended.returncode, ended.stdout) == (2, "") and said in ended.stderr


def test_orders_that_a_person_is_told_go_to_no_broker() -> None:
    ended = call_here("orchestrator", "run", "--mode", "advisory", "--broker", "simulated", "--bars", "no_such.csv")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "in mode 'advisory' a person is told each order, and none is sent" in ended.stderr


def test_a_run_without_a_broker_keeps_the_name_that_it_had_before_there_was_one() -> None:
    assert "broker" not in RunConfig().identity and RunConfig(broker="simulated").identity["broker"] == "simulated"


def test_the_option_is_refused_as_the_setting_is() -> None:
    ended = call_here("orchestrator", "run", "--mode", "live")

    assert (ended.returncode, ended.stderr) == (6, f"{live('--set', 'mode=live')}\n")
