"""The findings of an evaluation as one HTML file that needs no network, and as JSON."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llm_gate.evals.data.cases import digest_of
from llm_gate.evals.report.charts import EARNED, accuracy_chart, money_chart, promotion_chart, reliability_chart
from llm_gate.evals.report.findings import CONTROLS, Findings, summary_of
from llm_gate.evals.scoring.intervals import Figure
from llm_gate.evals.scoring.scores import ALL, Score
from trigate.pages.render import rendered
from trigate.whole_files import write_whole

NONE = "–"
UPLIFTS = {
    "uplift_random": "random vetoes",
    "uplift_always": "always approve",
    "uplift_rule": "three-line rule",
}


def write_report(found: Findings, folder: Path) -> None:
    """Write report.html and scores.json into ``folder``; ResourceError if the disk refuses."""
    write_whole(folder / "report.html", page(found))
    write_whole(folder / "scores.json", json.dumps(summary_of(found), indent=1) + "\n")


def page(found: Findings) -> str:
    """The whole file."""
    whole = [score for score in found.scores if score.regime == ALL]
    entries = [score for score in whole if score.who.task == "entry"]
    recorded = [score for score in entries if score.group == "recorded"]
    rated = [score for score in entries if score.bins and score.group in ("bank", "recorded")]
    models = [model.label for model in found.ran.suite.models]
    shown = {
        "found": found,
        "suite": found.ran.suite,
        "headlines": found.headlines,
        "controls": [model.label for model in found.ran.suite.models if model.engine in CONTROLS],
        "models": models,
        "entries": entries,
        "labelled": [score for score in entries if "accuracy" in score.figures],
        "recorded": recorded,
        "readings": [one for one in found.shown if one.who.task != "entry"],
        "by_regime": _by_regime(found),
        "errors": [score for score in whole if score.errors and score.group in ("bank", "recorded")],
        "accuracy_chart": accuracy_chart([one for one in found.shown if one.group == "bank"]),
        "reliability_chart": reliability_chart(_later(rated)) if rated else "",
        "money_chart": money_chart(_later(recorded)) if recorded else "",
        "promotion_chart": promotion_chart(found.statuses) if any(s.promotion.history for s in found.statuses) else "",
        "earned": EARNED,
        "uplifts": UPLIFTS,
        "cases_digest": digest_of(found.ran.cases),
        "versions": {"trigate": version("trigate")},
    }
    return rendered("llm_gate.evals.report", "eval.html.j2", shown, filters=FILTERS)


def share(figure: Figure | None) -> str:
    """A share in percent."""
    return NONE if figure is None or figure.value is None else f"{100 * figure.value:.1f}"


def bounds(figure: Figure | None) -> str:
    """The interval of a share, in percent."""
    if figure is None or figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.low:.0f}–{100 * figure.high:.0f}"


def plain(figure: Figure | None, digits: int = 3) -> str:
    """A value with its interval."""
    if figure is None or figure.value is None:
        return NONE
    ends = "" if figure.low is None else f" ({figure.low:.{digits}f} to {figure.high:.{digits}f})"
    return f"{figure.value:.{digits}f}{ends}"


def in_r(figure: Figure | None) -> str:
    """A result in units of risk, with its interval."""
    if figure is None or figure.value is None:
        return NONE
    return f"{figure.value:+.3f}" + ("" if figure.low is None else f" ({figure.low:+.3f} to {figure.high:+.3f})")


def count(figure: Figure | None) -> str:
    """A whole number."""
    return NONE if figure is None or figure.value is None else f"{figure.value:,.0f}"


def _later(scores: list[Score]) -> list[Score]:
    """Those of the held-out split, or all where nothing was held out: a plot of both is not to be read."""
    return [score for score in scores if score.split == "held_out"] or scores


def _by_regime(found: Findings) -> dict[str, Any]:
    """Accuracy, or money where there is no label, of each answerer in each regime."""
    own = [s for s in found.scores if s.regime != ALL and s.who.task == "entry" and s.group in ("bank", "recorded")]
    regimes = sorted({score.regime for score in own})
    rows: dict[tuple[str, str, str], dict[str, Score]] = {}
    for score in own:
        rows.setdefault((score.who.name, score.split, score.group), {})[score.regime] = score
    return {"regimes": regimes, "rows": rows}


FILTERS = {"share": share, "bounds": bounds, "plain": plain, "in_r": in_r, "count": count}
