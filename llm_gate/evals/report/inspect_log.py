"""The rows of an evaluation in the log format of inspect-ai: one EvalLog of version 2, in JSON, for each answerer.

Written by hand, since inspect-ai cannot be installed beside this project's locked packages.
Source: https://inspect.aisi.org.uk/reference/inspect_ai.log.html, read back with inspect-ai 0.3.285.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llm_gate.evals.data.log import Row
from llm_gate.evals.report.findings import Findings
from llm_gate.evals.scoring.scores import ALL, Answerer, Score, answerer_of
from trigate.versions import version_of
from trigate.whole_files import disk_faults, write_whole

VERSION = 2
SCORER = "label"
CORRECT, INCORRECT = "C", "I"


def write_inspect_logs(findings: Findings, folder: Path) -> list[Path]:
    """Write one log for each answerer into ``folder``; ResourceError if the disk refuses."""
    rows: dict[Answerer, list[Row]] = {}
    for row in findings.suite_run.rows:
        rows.setdefault(answerer_of(row), []).append(row)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    paths = []
    with disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for answerer, answers in rows.items():
            scores = [score for score in findings.scores if score.answerer == answerer and score.regime == ALL]
            path = folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', answerer.name)}.json"
            write_whole(path, json.dumps(inspect_log(answerer, answers, scores, created=created)))
            paths.append(path)
    return paths


def inspect_log(answerer: Answerer, rows: Sequence[Row], scores: Sequence[Score], *, created: str) -> dict[str, Any]:
    """One EvalLog as JSON can hold it; a case asked again, or in another order of letters, is an epoch more."""
    name = hashlib.sha256(answerer.name.encode()).hexdigest()[:22]
    case_ids = list(dict.fromkeys(row.case_id for row in rows))
    samples = _samples(rows)
    return {
        "version": VERSION,
        "status": "success",
        "eval": {
            "eval_id": name,
            "run_id": name,
            "created": created,
            "task": f"trigate_{answerer.task}",
            "task_id": name,
            "dataset": {"name": "trigate", "samples": len(case_ids), "sample_ids": case_ids, "shuffled": False},
            "model": f"{answerer.model}/{rows[0].model_digest}",
            "config": {"epochs": max(sample["epoch"] for sample in samples)},
            "packages": {"trigate": version_of("trigate")},
            "metadata": {"prompt": answerer.prompt, "prompt_digest": rows[0].prompt_digest, "mode": answerer.mode},
        },
        "plan": {"name": "plan", "steps": [{"solver": f"{answerer.prompt} in {answerer.mode}", "params": {}}]},
        "results": {
            "total_samples": len(samples),
            "completed_samples": sum(row.answer is not None for row in rows),
            "scores": [_result(score) for score in scores],
        },
        "stats": {"started_at": created, "completed_at": created, "model_usage": {}},
        "samples": samples,
    }


def _samples(rows: Sequence[Row]) -> list[dict[str, Any]]:
    epochs: dict[str, int] = {}
    samples = []
    for row in rows:
        epochs[row.case_id] = epochs.get(row.case_id, 0) + 1
        samples.append(_sample(row, epochs[row.case_id]))
    return samples


def _sample(row: Row, epoch: int) -> dict[str, Any]:
    question = f"{row.prompt} about case {row.case_id} ({row.regime})"
    answer = row.answer or ""
    usage = {"input_tokens": row.prompt_tokens or 0, "output_tokens": row.completion_tokens or 0}
    sample: dict[str, Any] = {
        "id": row.case_id,
        "epoch": epoch,
        "input": question,
        "target": row.truth or "",
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer, "source": "generate"},
        ],
        "output": {
            "model": row.model,
            "choices": [{"message": {"role": "assistant", "content": answer}, "stop_reason": "stop"}],
            "usage": {**usage, "total_tokens": sum(usage.values())},
        },
        "scores": {},
        "metadata": row.model_dump(mode="json", exclude={"case_id", "answer", "truth"}),
        "total_time": row.latency_s,
    }
    if row.truth is not None:
        value = CORRECT if row.answer == row.truth else INCORRECT
        sample["scores"] = {SCORER: {"value": value, "answer": answer, "explanation": row.error or ""}}
    if row.answer is None:
        message = row.error or "no verdict"
        sample["error"] = {"message": message, "traceback": message, "traceback_ansi": message}
    return sample


def _result(score: Score) -> dict[str, Any]:
    known_figures = {name: one for name, one in score.figures.items() if one.value is not None}
    return {
        "name": f"{score.split}_{score.group}",
        "scorer": SCORER,
        "metrics": {
            name: {"name": name, "value": one.value, "metadata": {"low": one.low, "high": one.high, "n": one.rows}}
            for name, one in known_figures.items()
        },
    }
