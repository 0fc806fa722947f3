"""For all tests: programs are compiled once, and nobody relies on the order of tests."""

import gc
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
import structlog
from jax._src import compiler

from rl_core.training.compile_cache import use_compile_cache
from tests.quick_programs import OLDER_GENERATOR, has_older_generator

# A worker comes to hold millions of objects of JAX, and each look for garbage visits them.
gc.set_threshold(200_000, 20, 100)

# Most of the learner's tests' time went into compiling programs that then run for a moment.
# Commands that tests start as processes of their own compile as they do for users, but for trainings that are killed
# and continued: those ask for the same in their environment.
jax.config.update("jax_disable_most_optimizations", True)

_usual_options = compiler.get_compile_options
_older_generator = has_older_generator()


def _options(*arguments: Any, **named: Any) -> Any:
    """JAX's own, without the newer code generator: it takes three times as long."""
    options = _usual_options(*arguments, **named)
    if _older_generator:
        options.env_option_overrides = [*options.env_option_overrides, OLDER_GENERATOR]
    return options


# JAX offers no public setting that reaches the programs of a library's own jit.
compiler.get_compile_options = _options

# What one worker has compiled the other loads, and so does the next session: a program is its own key.
use_compile_cache()


@pytest.fixture(autouse=True)
def usual_log() -> Iterator[None]:
    """What a campaign or a command played in this process chose to log ends with its test."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def optimised() -> Iterator[None]:
    """For tests that compute for longer than they compile."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def newer_generator() -> Iterator[None]:
    """For tests of the program that users run, or of the bits of two programs.

    The older generator may contract a sum in one of them alone.
    """
    global _older_generator
    _older_generator = False
    yield
    _older_generator = has_older_generator()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--order-seed", type=int, help="run the tests in the order of this seed; by default of their text")


def pytest_configure(config: pytest.Config) -> None:
    """Take the seed from the tests' own text: every change of a test shuffles anew, and a commit keeps its order.

    What passed before a landing so runs in the same order after it; `--order-seed` draws any other.
    """
    if config.option.order_seed is None:
        texts = (path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py")))
        config.option.order_seed = zlib.crc32(b"".join(texts)) % 10**6


@pytest.hookimpl(tryfirst=True)  # pytest then brings together again what shares a fixture's parameter
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files in random order and the tests of a file in random order, but for those marked ``last``.

    Files that wait for processes or compute long come first: so the workers end at about the same time.
    """
    drawn = random.Random(config.option.order_seed)
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    tests = list(files.values())
    drawn.shuffle(tests)
    for group in tests:
        drawn.shuffle(group)
        group.sort(key=_ends_what_is_shared)
    items[:] = [item for group in sorted(tests, key=_comes_late) for item in group]


def _ends_what_is_shared(item: pytest.Item) -> int:
    return item.get_closest_marker("last") is not None


def _comes_late(group: list[pytest.Item]) -> bool:
    return not any(item.get_closest_marker(name) for item in group for name in ("model", "process", "long"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to get this order again."""
    terminalreporter.write_line(f"order of tests: --order-seed {config.option.order_seed}")
