"""An evaluation asks what is missing, keeps its errors as rows, survives kills, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_gate.contract import EntryProposal
from llm_gate.errors import PromptError, RequestError
from llm_gate.evals.asking.letter_orders import ORDERS, reordered
from llm_gate.evals.asking.regime_task import MEANINGS, regime_question
from llm_gate.evals.asking.run import SuiteRun, run_suite
from llm_gate.evals.asking.suite import read_suite
from llm_gate.evals.data.cases import Case, bank_path, read_cases, write_cases
from llm_gate.evals.data.log import LOG, RowLog, read_rows
from llm_gate.evals.report.findings import Findings, findings_of
from llm_gate.prompts import prompt_files as prompts
from llm_gate.prompts.facts import Facts
from llm_gate.prompts.prompt_files import find_prompt, prompt_paths, prompts_folder
from llm_gate.serving.processes import session_members
from tests.llm_gate.serving.stub_http import good, served
from tests.processes.commands import Started, call_here
from trigate.errors import ConfigError, ResourceError

ROOT = Path(__file__).parents[4]
CaseMaker = Callable[[int], list[Case]]
COMMAND = [sys.executable, "-c", "from llm_gate.cli import main; main()"]


def run(suite: Path, folder: Path, *settings: str, engine: str | None = None, retry: bool = False) -> SuiteRun:
    """The suite, run quietly."""
    read = read_suite(suite, settings)
    read = read if engine is None else read.with_engine(engine)
    return run_suite(read, folder, say=lambda text: None, step=lambda model, done, total: None, retry=retry)


@pytest.fixture
def found(suite_file: Path, tmp_path: Path) -> Findings:
    """The small suite's findings."""
    return findings_of(run(suite_file, tmp_path / "out"))


def test_a_rerun_asks_nothing_and_a_larger_suite_only_what_is_new(suite_file: Path, tmp_path: Path) -> None:
    """30 held-out bank cases and 60 recorded; on 6 of them 2 more repeats in 2 orders: 90 + 6 x (6 - 1)."""
    first = run(suite_file, tmp_path / "out")
    written = (tmp_path / "out" / LOG).read_bytes()

    again = run(suite_file, tmp_path / "out")
    more = run(suite_file, tmp_path / "out", 'splits=["tune", "held_out"]')

    assert (first.newly_asked, again.newly_asked) == (3 * (90 + 30), 0)
    assert again.rows == first.rows
    assert more.newly_asked >= 3 * 30
    assert (tmp_path / "out" / LOG).read_bytes().startswith(written)


def test_other_words_for_the_same_facts_are_asked_again(
    suite_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt's file and the case stay as they are; only what `facts` says of a trend changes."""
    settings = ('models=[{engine="rules"}]', "passes=[{}]")
    first = run(suite_file, tmp_path / "out", *settings)
    usual = prompts.facts_of

    def reworded(proposal: EntryProposal) -> Facts:
        told = usual(proposal)
        return told._replace(trend_60=f"{told.trend_60} the trade")

    monkeypatch.setattr(prompts, "facts_of", reworded)
    changed = run(suite_file, tmp_path / "out", *settings)
    again = run(suite_file, tmp_path / "out", *settings)

    assert (first.newly_asked, changed.newly_asked, again.newly_asked) == (90, 90, 0)
    assert {row.question_digest for row in first.rows}.isdisjoint(row.question_digest for row in changed.rows)
    assert {row.prompt_digest for row in first.rows} == {row.prompt_digest for row in changed.rows}


def test_a_torn_last_line_is_cut_off_and_asked_again(suite_file: Path, tmp_path: Path) -> None:
    first = run(suite_file, tmp_path / "out")
    log = tmp_path / "out" / LOG
    log.write_bytes(log.read_bytes()[:-25])

    again = run(suite_file, tmp_path / "out")

    assert again.newly_asked == 1
    assert [row.key for row in again.rows] == [row.key for row in first.rows]
    assert len(read_rows(log)) == len(first.rows)


def test_an_evaluation_killed_half_way_goes_on(suite_file: Path, tmp_path: Path) -> None:
    with suite_file.open("a") as file:
        file.write("[promotion]\nmin_sessions = 4\n")
    line = [*COMMAND, "eval", str(suite_file), "--out", str(tmp_path / "out")]
    started = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
    log = tmp_path / "out" / LOG
    end_s = time.monotonic() + 60
    while not (log.exists() and log.stat().st_size > 2000) and time.monotonic() < end_s:
        time.sleep(0.002)
    started.send_signal(signal.SIGKILL)
    started.wait(60)

    done = run(suite_file, tmp_path / "out")

    assert len({row.key for row in done.rows}) == len(done.rows) == 360


def test_two_evaluations_do_not_write_one_log(tmp_path: Path) -> None:
    with RowLog(tmp_path / LOG), pytest.raises(ResourceError, match="another evaluation"):
        RowLog(tmp_path / LOG)


def test_a_full_disk_ends_with_7_and_what_was_written_is_kept(suite_file: Path, tmp_path: Path) -> None:
    """No file may grow beyond 32 KiB: the log stops in the middle of a line."""
    eval_line = [*COMMAND, "eval", str(suite_file), "--out", str(tmp_path / "out")]
    limited = ["bash", "-c", 'ulimit -f 32; exec "$@"', "limited", *eval_line]

    ended = subprocess.run(limited, capture_output=True, text=True, timeout=120, cwd=ROOT)

    assert ended.returncode == 7, ended.stderr
    assert f"llm-gate: {tmp_path / 'out' / LOG}: " in ended.stderr.splitlines()[-1]
    kept = len(read_rows(tmp_path / "out"))
    assert kept > 0
    assert run(suite_file, tmp_path / "out").newly_asked == 3 * (90 + 30) - kept


def test_a_line_that_is_no_row_is_refused_by_number(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text('{"task": "entry"}\n')

    with pytest.raises(RequestError, match=rf"{LOG}:1: prompt"):
        read_rows(tmp_path)


def test_a_server_that_is_not_there_gives_rows_with_the_cause_and_a_retry_asks_again(
    suite_file: Path, tmp_path: Path, unused_port: int
) -> None:
    settings = (
        f'models=[{{url="http://127.0.0.1:{unused_port}"}}, {{engine="rules"}}]',
        'passes=[{sample=4}, {task="regime", sample=4}]',
    )

    first = run(suite_file, tmp_path / "out", *settings)
    again = run(suite_file, tmp_path / "out", *settings)
    retried = run(suite_file, tmp_path / "out", *settings, retry=True)

    causes = Counter(row.error for row in first.rows if row.model == "package")
    refused = f"http://127.0.0.1:{unused_port}/v1/chat/completions: cannot connect: Connection refused"
    assert causes == {f"the model server is not ready: {refused}": 12}
    assert all(row.answer is not None for row in first.rows if row.model == "rules")
    assert (again.newly_asked, retried.newly_asked) == (0, 12)
    scores = [
        score for score in findings_of(first).scores if score.answerer.model == "package" and score.regime == "all"
    ]
    assert {score.figures["no_verdict"].value for score in scores} == {1.0}


def test_a_server_that_fails_after_its_first_answer_gives_a_row_with_the_cause_to_each_question(
    suite_file: Path, tmp_path: Path
) -> None:
    asked: list[str] = []

    def once(request_id: str, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked.append(request_id)
        return good(request_id, question) if len(asked) == 1 else (503, {"error": {"message": "overloaded"}})

    with served(once) as url:
        models = f'models=[{{url="{url}", source="gate"}}]'
        settings = ("assertions=[]", models, 'passes=[{sample=4}, {task="regime", sample=4}]')
        found = run(suite_file, tmp_path / "out", *settings)

    assert Counter(row.error for row in found.rows) == {"http": 4, "HttpError": 8}
    assert len(asked) == 13


def test_what_a_model_gave_as_its_reason_is_logged_and_a_letter_has_none(suite_file: Path, tmp_path: Path) -> None:
    with served(good) as url:
        models = f'models=[{{url="{url}", source="gate"}}]'
        settings = ("assertions=[]", models, 'passes=[{sample=2}, {mode="json", sample=2}]')
        rows = run(suite_file, tmp_path / "out", *settings).rows

    assert [(row.mode, row.answer, row.reason) for row in rows] == [
        ("choice", "approve", None),
        ("choice", "approve", None),
        ("json", "veto", "near the floor"),
        ("json", "veto", "near the floor"),
    ]


def test_money_and_its_controls_by_hand(found: Findings) -> None:
    """Of ten, the rule vetoes what loses 1 R and lets the rest, in whole or half, win 1 R."""
    (score,) = [s for s in found.scores if s.answerer.model == "rules" and (s.group, s.regime) == ("recorded", "all")]
    vetoed, shrunk = 20, 10  # of 60: every third near the floor; of the others those that 4 divides are late
    figures = {name: one.value for name, one in score.figures.items()}

    assert (score.figures["r_vetoed"].rows, score.figures["r_shrunk"].rows) == (vetoed, shrunk)
    assert (figures["r_vetoed"], figures["r_shrunk"], figures["r_approved"]) == (-1.0, 1.0, 1.0)
    assert figures["r_always"] == pytest.approx((40 - 20) / 60)
    assert figures["r_gate"] == figures["r_rule"] == pytest.approx((30 + 0.5 * 10) / 60)
    assert figures["r_random"] == pytest.approx((35 / 60) * (20 / 60))
    assert figures["uplift_random"] == pytest.approx(35 / 60 - 35 / 180)
    assert figures["uplift_rule"] == 0.0


def test_the_rules_are_worth_exactly_what_the_rule_is(
    tmp_path: Path, recording_of: CaseMaker, make_proposal: Callable[..., EntryProposal]
) -> None:
    """Half of 7 contracts is 3, a share of 0.42857: both round it alike."""
    late = make_proposal(minutes_to_flat=20).model_copy(update={"quantity": 7})
    write_cases([case.model_copy(update={"proposal": late}) for case in recording_of(20)], tmp_path / "cases.jsonl")
    suite = tmp_path / "suite.toml"
    suite.write_text(f'cases = ["{tmp_path / "cases.jsonl"}"]\ntrials = "{tmp_path / "trials.jsonl"}"\n')

    (score, *_) = findings_of(run(suite, tmp_path / "out")).money_scores

    assert score.figures["shrink_rate"].value == 1.0
    assert score.figures["uplift_rule"].value == 0.0


def test_the_rules_show_judgement_and_a_constant_answer_is_told_to_show_none(found: Findings) -> None:
    words = {model: word for model, (word, _) in found.headlines.items()}

    assert words["rules"] == "JUDGEMENT"
    assert words["always-approve"] == "NO JUDGEMENT SHOWN"
    assert {status.answerer.model: status.promotion.word for status in found.promotions}["rules"] == "SHADOW"


def test_a_random_engine_draws_again_on_a_repeat_and_does_not_mind_the_letters(found: Findings) -> None:
    (score,) = [s for s in found.scores if s.answerer.model == "random" and (s.group, s.regime) == ("bank", "all")]

    assert score.figures["agreement_orders"].value == 1.0
    assert (score.figures["agreement_repeats"].value or 0.0) < 1.0


def test_a_failed_assertion_ends_with_100_and_is_printed(suite_file: Path, tmp_path: Path) -> None:
    with suite_file.open("a") as file:
        file.write('[[assertions]]\nmetric = "accuracy"\nwhere = {model = "random", group = "bank"}\nat_least = 0.99\n')

    ended = call_here("llm-gate", "eval", suite_file, "--out", tmp_path / "out", "--json")

    assert ended.returncode == 100, ended.stderr
    assert "assertion failed: accuracy of random/entry_review.v1/choice on held_out bank is 0." in ended.stderr
    assert [check["holds"] for check in json.loads(ended.stdout)["assertions"]] == [True, False]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("propmts = []", "unknown key 'propmts': did you mean 'prompts'?"),
        ("[[models]]\nengin = 'rules'", "unknown key 'models.0.engin': did you mean 'models.0.engine'?"),
        ("[[passes]]\nrepeat = 2", "did you mean 'passes.0.repeats'?"),
        ("[[models]]\nengine = 'oracle'", "models.0.engine"),
        ("[[models]]\nengine='rules'\n[[models]]\nengine='rules'", "same name"),
        ("[[models]]\nengine='random'\nveto_rate=0.7\nshrink_rate=0.7", "together at most 1"),
        ("[[passes]]\nmodels = ['rulez']", "rulez, which the suite does not have"),
        ("[[assertions]]\nmetric = 'auc'\nat_least = 0.5\nwhere = {model = 'rulez'}", "an assertion names rulez"),
        ("[[assertions]]\nmetric = 'auc'", "at_least or at_most"),
        ("[promotion]\nclip_high_r = inf", "promotion.clip_high_r: Input should be a finite number"),
        ("ready_deadline_s = inf", "ready_deadline_s: Input should be a finite number"),
        ("name = ", "not valid TOML"),
        ("deadline_s = " + "9" * 5000, "not valid TOML"),
        ("deadline_s = " + "[" * 9000, "not valid TOML"),
    ],
)
def test_a_wrong_suite_is_refused_with_what_to_do(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as raised:
        read_suite(path)
    assert fault in str(raised.value)


def test_a_suite_that_asks_a_prompt_in_a_mode_it_leaves_out_is_refused_before_anything_is_asked(
    suite_file: Path, tmp_path: Path
) -> None:
    prompt = tmp_path / "letters.v1.md"
    text = (prompts_folder() / "entry_review.v1.md").read_text(encoding="utf-8")
    prompt.write_text(text.replace("\n[letters]", 'modes = ["choice"]\n\n[letters]', 1), encoding="utf-8")
    settings = ("assertions=[]", f'prompts=["{prompt}"]', 'models=[{source="tiny"}]', 'passes=[{}, {mode="json"}]')

    with pytest.raises(PromptError, match=r"letters\.v1: mode 'json'"):
        run(suite_file, tmp_path / "out", *settings)
    assert not (tmp_path / "out").exists()


def test_two_prompts_of_one_name_are_refused_as_they_would_be_scored_as_one(suite_file: Path, tmp_path: Path) -> None:
    changed = tmp_path / "entry_review.v1.md"
    changed.write_text((prompts_folder() / "entry_review.v1.md").read_text() + "\nTake care.\n")

    with pytest.raises(RequestError, match=r"is called entry_review\.v1 too; rename the file"):
        run(suite_file, tmp_path / "out", f'prompts=["entry_review.v1", "{changed}"]')


def test_one_model_under_two_names_is_refused_as_its_answers_would_count_twice(
    suite_file: Path, tmp_path: Path
) -> None:
    twice = 'models=[{engine="random", name="a"}, {engine="random", name="b"}]'

    with pytest.raises(RequestError, match="a and b are one model under two names"):
        run(suite_file, tmp_path / "out", twice, "assertions=[]")


def test_a_model_that_was_renamed_keeps_its_answers_under_the_new_name(suite_file: Path, tmp_path: Path) -> None:
    first = run(suite_file, tmp_path / "out", "assertions=[]", 'models=[{engine="random", name="a"}]')

    again = run(suite_file, tmp_path / "out", "assertions=[]", 'models=[{engine="random", name="b"}]')

    assert again.newly_asked == 0
    assert {row.model for row in again.rows} == {"b"}
    assert [row.answer for row in again.rows] == [row.answer for row in first.rows]


def test_the_default_suite_is_whole_and_runs_without_a_model(tmp_path: Path) -> None:
    settings = (f'trials="{tmp_path / "trials.jsonl"}"',)

    found = findings_of(run(ROOT / "configs/gate_eval.toml", tmp_path / "out", *settings, engine="rules"))

    assert [check.holds for check in found.checks] == [True]
    assert len(found.suite_run.cases) == sum(case.split == "held_out" for case in read_cases(bank_path()))


def test_other_letters_are_the_same_prompt_with_other_names(make_proposal: Callable[..., EntryProposal]) -> None:
    for path in prompt_paths(prompts_folder()):
        prompt = find_prompt(path.stem)
        own = prompt.render(make_proposal())
        assert reordered(prompt, 0).render(make_proposal()) == own
        for order in range(1, len(ORDERS)):
            other = reordered(prompt, order)
            assert sorted(other.front.letters.values()) == sorted(prompt.front.letters.values())
            assert other.digest == prompt.digest
            for mine, theirs in zip(prompt.examples, other.examples, strict=True):
                if mine.role == "assistant":
                    assert other.front.letters[theirs.text] == prompt.front.letters[mine.text]
            for letter, label in other.front.letters.items():
                assert f"{letter} = {label}" in other.examples[0].text


def test_the_regime_is_asked_for_in_numbers_that_do_not_tell_the_label(
    make_proposal: Callable[..., EntryProposal],
) -> None:
    context = make_proposal(trend_60_atr_milli=4000, volatility_percentile=80, regime="up/wild").context

    direction, volatility = regime_question("direction", context), regime_question("volatility", context)

    assert direction is not None and volatility is not None
    assert (direction.right_answer, volatility.right_answer) == ("up", "wild")
    assert direction.chat[-1].text.endswith("60 min +4.0, 240 min +2.6 ATR; volatility percentile 80")
    assert not {"up", "wild"} & {*direction.chat[-1].text.split()}
    assert all(turn.text in MEANINGS["direction"] for turn in direction.chat if turn.role == "assistant")


@pytest.mark.model
def test_a_tiny_model_is_asked_with_one_command_and_nothing_of_it_is_left(suite_file: Path, tmp_path: Path) -> None:
    """Its verdicts are one letter for everything, and the evaluation says that it shows no judgement."""
    pytest.importorskip("torch")
    settings = ["assertions=[]", 'models=[{source="tiny"}]', "ready_deadline_s=280"]
    settings += ['passes=[{sample=50}, {mode="json", sample=2}, {task="regime", sample=4}]']
    line = ["eval", suite_file, "--out", tmp_path / "out", "--json", *(f"--set={setting}" for setting in settings)]

    with Started(tmp_path / "output", "llm-gate", *line) as ended:
        ended.until(lambda: bool(ended.model_sessions()))
        sessions, code = ended.model_sessions(), ended.wait()

    assert code == 0, ended.stderr
    assert sessions and all(session_members(session) == [] for session in sessions)
    told = json.loads(ended.stdout)
    assert (told["answers"], told["trials"]) == (50 + 2 + 8, 2)
    assert told["without_verdict"] <= 2, "a json reply of noise may be malformed; a letter cannot be"
    assert told["judgement"]["tiny"]["word"] == "NO JUDGEMENT SHOWN"
    assert os.path.exists(tmp_path / "out" / "report.html")


def test_a_model_that_never_answers_ends_with_5_and_is_named(
    suite_file: Path, tmp_path: Path, unused_port: int
) -> None:
    """Nobody listens: the report is written, and nobody takes it for one about the model."""
    settings = [
        "assertions=[]",
        f'models=[{{url="http://127.0.0.1:{unused_port}", served="mine"}}, {{engine="rules"}}]',
    ]
    settings += ["passes=[{sample=3}]", "deadline_s=2"]

    ended = call_here("llm-gate", "eval", suite_file, "--out", tmp_path / "out", *(f"--set={one}" for one in settings))

    assert ended.returncode == 5, ended.stderr
    assert "none of 3 questions got an answer" in ended.stderr and "rules: none" not in ended.stderr
    assert "3 without a verdict" in ended.stdout and (tmp_path / "out" / "report.html").exists()
