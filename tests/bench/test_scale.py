"""The benchmark of sizes runs, and says what it does not try."""

import json
import sys

import pytest

from bench import scale
from bench.scale import BARS, ENVS, Given, by_bars


def test_a_quick_run_prints_a_row_with_speed_and_memory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One table of the quick run, as the command prints it."""
    monkeypatch.setattr(sys, "argv", ["scale.py", "--json", "--quick", "--only", "devices"])

    scale.main()

    row = json.loads(capsys.readouterr().out.splitlines()[0])
    assert row["unit"] == "steps/s" and row["value"] > 0 and row["ratio_to"] == {"first": 1.0}
    assert row["settings"] | {"best": 0} == {"envs": 256, "devices": 1, "timed_bars": 128, "best": 0}
    assert 80 < row["temporary_kb_per_env"] < 150 and row["peak_mb"] > 20 and row["compile_s"] > 0
    assert {"name", "device", "versions"} <= row.keys()


def test_what_does_not_fit_is_said_and_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 100 MB free, of which 60 may be planned, no longer market is even made."""
    monkeypatch.setattr(scale, "free_bytes", lambda: 100_000_000)
    monkeypatch.setattr(scale, "measured", lambda name, config, world, repeats, **settings: settings["bars"])

    rows = list(by_bars(Given(1, 64, quick=False)))

    assert rows[:2] == [10_000, 50_000]
    assert [(row.unit, row.value, row.settings["bars"]) for row in rows[2:]] == [
        ("does not fit", None, bars) for bars in BARS[2:]
    ]


def test_quick_takes_few_sizes() -> None:
    """Two of each table."""
    quick = Given(1, 64, quick=True)

    assert (quick.of(ENVS), quick.of(BARS)) == ([64, 1024], [10_000, 500_000])
