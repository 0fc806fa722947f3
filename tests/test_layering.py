"""Imports point one way, each dangerous library stays in its file, and nothing is ever unpickled."""

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.import_graph import PACKAGES, ROOT, Sources, cycle_in, folder_edges, imported, module_edges, sources
from tests.shape import MOST_ENTRIES, entries

FORBIDDEN = {
    "trigate": {"zmq", "subprocess", "multiprocessing", "jax", "vllm", "rl_core", "llm_gate", "orchestrator"},
    "rl_core": {"zmq", "multiprocessing", "vllm", "aiohttp", "llm_gate", "orchestrator"},
    "llm_gate": {"zmq", "jax", "flax", "optax", "orbax", "rl_core", "orchestrator"},
    "orchestrator": {"multiprocessing", "jax", "flax", "optax", "orbax", "vllm", "torch", "transformers"},
}
ONLY_IN = {
    "zmq": {"orchestrator/messaging/sockets.py"},
    "subprocess": {
        "orchestrator/workers/processes.py",
        "llm_gate/serving/processes.py",
        "rl_core/jobs/processes.py",
    },
    "ray": {"rl_core/jobs/ray_cluster.py"},
    "optuna": {"rl_core/training/sweep/study.py"},
    "vllm": {"llm_gate/serving/launch_vllm.py"},
    "multiprocessing": {"llm_gate/serving/launch_vllm.py"},  # it starts none: it says how vLLM starts its own
    "ctypes": {"trigate/process_control.py"},
    "fcntl": {"trigate/locks.py"},
    "jinja2": {"trigate/pages/render.py", "llm_gate/prompts/prompt_files.py"},
}
KNOWS_THE_SERVER = (
    "llm_gate/cli.py",
    "llm_gate/serving/",
    "llm_gate/evals/",
)
SERVER_MODULES = {"llm_gate.engines.vllm", "llm_gate.engines.replies"}
SERVER_WORDS = ("/v1/chat", "chat.completion", "vllm:", '"structured_outputs"')
FLOORS = (
    "trigate/pages",
    "rl_core/statistics rl_core/market rl_core/exchange rl_core/jobs",
    "rl_core/bars rl_core/rules",
    "rl_core/trading rl_core/worlds",
    "rl_core/features",
    "rl_core/envs rl_core/ppo",
    "rl_core/checkpoints",
    "rl_core/regimes",
    "rl_core/evaluation",
    "rl_core/training",
    "rl_core/training/sweep",
    "rl_core/proofs",
    "rl_core/commands",
    "llm_gate/engines",
    "llm_gate/prompts llm_gate/serving",
    "llm_gate/review",
    "llm_gate/evals/data",
    "llm_gate/evals/scoring",
    "llm_gate/teaching",
    "llm_gate/evals/asking",
    "llm_gate/evals/report",
    "llm_gate/commands",
    "orchestrator/journal orchestrator/messaging",
    "orchestrator/trader orchestrator/workers",
    "orchestrator/run",
    "orchestrator/report",
    "orchestrator/live",
    "orchestrator/commands",
)
"""Folders from the ground up: a folder imports from lower floors only, and no two know each other (DECISIONS 15)."""
UNPICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNPICKLING_CALLS = {"recv_pyobj", "send_pyobj", "read_pickle", "to_pickle"}
WITHOUT_JAX = (
    "orchestrator.run.simulate",
    "orchestrator.cli",
    "orchestrator.report.report",
    "orchestrator.report.walk_gates",
    "orchestrator.workers.feed",
    "orchestrator.workers.policy",
    "orchestrator.workers.gate",
    "rl_core.contract",
    "llm_gate.cli",
)


def tops(source: str) -> set[str]:
    """The packages behind `imported`."""
    return {name.partition(".")[0] for name in imported(source)}


def wrong_way(found: Sources) -> list[str]:
    """Modules that import what their package must not know."""
    return [
        f"{path} imports {name}"
        for path, text in found.items()
        for name in sorted(tops(text) & FORBIDDEN[path.split("/")[0]])
    ]


def out_of_place(found: Sources) -> list[str]:
    """Modules that import a library whose place is another file."""
    return [
        f"{path} imports {name}"
        for path, text in found.items()
        for name, places in ONLY_IN.items()
        if name in tops(text) and path not in places
    ]


def knows_the_server(found: Sources) -> list[str]:
    """Modules that know what only the vLLM engine, and whoever starts or proves a server, should know."""
    engine = {"llm_gate/engines/vllm.py", "llm_gate/engines/replies.py"}
    faults = []
    for path, text in found.items():
        users = path.startswith(KNOWS_THE_SERVER) or path == "orchestrator/workers/gate.py"
        if path not in engine and not users and imported(text) & SERVER_MODULES:
            faults.append(f"{path} imports the vLLM engine")
        if path not in engine:
            faults += [f"{path} speaks of {word}" for word in SERVER_WORDS if word in text]
    return faults


def unpickling(found: Sources) -> list[str]:
    """Places that could execute what a file or a socket holds."""
    faults = [f"{path} imports {name}" for path, text in found.items() for name in sorted(tops(text) & UNPICKLERS)]
    for path, text in found.items():
        for call in calls(text):
            name = ast.unparse(call.func)
            allowed = [k for k in call.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]
            if allowed or name.split(".")[-1] in UNPICKLING_CALLS or name == "torch.load":
                faults.append(f"{path}:{call.lineno} calls {name}")
    return faults


def printing(found: Sources) -> list[str]:
    """Calls of print outside a command line."""
    return [
        f"{path}:{call.lineno}"
        for path, text in found.items()
        for call in calls(text)
        if not path.endswith("/cli.py") and ast.unparse(call.func) == "print"
    ]


def calls(source: str) -> Iterator[ast.Call]:
    """Every call in a module."""
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def more_than_a_docstring(found: Sources) -> list[str]:
    """Package files that do anything."""
    inits = {path: ast.parse(text).body for path, text in found.items() if path.endswith("__init__.py")}
    return [path for path, body in inits.items() if not (len(body) == 1 and _is_text(body[0]))]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_imports_point_only_as_the_design_allows() -> None:
    assert wrong_way(sources()) == []


def test_sockets_processes_and_the_model_server_stay_in_their_files() -> None:
    found = sources()

    assert out_of_place(found) == []
    assert knows_the_server(found) == []
    assert all(name in tops(found[place]) for name, places in ONLY_IN.items() for place in places), "a stale exception"


def test_no_module_imports_itself_through_others() -> None:
    assert cycle_in(module_edges(sources())) == []


def climbing(found: Sources) -> list[str]:
    """Arrows between folders that do not lead down, and folders that no floor names."""
    floor = {folder: number for number, folders in enumerate(FLOORS) for folder in folders.split()}
    edges = folder_edges(found)
    unnamed = [f"{folder} is on no floor" for folder in edges if folder not in floor]
    return unnamed + [
        f"{folder} imports {target}"
        for folder, targets in edges.items()
        for target in sorted(targets)
        if not unnamed and floor[target] >= floor[folder]
    ]


def test_folders_import_from_lower_floors_only() -> None:
    found = sources()

    assert climbing(found) == []
    assert set(folder_edges(found)) == {folder for folders in FLOORS for folder in folders.split()}, "a stale floor"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_shows_no_more_than_a_reader_can_take_in(package: str) -> None:
    assert 1 < entries(sources())[package] <= MOST_ENTRIES[package]


def test_package_files_hold_a_docstring_only() -> None:
    found = sources()

    assert more_than_a_docstring(found) == []
    assert {f"{package}/__init__.py" for package in PACKAGES} <= found.keys()


def test_nothing_is_pickled() -> None:
    assert unpickling(sources()) == []


def test_only_commands_print() -> None:
    assert printing(sources()) == []


@pytest.mark.parametrize(
    ("check", "path", "text"),
    [
        (wrong_way, "rl_core/market/fills.py", "def f():\n    import orchestrator.trader.machine"),
        (wrong_way, "orchestrator/trader/machine.py", "from jax import numpy"),
        (wrong_way, "trigate/locks.py", "import rl_core.errors"),
        (out_of_place, "orchestrator/messaging/runner_end.py", "from zmq.auth import thread"),
        (out_of_place, "llm_gate/review/gate.py", "import subprocess as s"),
        (knows_the_server, "llm_gate/review/gate.py", "from llm_gate.engines.vllm import VllmEngine"),
        (knows_the_server, "llm_gate/review/verdicts.py", 'kind = "chat.completion"'),
        (unpickling, "rl_core/checkpoints/policy.py", "import pickle"),
        (unpickling, "rl_core/checkpoints/policy.py", "np.load(path, allow_pickle=flag)"),
        (unpickling, "orchestrator/messaging/sockets.py", "socket.recv_pyobj()"),
        (unpickling, "llm_gate/serving/model_folders.py", "torch.load(path)"),
        (printing, "orchestrator/run/runner.py", "print(1)"),
        (climbing, "rl_core/attic/new.py", "import os"),
        (more_than_a_docstring, "rl_core/__init__.py", '"""Words."""\nimport os'),
    ],
)
def test_a_planted_fault_is_found(check: object, path: str, text: str) -> None:
    assert callable(check) and len(check({path: text})) == 1


def test_a_planted_arrow_between_folders_is_found() -> None:
    found = {"rl_core/market/fills.py": "from rl_core.bars import read", "rl_core/bars/read.py": "import os"}

    assert climbing(found) == ["rl_core/market imports rl_core/bars"]


def test_a_planted_cycle_is_found() -> None:
    circle = {"rl_core/a.py": "import rl_core.b", "rl_core/b.py": "from rl_core import c"} | {
        "rl_core/c.py": "import rl_core.a"
    }

    found = module_edges({**circle, "rl_core/d.py": "import rl_core.a"})

    assert sorted(cycle_in(found)) == ["rl_core.a", "rl_core.b", "rl_core.c"]


HEAVY = ("jax", "jaxlib", "vllm", "torch", "transformers", "ray")
BEFORE_BARS = ("orchestrator.cli", "orchestrator.run.simulate", "orchestrator.run.paper_plan")
"""What `orchestrator run` loads before it reads a bars file."""
WORKERS = tuple(f"orchestrator.workers.{name}" for name in ("feed", "policy", "broker", "gate"))


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (WITHOUT_JAX, HEAVY),
        (BEFORE_BARS, (*HEAVY, "pandas", "pandas_market_calendars", "aiohttp", "plotly", "scipy")),
        (WORKERS, (*HEAVY, "pandas", "pandas_market_calendars", "pyarrow", "aiohttp", "scipy")),
    ],
)
def test_the_orchestrator_its_workers_and_the_contracts_load_nothing_heavy(
    modules: tuple[str, ...], heavy: tuple[str, ...]
) -> None:
    """What an import pulls in through others counts: a worker must start in a moment."""
    script = f"import sys, importlib\nfor name in {modules}: importlib.import_module(name)\n"
    script += f"print(sorted(set(sys.modules) & set({heavy})))"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)

    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
