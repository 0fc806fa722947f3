"""What became of many accounts on one page: a row an account, with its interval, beside its own report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.report.formats import NONE, dollars, interval
from orchestrator.run.folder import PRIVATE, REPORT, RunFolder
from rl_core.statistics.bootstrap import Interval
from trigate.pages.render import rendered
from trigate.whole_files import read_faults, write_whole

ACCOUNTS_PAGE = "accounts.html"
WIDTH, EDGE = 200, 6
"""Of the drawing of an interval, and what is left free on either side of the widest."""


class Spread(NamedTuple):
    """Where a mean and its interval are drawn; x as SVG has them."""

    low: float
    mean: float
    high: float


class Row(NamedTuple):
    """One account, for a person."""

    name: str
    became: str
    verdict: str
    why: str
    contract: str = ""
    rules: str = ""
    trades: str = NONE
    mean_r: str = NONE
    bounds: str = NONE
    net: str = NONE
    attempts: str = NONE
    report: str = ""
    """Its page, from the folder of the accounts; empty: it has none."""
    spread: Spread | None = None


def write_accounts_page(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the page of ``rows``, as ``accounts.json`` has them, into ``folder``.

    Raises:
        ResourceError: the disk refuses, or what a report wrote cannot be read.
    """
    path = folder / ACCOUNTS_PAGE
    write_whole(path, accounts_page(folder, rows), mode=PRIVATE)
    return path


def accounts_page(folder: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """The whole file."""
    said = [_said(folder, row) for row in rows]
    bounds = [bound for each in said if each and (mean := _mean_r(each)) for bound in mean.bounds or ()]
    # The line of zero is always in the drawing: what matters is whether an interval holds it.
    least, most = min([0.0, *bounds]), max([0.0, *bounds])
    shown = {
        "name": folder.name,
        "rows": [_row(folder, row, each, (least, most)) for row, each in zip(rows, said, strict=True)],
        "ended": sum(row["became"] == "ended" for row in rows),
        "proven": sum(row["verdict"] == "PASS" for row in rows),
        "zero": _x(0.0, (least, most)),
        "drawn": bool(bounds),
        "ends": (f"{least:+.2f}", f"{most:+.2f}"),
        "width": WIDTH,
    }
    return rendered("orchestrator.report", "accounts.html.j2", shown)


def _run_of(folder: Path, row: Mapping[str, Any]) -> Path | None:
    """An account's run lies in the folder of the accounts, wherever that was moved to since."""
    return None if row["run"] is None else folder / Path(row["run"]).name


def _said(folder: Path, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the account's report wrote for programs; None where it has none."""
    run = _run_of(folder, row)
    if run is None or row["verdict"] is None:
        return None
    with read_faults(run / "verdict.json"):
        found: dict[str, Any] = json.loads((run / "verdict.json").read_bytes())
    return found


def _mean_r(said: Mapping[str, Any]) -> Interval | None:
    return None if said["mean_r"] is None else Interval(**said["mean_r"])


def _row(folder: Path, row: Mapping[str, Any], said: dict[str, Any] | None, ends: tuple[float, float]) -> Row:
    told = Row(name=row["account"], became=row["became"], verdict=row["verdict"] or "", why=row["word"])
    run = _run_of(folder, row)
    if said is None or run is None:
        return told  # perhaps it failed because its files cannot be read
    manifest, mean_r, attempts = RunFolder(run).manifest(), _mean_r(said), said["attempts"]
    told = told._replace(
        why="; ".join(said["reasons"]),
        contract=manifest.contract,
        rules=manifest.rule_pack,
        trades=f"{said['trades']:,}",
        mean_r=NONE if mean_r is None else f"{mean_r.mean:+.3f}",
        net=dollars(said["net_cents"]),
        attempts=f"{attempts['passed']} of {attempts['opened']}",
        report=f"{run.name}/{REPORT}",
    )
    if mean_r is None or mean_r.bounds is None:
        return told
    low, high = mean_r.bounds
    drawn = Spread(*(_x(value, ends) for value in (low, mean_r.mean, high)))
    return told._replace(bounds=interval(mean_r), spread=drawn)


def _x(value: float, ends: tuple[float, float]) -> float:
    least, most = ends
    return round(EDGE + (WIDTH - 2 * EDGE) * (value - least) / ((most - least) or 1.0), 1)
