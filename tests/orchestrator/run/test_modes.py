"""Orders are rehearsed; sending them is refused, each time with what is missing."""

from pathlib import Path

import pytest

from orchestrator.run.config import RunConfig
from orchestrator.run.modes import check_sendable, installed_adapters
from orchestrator.workers.kept_entries import KeptEntries, KeptEntry
from tests.processes.commands import ROOT, call_here
from trigate.errors import ConfigError

PLAIN = (ROOT / "configs/rules/plain_static.toml").read_text()


def live(*settings: str) -> str:
    """What `orchestrator run` says to these settings; it is refused."""
    ended = call_here("orchestrator", "run", *(word for setting in settings for word in ("--set", setting)))
    assert (ended.returncode, ended.stdout) == (6, ""), ended.stderr
    (line,) = ended.stderr.splitlines()
    return line


def pack_that_says(automation: str, folder: Path) -> str:
    """The setting of a rule pack whose firm says so of automated trading."""
    path = folder / "pack.toml"
    path.write_text(PLAIN.replace('automation = "allowed"', f'automation = "{automation}"'))
    return f'trading.rules="{path}"'


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
    assert said in live("mode=live", pack_that_says(automation, tmp_path))


def test_a_live_run_is_refused_with_an_adapter_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter is found as it would be after ``pip install``; runs send to the simulated broker alone so far."""
    metadata = tmp_path / "own_broker-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own_broker\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[trigate_brokers]\nown = own_broker:Broker\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert installed_adapters() == ("own",)
    assert "the adapter own is installed, but runs send to the simulated broker alone so far" in live(
        "mode=live", pack_that_says("allowed", tmp_path)
    )


def test_orders_that_a_person_is_told_go_to_no_broker() -> None:
    ended = call_here("orchestrator", "run", "--mode", "advisory", "--broker", "simulated", "--bars", "no_such.csv")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "in mode 'advisory' a person is told each order, and none is sent" in ended.stderr


@pytest.mark.parametrize(("prices", "goes"), [({}, True), ({"stop": 79_000}, False), ({"target": 81_000}, False)])
def test_an_entry_with_a_price_of_its_own_goes_with_no_broker_yet(prices: dict[str, int], goes: bool) -> None:
    """Distances do: they are what a bracket holds."""
    entry = KeptEntry(3, 1, 40, 80, **prices)
    kept = KeptEntries(file="mine.csv", file_digest="0" * 64, given=1, entries=(entry,))
    config = RunConfig(broker="simulated", entries=Path("mine.csv"))

    if goes:
        check_sendable(config, kept)
        return
    with pytest.raises(ConfigError, match=r"1 entries of mine\.csv bring a stop or target at a price"):
        check_sendable(config, kept)


def test_a_run_without_a_broker_keeps_the_name_that_it_had_before_there_was_one() -> None:
    assert "broker" not in RunConfig().identity and RunConfig(broker="simulated").identity["broker"] == "simulated"


def test_the_option_is_refused_as_the_setting_is() -> None:
    ended = call_here("orchestrator", "run", "--mode", "live")

    assert (ended.returncode, ended.stderr) == (6, f"{live('mode=live')}\n")
