"""Every bad input ends with its exit code and one line that says what to do, never a traceback.

The commands run within this process, as their imports would take most of the time; that a process of its own says and
ends as they do here is seen for one fault of each tool.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.processes.commands import call, call_here, without_age
from tests.processes.conftest import DemoWorld, RunCommand
from tests.proposals import CONTEXT

pytestmark = pytest.mark.process

CSV = "datetime,open,high,low,close,volume,symbol\n2024-01-02T14:30:00Z,21000,21001,20999,21000,5,NQH4\n"


def refused(tool: str, *arguments: object, code: int, stdin: str = "") -> str:
    """The one line that the command ended with."""
    ended = call_here(tool, *arguments, stdin=stdin)
    assert ended.returncode == code, (ended.returncode, ended.stderr)
    lines = without_age(ended.stderr).splitlines()
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith(f"{tool}: ")
    assert ended.stdout == ""
    return lines[0].removeprefix(f"{tool}: ")


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("orchestrator", ("run", "--mode", "smi"), 2),
        ("rl-core", ("data", "check", "no/NQ_D1M.csv"), 3),
        ("llm-gate", ("review", "-", "--engine", "rules"), 2),
    ],
)
def test_a_process_of_its_own_says_and_ends_as_the_command_does_here(
    tool: str, arguments: tuple[str, ...], code: int
) -> None:
    process, here = call(tool, *arguments, stdin="{"), call_here(tool, *arguments, stdin="{")

    assert process.returncode == code
    assert process.stderr.startswith(f"{tool}: ")
    assert (process.returncode, process.stdout, process.stderr) == (here.returncode, here.stdout, here.stderr)


@pytest.fixture
def checkpoint(demo_world: DemoWorld, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(demo_world.phase1, tmp_path / demo_world.phase1.name))


@pytest.fixture
def malformed(tmp_path: Path) -> Path:
    """Three rows; the second closes between two ticks, the third has no volume."""
    path = tmp_path / "NQ_D1M.csv"
    late = CSV.splitlines()[1].replace("14:30", "14:31").replace("21000,5", "21000.1,5")
    path.write_text(CSV + late + "\n" + late.replace("14:31", "14:32").replace("21000.1,5", "21000,-5") + "\n")
    return path


RUN: list[tuple[list[str], int, str]] = [
    (["--bars", "no/NQ_D1M.csv"], 3, "no/NQ_D1M.csv: not_a_file"),
    (["--market", "NX"], 2, "NX"),
    (["--set", "gate.engin=rules"], 2, "unknown key 'gate.engin': did you mean 'gate.engine'?"),
    (["--set", "gate.enabled=1"], 2, "unknown key 'gate.enabled': known keys: gate.engine,"),
    (["--set", "nonsense"], 2, "--set 'nonsense': expected a.b=value"),
    (["--set", "name.a=1"], 2, "name"),
    (["--set", 'sessions="many"'], 2, "sessions: "),
    (["--gate", "oracle"], 2, "gate.engine: "),
    (["--config", "no.toml"], 2, "no.toml: cannot be read: No such file or directory"),
    (["--checkpoint", "no/run"], 2, "no checkpoint in no/run; train one with rl-core train"),
    (["--set", "gate.prompt=prompts/none.v1.md"], 2, "prompts/none.v1.md"),
    (["--set", 'gate.on_failure="approve"'], 2, "i_understand_unprotected_approve"),
    (["--set", 'trading.rules="no/rules.toml"'], 2, "no/rules.toml"),
    (["--seconds", "no/NQ_D1S.csv"], 3, "no/NQ_D1S.csv: not_a_file"),
    (["--mode", "live"], 6, "mode 'live'"),
    (["--mode", "paper"], 2, "is no csv file; its bars are the rows that somebody appends to one"),
    (["--mode", "paper", "--bars", "no/NQ_D1M.csv"], 3, "no/NQ_D1M.csv: not_a_file"),
    (["--mode", "paper", "--bars", "no.csv", "--clock", "no.clock"], 2, "no.clock: cannot be read"),
    (["--mode", "smi"], 2, "--mode 'smi': expected one of sim, paper, advisory, live"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), RUN, ids=[" ".join(words) for words, _, _ in RUN])
def test_orchestrator_run_refuses(
    run_command: RunCommand, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    assert said in refused("orchestrator", *run_command(*arguments), code=code)
    assert not (tmp_path / "runs").exists()


def test_a_malformed_bar_is_named_by_file_row_and_column(run_command: RunCommand, malformed: Path) -> None:
    """The first fault in full, the rest as a count; the same in every command that reads bars."""
    said = f"{malformed}:3:close: off_tick: '21000.1'"

    lines = [
        refused("orchestrator", *run_command("--bars", malformed), code=3),
        refused("rl-core", "data", "check", malformed, code=3),
        refused("rl-core", "train", "--bars", malformed, "--out", malformed.with_name("out"), code=3),
    ]

    assert all(line.startswith(said) for line in lines), lines
    assert not malformed.with_name("out").exists()


def test_a_toml_file_that_is_none_is_refused(run_command: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("name = \n")

    assert refused("orchestrator", *run_command("--config", path), code=2).startswith(f"{path}: not valid TOML: ")


def test_a_flipped_byte_in_a_checkpoint_is_found(run_command: RunCommand, checkpoint: Path) -> None:
    weights = checkpoint / "policy.npz"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)

    said = refused("orchestrator", *run_command("--checkpoint", checkpoint), code=3)
    assert said.startswith(f"checkpoint {checkpoint}: policy.npz is damaged")
    assert said == refused("rl-core", "evaluate", checkpoint, code=3)


def test_a_checkpoint_of_other_features_is_refused_with_the_difference(
    run_command: RunCommand, checkpoint: Path
) -> None:
    _claim(checkpoint, lambda identity: identity | {"fingerprint": "0" * 64, "features": {"window": 19}})

    said = refused("orchestrator", *run_command("--checkpoint", checkpoint), code=2)
    assert said.startswith(f"checkpoint {checkpoint} does not fit: ")
    assert "window" in said


def test_a_checkpoint_of_other_dimensions_is_refused_with_both(run_command: RunCommand, checkpoint: Path) -> None:
    """A whole checkpoint, of the same features by its own account, that wants 240 numbers."""
    from rl_core.checkpoints.manifest import write_manifest
    from rl_core.checkpoints.policy import load_policy, save_policy

    policy = load_policy(checkpoint)
    wide = np.zeros(240, np.float32)
    first = np.zeros((240, policy.kernels[0].shape[1]), np.float32)
    save_policy(replace(policy, mean=wide, scale=wide + 1, kernels=(first, *policy.kernels[1:])), checkpoint)
    assert policy.identity is not None
    write_manifest(checkpoint, policy.identity.model_copy(update={"observation_size": 240}))

    said = refused("orchestrator", *run_command("--checkpoint", checkpoint), code=2)
    assert said.endswith("does not fit: observation size 240 in the checkpoint, 225 here")
    assert said == refused("rl-core", "evaluate", checkpoint, code=2)


def test_a_pickle_is_not_opened(run_command: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "normaliser.pkl"
    path.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")

    said = refused("orchestrator", *run_command("--checkpoint", path), code=2)
    assert said.startswith(f"{path}: pickle files execute code")
    assert said == refused("rl-core", "evaluate", path, code=2)


def test_bars_that_were_all_trained_on_are_refused(
    demo_world: DemoWorld, run_command: RunCommand, checkpoint: Path
) -> None:
    _claim(checkpoint, lambda identity: identity | {"config": {**identity["config"], "trained_until_ns": 2**62}})

    said = refused("orchestrator", *run_command("--checkpoint", checkpoint), code=3)
    assert "nothing is held out: the policy was trained on bars until" in said
    assert said == refused("rl-core", "evaluate", checkpoint, "--bars", demo_world.minutes, code=3)


TRAIN: list[tuple[list[str], int, str]] = [
    ([], 2, "which bars? give --bars FILE"),
    (["--phase", "2", "--bars", "MINUTES"], 2, "phase 2 starts from a phase 1 run (--from RUN)"),
    (["--phase", "2", "--from", "no/run"], 2, "no checkpoint of phase 1 in no/run"),
    (["--bars", "MINUTES", "--set", "ppo.learning_rat=1"], 2, "did you mean 'ppo.learning_rate'"),
    (
        ["--bars", "MINUTES", "--set", "train_share=0.01"],
        3,
        "too few to train on a share of 0.01",
    ),
]


@pytest.mark.parametrize(("arguments", "code", "said"), TRAIN, ids=[" ".join(words) or "-" for words, _, _ in TRAIN])
def test_rl_core_train_refuses(
    demo_world: DemoWorld, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    words = [str(demo_world.minutes) if word == "MINUTES" else word for word in arguments]

    assert said in refused("rl-core", "train", "--out", tmp_path / "out", *words, code=code)
    assert not (tmp_path / "out" / "checkpoints").exists()


FAULTY_SETTINGS: list[tuple[str, str]] = [
    ("trading.rules=apex_50k", "there is no such rule pack; did you mean 'apex_legacy#50k-pa'"),
    ("trading.contract=MNX", "did you mean 'MNQ'"),
    ("trading.costs.fees=no.toml", "no.toml: cannot be read"),
    ("trading.resolution=seconds", "needs one-second bars"),
]


@pytest.mark.parametrize(("setting", "said"), FAULTY_SETTINGS, ids=[setting for setting, _ in FAULTY_SETTINGS])
def test_a_fault_of_the_settings_is_told_before_one_of_the_bars(
    run_command: RunCommand, malformed: Path, setting: str, said: str
) -> None:
    """Settings are read in a moment, and bars in minutes; `check-leak` takes the account's keys alone."""
    set_it, files = ("--set", setting), ("--bars", malformed)

    lines = [
        refused("orchestrator", *run_command(*files, *set_it), code=2),
        refused("rl-core", "train", *files, "--out", malformed.with_name("out"), *set_it, code=2),
        refused("rl-core", "data", "check-leak", *files, "--set", setting.removeprefix("trading."), code=2),
    ]

    assert all(said in line for line in lines), lines


def test_settings_of_learner_and_gate_come_before_the_bars_too(run_command: RunCommand, malformed: Path) -> None:
    files = ("--bars", malformed)
    train = ("rl-core", "train", *files, "--out", malformed.with_name("out"))

    assert "1024, but " in refused(*train, "--set", "ppo.devices=1024", "--set", "ppo.num_envs=4096", code=2)
    few = ("--set", "ppo.num_envs=1", "--set", "ppo.minibatches=1", "--set", "mirror=true")
    assert "1 environments cannot play 2 markets" in refused(*train, *few, code=2)
    for setting in ("gate.prompt=none.v1", "gate.model=no/folder"):
        line = refused("orchestrator", *run_command(*files, "--set", setting, gate="vllm"), code=2)
        assert "none.v1" in line or "no/folder" in line


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["evaluate", "no/run"], 2, "no checkpoint in no/run"),
        (["evaluate", "CHECKPOINT"], 2, "which bars? give --bars FILE"),
        (["evaluate", "CHECKPOINT", "--bars", "MINUTES", "--part", "half"], 2, "half"),
        (["data", "check", "no/NQ_D1M.csv"], 3, "no/NQ_D1M.csv: not_a_file"),
        (["data", "check", "MINUTES", "--interval", "1"], 3, "interval"),
    ],
)
def test_rl_core_refuses(demo_world: DemoWorld, arguments: list[str], code: int, said: str) -> None:
    named = {"MINUTES": demo_world.minutes, "CHECKPOINT": demo_world.phase1}

    assert said in refused("rl-core", *(named.get(word, word) for word in arguments), code=code)


@pytest.mark.parametrize(
    ("arguments", "proposal", "said"),
    [
        (["--engine", "rules"], "{", "not JSON"),
        (["--engine", "rules"], '{"kind": "entry_proposal"}', "proposal_id"),
        (["--engine", "oracle"], "", "no engine 'oracle'; there are: rules, vllm"),
        (["--engine", "vllm"], "", "--engine vllm needs --url"),
        (["--prompt", "none.v1"], "", "no prompt 'none.v1'; there are: entry_"),
        (["--prompt", "entry_revew.v1"], "", "no prompt 'entry_revew.v1'; did you mean 'entry_review.v1'"),
    ],
)
def test_llm_gate_review_refuses(arguments: list[str], proposal: str, said: str) -> None:
    assert said in refused("llm-gate", "review", "-", *arguments, code=2, stdin=proposal or _proposal())


def test_a_report_on_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    assert "so it is no run's folder" in refused("orchestrator", "report", tmp_path, code=2)


def _claim(checkpoint: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """Let the manifest say something else of the same files, with digests that fit."""
    from rl_core.checkpoints.manifest import Identity, read_manifest, write_manifest

    identity = read_manifest(checkpoint).identity.model_dump(mode="json")
    write_manifest(checkpoint, Identity.model_validate(change(identity)))


def _proposal() -> str:
    size = {"side": "buy", "quantity": 4, "stop_atr_milli": 1500, "target_atr_milli": 4500}
    return json.dumps({"kind": "entry_proposal", "proposal_id": "0" * 32, **size, "context": CONTEXT})


COMMANDS = [  # a table, the help, and lines
    ("orchestrator", "rules", "list"),
    ("rl-core", "data", "check", "--help"),
    ("llm-gate", "prompts", "list"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("redirected", "said"),
    [
        ("> /dev/full", "standard output: No space left on device; the result is incomplete"),
        (">&-", "standard output is closed; give /dev/null to throw the result away"),
    ],
)
def test_output_that_goes_nowhere_ends_in_one_line_and_7(words: tuple[str, ...], redirected: str, said: str) -> None:
    assert shell(words, redirected) == (7, f"{words[0]}: {said}\n")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_that_has_left_is_no_fault(words: tuple[str, ...]) -> None:
    """As `rules list | head` does: silent, and 141 as of any command that SIGPIPE ends. `true` reads nothing at all."""
    assert shell(words, "| true", before="sleep 1; ") == (141, "")


def shell(words: tuple[str, ...], redirected: str, *, before: str = "") -> tuple[int, str]:
    """Exit code and standard error of the command with its standard output ``redirected``, in bash."""
    tool = Path(sys.executable).with_name(words[0])
    line = f"set -o pipefail; {{ {before}{tool} {' '.join(words[1:])}; }} {redirected}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=240)
    return ended.returncode, ended.stderr
