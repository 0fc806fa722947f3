"""What Linux's prctl offers to a process that looks after others."""

import ctypes

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of what a child leaves behind when it dies, so that it can be ended and reaped.

    Raises:
        OSError: the kernel refused.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def library_fault(name: str) -> str:
    """Why a shared library of the system cannot be loaded; "" if it can."""
    try:
        ctypes.CDLL(name)
    except OSError as error:
        return str(error)
    return ""
