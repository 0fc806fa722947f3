"""How often the verdict says PASS of policies that PPO trained: where there is nothing, and where there is something.

    python bench/verdict_ppo.py --log FILE [--worlds 10] [--bars 1048576] [--json]

Each world is one of `bench/verdict.py`: a year to train on and the next to be judged on, without an edge or with one of
+0.15 R a trade after costs for whoever enters at its signals. `rl-core train` trains phase 1 with
`configs/phase1_demo.toml`, and what `rl-core evaluate` plays and judges on the held-out year is judged
here, with its registry of tries; that a world is synthetic is no doubt here, as it is what is asked about. FILE takes a
line a world as soon as it is judged, so the same command goes on where it was stopped.
"""

import os

# A second thread of a small matrix product waits busily, which costs CPU on a machine that is shared.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, the folder beside this one is not on the path

from typer.testing import CliRunner

from bench.facts import versions
from bench.verdict import CALIBRATED, DRIFT_ATR, INSIDE, NOTHING_TO_DOUBT, OUTSIDE
from bench.verdict_worlds import drawn_worlds
from rl_core.bars.write import write_bars
from rl_core.cli import app
from rl_core.evaluation.accounts import play_account
from rl_core.evaluation.judgement import judge
from rl_core.evaluation.tries import ELSEWHERE, TRIES
from rl_core.statistics.proportions import wilson_interval
from rl_core.training.sources import prepare_evaluation

KINDS = {"no edge": 0.0, "planted": DRIFT_ATR}
CONFIG = Path(__file__).parents[1] / "configs/phase1_demo.toml"
BARS = 1_048_576  # as many as the file asks for
SEED = 500_000  # worlds that no table of `bench/verdict.py` has

Row = dict[str, Any]


class Given(NamedTuple):
    """What is asked for."""

    worlds: int
    bars: int
    inside: int
    outside: int
    more: tuple[str, ...] = ()  # further settings of the training, as `--set` takes them


def judged_world(kind: str, number: int, given: Given, folder: Path) -> Row:
    """Draw one world, train on its first year and judge on its second.

    Raises:
        SystemExit: the training failed, or was asked to stop; what it said is printed.
    """
    began = time.process_time()
    world = drawn_worlds(SEED + number, 1, given.inside + given.outside, drift_atr=KINDS[kind])
    bars, run = folder / "NQ_D1M.parquet", folder / "run"
    write_bars(world.view.bars, bars)
    share = given.inside / (given.inside + given.outside)
    settings = (f"ppo.total_steps={given.bars}", f"train_share={share}", f"ppo.seed={number}", *given.more)
    words = ["train", "--phase", "1", "--bars", bars, "--out", run, "--config", CONFIG]
    done = CliRunner().invoke(app, [*map(str, words), *(word for each in settings for word in ("--set", each))])
    if done.exit_code:
        raise SystemExit(f"{kind} {number}: {done.output}{done.exception or ''}")
    job = prepare_evaluation(run, bars=bars, part="held_out", market=None)
    if not job.training_ended:  # a signal is the command's to answer: it saves, and says that it was asked to stop
        raise SystemExit(f"{kind} {number}: stopped before its training had ended; the same command goes on")
    inputs = job.inputs()
    evaluation = play_account("fresh", inputs)
    verdict, tries = judge(evaluation, job.count_look(inputs.span), NOTHING_TO_DOUBT, CALIBRATED)
    told = evaluation.summary()
    names = ("sessions", "trades", "mean_r", "mean_r_low", "mean_r_high", "session_r")
    figures = {name: told[name] for name in names} | {"tries": tries.made}
    said = {"word": verdict.word, "because": "; ".join(verdict.reasons)}
    spent = round(time.process_time() - began, 1)
    return {"kind": kind, "world": number, **said, **figures, **settings_of(given), "cpu_s": spent}


def settings_of(given: Given) -> Row:
    """What has to be the same for all worlds of a log."""
    return {"bars": given.bars, "inside": given.inside, "outside": given.outside, "set": list(given.more)}


def experiment(given: Given, log: Path) -> list[Row]:
    """Every world that the log does not hold yet, kind after kind in turn, so that a part of it is a fair part."""
    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    wanted = settings_of(given)
    if any({name: row.get(name) for name in wanted} != wanted for row in rows):
        raise SystemExit(f"{log}: holds worlds of other settings than {wanted}; give another --log")
    known = {(row["kind"], row["world"]) for row in rows}
    for number in range(given.worlds):
        for kind in KINDS:
            if (kind, number) in known:
                continue
            with tempfile.TemporaryDirectory() as folder:
                os.environ[ELSEWHERE] = str(Path(folder) / TRIES)  # no world counts as a try on another, or on a user's
                row = judged_world(kind, number, given, Path(folder))
            rows.append(row)
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
    return rows


def lines_of(rows: list[Row]) -> list[str]:
    """The result as a table for the terminal."""
    lines = [
        f"{'worlds':<10}{'judged':>8}{'PASS':>6}{'NOT PROVEN':>12}{'FAIL':>6}   PASS, 95 %        R a session   trades"
    ]
    for kind in KINDS:
        mine = [row for row in rows if row["kind"] == kind]
        if not mine:
            continue
        words = Counter(row["word"] for row in mine)
        low, high = wilson_interval(words["PASS"] / len(mine), len(mine))
        earned = sum(row["session_r"] for row in mine) / len(mine)
        trades = sorted(row["trades"] for row in mine)
        counted = f"{len(mine):>8}{words['PASS']:>6}{words['NOT PROVEN']:>12}{words['FAIL']:>6}"
        bounds = f"{100 * low:.0f} to {100 * high:.0f} %"
        lines.append(f"{kind:<10}{counted}   {bounds:<18}{earned:>+11.3f}   {trades[0]} to {trades[-1]}")
    return lines


def main() -> None:
    """Play what is left, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, required=True, help="takes a line a world, and goes on from there")
    parser.add_argument("--worlds", type=int, default=10, help="of each kind")
    parser.add_argument("--bars", type=int, default=BARS, help="that each policy is trained on")
    parser.add_argument("--inside", type=int, default=INSIDE, help="sessions to train on")
    parser.add_argument("--outside", type=int, default=OUTSIDE, help="sessions to be judged on")
    parser.add_argument("--set", dest="more", action="append", default=[], help="a further setting of the training")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = experiment(Given(asked.worlds, asked.bars, asked.inside, asked.outside, tuple(asked.more)), asked.log)
    if asked.json:
        print(json.dumps({"rows": rows, "versions": versions("jax", "numpy")}))
        return
    print("\n".join([*lines_of(rows), f"{sum(row['cpu_s'] for row in rows):.0f} s of CPU; {versions('jax', 'numpy')}"]))


if __name__ == "__main__":
    main()
