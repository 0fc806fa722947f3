"""The findings of an evaluation as one HTML file that needs no network, and as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_gate.engines.logistic import read_logistic
from llm_gate.evals.asking.suite import ModelSpec
from llm_gate.evals.data.cases import digest_of
from llm_gate.evals.report.case_browser import browsed
from llm_gate.evals.report.charts import EARNED, accuracy_chart, money_chart, promotion_chart, reliability_chart
from llm_gate.evals.report.findings import CONTROLS, Findings, summary_of
from llm_gate.evals.scoring.intervals import Figure
from llm_gate.evals.scoring.scores import ALL, Score
from llm_gate.teaching.taught_folder import read_card, taught_on
from trigate.pages.render import rendered
from trigate.versions import version_of
from trigate.whole_files import write_whole

NONE = "–"
UPLIFTS = {
    "uplift_random": "random vetoes",
    "uplift_always": "always approve",
    "uplift_rule": "three-line rule",
}


def write_report(findings: Findings, folder: Path) -> None:
    """Write report.html and scores.json into ``folder``; ResourceError if the disk refuses."""
    write_whole(folder / "report.html", page(findings))
    write_whole(folder / "scores.json", json.dumps(summary_of(findings), indent=1) + "\n")


def page(findings: Findings) -> str:
    """The whole file."""
    whole = [score for score in findings.scores if score.regime == ALL]
    entries = [score for score in whole if score.answerer.task == "entry"]
    recorded = [score for score in entries if score.group == "recorded"]
    rated = [score for score in entries if score.bins and score.group in ("bank", "recorded")]
    followed = any(status.promotion.history for status in findings.promotions)
    models = [model.label for model in findings.suite_run.suite.models]
    shown = {
        "findings": findings,
        "suite": findings.suite_run.suite,
        "headlines": findings.headlines,
        "controls": [model.label for model in findings.suite_run.suite.models if model.engine in CONTROLS],
        "models": models,
        "entries": entries,
        "labelled": [score for score in entries if "accuracy" in score.figures],
        "recorded": recorded,
        "taught": taught_of(findings.suite_run.suite.models),
        "readings": [one for one in findings.judgements if one.answerer.task != "entry"],
        "by_regime": _by_regime(findings),
        "errors": [score for score in whole if score.errors and score.group in ("bank", "recorded")],
        "accuracy_chart": accuracy_chart([one for one in findings.judgements if one.group == "bank"]),
        "reliability_chart": reliability_chart(_later(rated)) if rated else "",
        "money_chart": money_chart(_later(recorded)) if recorded else "",
        "promotion_chart": promotion_chart(findings.promotions) if followed else "",
        "browser": browsed(findings.suite_run),
        "earned": EARNED,
        "uplifts": UPLIFTS,
        "cases_digest": digest_of(findings.suite_run.cases),
        "versions": {"trigate": version_of("trigate")},
    }
    return rendered("llm_gate.evals.report", "eval.html.j2", shown, filters=FILTERS)


def taught_of(models: Sequence[ModelSpec]) -> dict[str, str]:
    """By the name of each model that was taught: on what, as its file or folder says today; gone ones are left out."""
    words = {}
    for model in models:
        path = Path(model.source)
        if model.engine == "logistic" and path.is_file():
            words[model.label] = taught_on(read_logistic(path).saved)
        elif model.engine == "vllm" and (card := read_card(path)) is not None:
            words[model.label] = taught_on(card)
    return words


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


def millis(figure: Figure | None) -> str:
    """Milliseconds, with a decimal where they are few: an engine without a model takes a fraction of one."""
    if figure is None or figure.value is None:
        return NONE
    if figure.value < 0.1:
        return "<0.1"
    return f"{figure.value:,.{1 if figure.value < 10 else 0}f}"


def _later(scores: list[Score]) -> list[Score]:
    """Those of the held-out split, or all where nothing was held out: a plot of both is not to be read."""
    return [score for score in scores if score.split == "held_out"] or scores


def _by_regime(findings: Findings) -> dict[str, Any]:
    """Accuracy, or money where there is no label, of each answerer in each regime."""
    regime_scores = [
        s for s in findings.scores if s.regime != ALL and s.answerer.task == "entry" and s.group in ("bank", "recorded")
    ]
    regimes = sorted({score.regime for score in regime_scores})
    rows: dict[tuple[str, str, str], dict[str, Score]] = {}
    for score in regime_scores:
        rows.setdefault((score.answerer.name, score.split, score.group), {})[score.regime] = score
    return {"regimes": regimes, "rows": rows}


FILTERS = {"share": share, "bounds": bounds, "plain": plain, "in_r": in_r, "count": count, "millis": millis}
