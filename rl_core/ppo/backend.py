"""Whether a condition costs nothing where a program runs.

A CPU takes one branch and leaves the other. On an accelerator every condition waits until the host has read its
predicate, some microseconds each, while the device is idle; work on all elements, thrown away where it is not wanted,
is cheaper there.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

_as_accelerator = False


def conditions_are_free() -> bool:
    """Whether a program that is traced now may hold conditions."""
    return not _as_accelerator and jax.default_backend() == "cpu"


def turns_at_once() -> int:
    """How many turns of a loop are written out one after the other in a program that is traced now.

    What is written out together is started together on an accelerator, and stored and counted once. On a CPU it gains
    nothing and takes longer to compile.
    """
    return 1 if conditions_are_free() else 4


@contextmanager
def as_on_an_accelerator() -> Iterator[None]:
    """Trace programs as for an accelerator, wherever this runs: for tests, and for counting operations.

    What was traced before is forgotten on the way in and on the way out.
    """
    global _as_accelerator
    jax.clear_caches()  # type: ignore[no-untyped-call]
    _as_accelerator = True
    try:
        yield
    finally:
        _as_accelerator = False
        jax.clear_caches()  # type: ignore[no-untyped-call]
