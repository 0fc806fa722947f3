"""The file of many accounts: what it may say, and what the same accounts find again."""

from pathlib import Path

import pytest

from orchestrator.run.accounts_file import Account, read_accounts
from orchestrator.run.accounts_folder import held_accounts_folder
from orchestrator.run.settings import OPTIONS
from tests.orchestrator.played_files import FileWorld
from trigate.errors import ConfigError, RefusedError, ResourceError

TWO = '[accounts.a]\ntrading.risk_dollars = 100\n\n[accounts.b]\ngate.engine = "off"\nsessions = 3\n'


def accounts(world: FileWorld, folder: Path, text: str, *settings: str, **options: object) -> list[Account]:
    """The accounts of a file with that text, under a command with those settings."""
    (folder / "accounts.toml").write_text(text)
    given = {"--bars": world.bars, "--checkpoint": world.checkpoint, "--gate": "rules", **options}
    return read_accounts(folder / "accounts.toml", None, settings, dict.fromkeys(OPTIONS) | given)


def test_an_account_s_own_settings_come_over_the_command_s(file_world: FileWorld, tmp_path: Path) -> None:
    first, second = accounts(file_world, tmp_path, TWO, "sessions=2", "trading.risk_dollars=300", "name=whole")

    assert [first.name, first.config.name, second.config.name] == ["a", "a", "b"]
    assert first.config.trading is not None and first.config.trading.risk_dollars == 100
    assert second.config.trading is not None and second.config.trading.risk_dollars == 300
    assert (first.config.gate.engine, second.config.gate.engine) == ("rules", "off")
    assert (first.config.sessions, second.config.sessions) == (2, 3)
    assert first.config.bars == second.config.bars == file_world.bars


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"names no account; write a table \[accounts.NAME\] for each"),
        ("accounts = 3", r"names no account"),
        ("sessions = 3\n" + TWO, r"unknown key 'sessions': each account is a table"),
        ("[accounts]\na = 3", r"accounts.a is a value, not a table; write \[accounts.a\]"),
        ("[accounts.Big]", r"\[accounts.Big\]: a name has small letters"),
        ("[accounts.a]\nname = 'b'", r"\[accounts.a\] name: is the table's own name"),
        ("[accounts.a]\nruns = 'b'", r"\[accounts.a\] runs: holds for all accounts: give it to the command"),
        (
            "[accounts.a]\ntrading.rulez = 'b'",
            r"\[accounts.a\] trading.rulez: unknown key .* did you mean 'trading.rules'",
        ),
        (
            "[accounts.a]\nsessions = 'b'",
            r"accounts.toml \[accounts.a\] sessions: sessions: Input should be a valid integer",
        ),
        ("[accounts.a]\ntrading.rules = 'no-such-pack'", r"no-such-pack"),
        ("".join(f"[accounts.a{number}]\n" for number in range(129)), r"names 129 accounts, and one run takes 128"),
    ],
)
def test_what_cannot_be_an_account_is_named_with_its_table(
    file_world: FileWorld, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        accounts(file_world, tmp_path, text)


def test_bars_that_are_still_to_come_are_refused(file_world: FileWorld, tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError, match="--accounts plays recorded bars, and mode 'paper' follows them as they come"
    ):
        accounts(file_world, tmp_path, TWO, **{"--mode": "paper"})


def test_the_same_accounts_find_their_folder_again_until_all_are_done(file_world: FileWorld, tmp_path: Path) -> None:
    two = accounts(file_world, tmp_path, TWO)
    others = accounts(file_world, tmp_path, TWO.replace("100", "101"))
    runs = tmp_path / "runs"

    with held_accounts_folder(runs, "sim", two) as first:
        with pytest.raises(ResourceError, match="locked by pid"), held_accounts_folder(runs, "sim", two):
            pass
        first.write([{"account": "a"}], done=False)
    with held_accounts_folder(runs, "sim", others) as other:
        assert other.path != first.path
    with held_accounts_folder(runs, "sim", two) as again:
        assert again.path == first.path
        again.write([], done=True)
    done = first.path.rename(runs / f"2020{first.path.name[4:]}")  # two of one second would have one name
    with held_accounts_folder(runs, "sim", two) as new:
        assert new.path != done and new.digest == first.digest != other.digest
