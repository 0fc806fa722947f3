"""deploy/Containerfile, which takes minutes to build: what it copies, installs, writes and starts is there."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from rl_core.evaluation.tries import ELSEWHERE
from tests.import_graph import ROOT
from tests.test_papers import COMMANDS

TEXT = (ROOT / "deploy/Containerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
INSTRUCTIONS = frozenset(
    ["ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"]
)
OF_THE_BASE = frozenset(("python", "useradd", "mkdir", "chown", "grep"))
"""Programs that an official image of Python on Debian has."""
OF_THE_SYSTEM = (
    "apt-get update",
    "apt-get install --yes --no-install-recommends libnuma1",
    "rm -rf /var/lib/apt/lists/*",
)
"""All that is taken from the base's own distribution, command by command: what `llm_gate/serving/server.py` needs."""
OF_THE_LOCKS = {".venv/bin/python": "", ".venv/bin/uv": "requirements/uv.txt"}
"""Programs of the environment that is built -> the lock that brings each; "": the environment's own."""
HOST = re.compile(r"https?:|\b[\w-]+\.(?:com|org|io|net|ai|dev)\b")
VENV = "/opt/trigate/.venv"


class Step(NamedTuple):
    """One instruction, with the lines that it goes on in put together."""

    word: str
    rest: str


def steps_of(text: str) -> list[Step]:
    """The instructions of a container file, without its comments."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Step(line.split()[0], line.partition(" ")[2].strip()) for line in joined.splitlines()]


def faults_of(text: str) -> list[str]:
    """What would fail when it is built, or would not hold of the image."""
    steps = steps_of(text)
    return [
        *(f"{step.word} is no instruction that is used here" for step in steps if step.word not in INSTRUCTIONS),
        *(f"{found} names a host" for found in HOST.findall(text)),
        *_copied(steps),
        *_run(steps),
        *_installed(steps),
        *_of_the_system(steps),
        *_started(steps),
        *_user(steps),
    ]


def _copied(steps: list[Step]) -> Iterator[str]:
    """Each source is in the repository and in the build's context, and what the wheel is made of is copied."""
    sources: list[str] = []
    stages = {rest.split()[-1] for word, rest in steps if word == "FROM" and " AS " in rest}
    for rest in (rest for word, rest in steps if word == "COPY"):
        *words, _ = rest.split()
        if words[0].startswith("--from="):
            if words[0].removeprefix("--from=") not in stages or words[1:] != [VENV]:
                yield f"COPY {rest}: no stage makes it"
            continue
        sources += words
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in (source.rstrip("/") for source in sources):
        if not (ROOT / source).exists():
            yield f"{source} is not there"
        if not any(fnmatch(source, each) for each in kept):
            yield f"{source} is kept out of the build by .dockerignore"
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", PROJECT["project"]["readme"], *wheel["packages"], *wheel["force-include"]}
    yield from sorted(f"{each} is not copied" for each in needed - {source.rstrip("/") for source in sources})


def _run(steps: list[Step]) -> Iterator[str]:
    """Every command that runs while it is built, or to see whether it is well, is a program that is there."""
    lines = [rest for word, rest in steps if word == "RUN"]
    lines += [rest.partition("CMD ")[2] for word, rest in steps if word == "HEALTHCHECK"]
    parts = (part for line in lines for part in re.split(r" && | \| ", line))
    for part in (part for part in parts if part not in OF_THE_SYSTEM):
        program = part.split()[0]
        if program in PROJECT["project"]["scripts"]:
            yield from _refused(shlex.split(part))
        elif program not in OF_THE_BASE and program not in OF_THE_LOCKS:
            yield f"{program} is no program of the image"
        elif (
            lock := OF_THE_LOCKS.get(program)
        ) and f"\n{Path(program).name}==" not in f"\n{(ROOT / lock).read_text()}":
            yield f"{lock} does not bring {program}"


def _installed(steps: list[Step]) -> Iterator[str]:
    """Nothing is installed but by a lock that is there and has a hash for every package, or from what was copied."""
    for line in (rest for word, rest in steps if word == "RUN"):
        for part in (part for part in line.split(" && ") if " install " in part and part not in OF_THE_SYSTEM):
            locks = re.findall(r"-r (\S+)", part)
            if not locks and not ("--no-index" in part and part.endswith(" .")):
                yield f"{part}: installs something that is in no lock"
            if locks and "--require-hashes" not in part:
                yield f"{part}: takes packages without a hash"
            yield from (fault for lock in locks for fault in _lock_faults(lock))


def _lock_faults(lock: str) -> Iterator[str]:
    default = {"${TORCH_INDEX:-registry}": ("registry", "cpu")}
    names = [lock.replace(key, each) for key, values in default.items() if key in lock for each in values] or [lock]
    for name in names:
        if not (ROOT / name).is_file():
            yield f"{name} is not there"
            continue
        packages = re.split(r"\n(?=\w)", (ROOT / name).read_text().strip())
        yield from (f"{name}: {each.split()[0]} has no hash" for each in packages if "--hash=sha256:" not in each)


def _of_the_system(steps: list[Step]) -> Iterator[str]:
    """The image that is kept, not only the one that it is built in, has the library that the model server loads."""
    last = max(number for number, step in enumerate(steps) if step.word == "FROM")
    if ["RUN", " && ".join(OF_THE_SYSTEM)] not in [list(step) for step in steps[last:]]:
        yield f"no model can be served: no {' && '.join(OF_THE_SYSTEM)}"


def _started(steps: list[Step]) -> Iterator[str]:
    (entry,) = [rest for word, rest in steps if word == "ENTRYPOINT"] or ["[]"]
    program = entry.strip('[]"')
    if program not in PROJECT["project"]["scripts"]:
        yield f"{program or 'nothing'} is no command of ours to start with"


def _user(steps: list[Step]) -> Iterator[str]:
    """It runs as somebody who is not root, who may write runs; it publishes nothing and says how it is."""
    words = [step.word for step in steps]
    users = [step.rest for step in steps if step.word == "USER"]
    if users != ["trigate"] or not any("useradd " in step.rest and " trigate" in step.rest for step in steps):
        yield "it runs as root"
    elif "RUN" in words[words.index("USER") :]:
        yield "something is installed by the user who runs it"
    if not any(f" {ELSEWHERE}=/work/runs/" in step.rest for step in steps if step.word == "ENV"):
        yield "a run that has ended cannot be counted where runs alone may be written"
    if ["VOLUME", '["/work/runs"]'] not in [list(step) for step in steps]:
        yield "runs are kept nowhere"
    if "HEALTHCHECK" not in words:
        yield "nobody sees whether it is well"


def _refused(words: list[str]) -> Iterator[str]:
    """What our own command line says to a command."""
    program, name, *arguments = words
    command = getattr(COMMANDS[program], "commands", {}).get(name)
    if command is None:
        yield f"{program} has no command {name}"
        return
    try:
        command.make_context(name, arguments)
    except Exception as error:  # of the parser's own many kinds, each a fault of the file
        yield f"{program} {name}: {error}"


def test_everything_that_the_container_file_names_is_there() -> None:
    assert faults_of(TEXT) == []


@pytest.mark.parametrize(
    ("there", "broken", "fault"),
    [
        ("COPY prompts/ prompts/", "COPY prompt/ prompts/", "prompt is not there"),
        ("COPY configs/ configs/\n", "", "configs is not copied"),
        ("COPY prompts/ prompts/", "COPY docs/ prompts/", "docs is kept out of the build"),
        ("--from=build", "--from=built", "no stage makes it"),
        ("-r requirements/model.txt", "-r requirements/models.txt", "models.txt is not there"),
        ("-r requirements/model.txt", "-r requirements/lock.sh", "has no hash"),
        ("--compile-bytecode --require-hashes", "--compile-bytecode", "takes packages without a hash"),
        ("--no-build-isolation --no-index .", "--no-build-isolation vllm", "is in no lock"),
        ("-r requirements/uv.txt", "--index-url https://example.org -r requirements/uv.txt", "names a host"),
        (".venv/bin/uv pip", ".venv/bin/uvx pip", ".venv/bin/uvx is no program of the image"),
        ("orchestrator status --json", "orchestrator state --json", "orchestrator has no command state"),
        ("orchestrator status --json", "orchestrator status --jsn", "orchestrator status: "),
        ('ENTRYPOINT ["orchestrator"]', 'ENTRYPOINT ["orchestra"]', "orchestra is no command of ours"),
        ("--no-install-recommends libnuma1", "--no-install-recommends libnuma1 g++", "apt-get is no program"),
        ("--no-install-recommends libnuma1", "libnuma1", "is in no lock"),
        ("apt-get update", "apt-get upgrade", "apt-get is no program"),
        ("libnuma1", "numactl", "no model can be served"),
        ("USER trigate", "USER root", "it runs as root"),
        ("USER trigate\n", "", "it runs as root"),
        (" TRIGATE_TRIES=/work/runs/tries.jsonl", "", "cannot be counted"),
        ("VOLUME", "LABEL", "LABEL is no instruction"),
        ("STOPSIGNAL SIGTERM", "EXPOSE 8000", "EXPOSE is no instruction"),
    ],
)
def test_a_line_that_breaks_is_found(there: str, broken: str, fault: str) -> None:
    assert there in TEXT

    assert any(fault in found for found in faults_of(TEXT.replace(there, broken))), faults_of(
        TEXT.replace(there, broken)
    )
