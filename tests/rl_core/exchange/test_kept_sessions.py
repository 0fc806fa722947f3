"""Sessions are looked up in the calendar library once a machine, and kept as it gave them."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from rl_core.exchange import kept_sessions, schedules
from rl_core.exchange.kept_sessions import sessions_between
from rl_core.exchange.product_hours import Family
from rl_core.exchange.sessions import Sessions

ROOT = Path(__file__).parents[3]
DAY_NS = 86_400_000_000_000
FIRST_NS = int(np.datetime64("2019-12-30", "ns").astype(np.int64))


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _forget()
    yield tmp_path / "trigate" / "sessions"
    _forget()


def _forget() -> None:
    """As in a new process."""
    kept_sessions._sessions_of_years.cache_clear()
    kept_sessions._sources.cache_clear()


def looked_up(family: Family = "equity") -> Sessions:
    _forget()
    return sessions_between(family, FIRST_NS, FIRST_NS + 3 * DAY_NS)


def no_library(*_: object) -> Sessions:
    raise AssertionError("the library was asked again")


def same(one: Sessions, other: Sessions) -> bool:
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("family", get_args(Family))
def test_what_is_kept_is_what_the_library_gave(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    made = looked_up(family)
    monkeypatch.setattr(schedules, "library_sessions", no_library)
    kept = looked_up(family)

    assert len(made.open_ns) > 10 and same(made, kept)
    with pytest.raises(ValueError, match="read-only"):
        kept.close_ns[0] = 0


def test_families_and_years_are_kept_apart(cache_of_its_own: Path) -> None:
    equity, grains = looked_up("equity"), looked_up("grains")

    assert not same(equity, grains) and len(list(cache_of_its_own.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_file_is_made_again(cache_of_its_own: Path, damage: bytes | None) -> None:
    made = looked_up()
    (path,) = cache_of_its_own.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :] if damage is None else damage)

    assert same(made, looked_up()) and path.read_bytes() == whole


def test_other_corrections_or_another_clock_are_not_taken_for_these(
    cache_of_its_own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up()
    monkeypatch.setattr(kept_sessions.metadata, "version", lambda _: "0.0")
    looked_up()
    monkeypatch.setattr(kept_sessions, "EXCHANGE_ZONE", "Etc/GMT+5")  # New York without summer time
    looked_up()

    assert len(list(cache_of_its_own.iterdir())) == 3
    assert set(kept_sessions.SOURCES) < {path.name for path in (ROOT / "rl_core" / "exchange").iterdir()}


def test_a_home_that_cannot_be_written_to_still_has_sessions(tmp_path: Path) -> None:
    (tmp_path / "trigate").write_text("a file where the folder should be")

    assert len(looked_up().open_ns) > 10


def test_a_second_process_loads_neither_pandas_nor_the_library() -> None:
    heavy = "{'pandas', 'pandas_market_calendars'}"
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from rl_core.exchange.calendar import Calendar; "
    script += f"Calendar.covering({FIRST_NS}, {FIRST_NS}); print(sorted({heavy} & set(sys.modules)))"

    printed = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60).stdout for _ in "12"
    ]
    assert printed == ["['pandas', 'pandas_market_calendars']\n", "[]\n"]
