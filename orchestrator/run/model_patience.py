"""A run waits for its model server: simulated time stands still, so a server that fails must not change the result."""

import time
from collections.abc import Callable
from typing import Protocol

from trigate.errors import ProcessNotReadyError

TELL_EVERY_S = 10.0
_LOOK_S = 0.1


class WatchedServer(Protocol):
    """A model server that is watched, as `llm_gate.serving.watch.ServerWatch` does."""

    @property
    def state(self) -> str:
        """``healthy``; ``failed``, which is final; or why it cannot be asked now: ``probing`` or ``restarting``."""
        ...

    def suspect(self) -> None:
        """A call of it failed: until it has proven itself it is not healthy."""
        ...


class ModelPatience:
    """Waits until a model server is healthy, with a line that counts the seconds."""

    def __init__(
        self,
        server: WatchedServer,
        *,
        say: Callable[[str], None],
        check: Callable[[], None] = lambda: None,
        tell_every_s: float = TELL_EVERY_S,
    ) -> None:
        """``check`` is called a few times a second while it waits, and may raise: the user may want to stop."""
        self._server, self._say, self._check, self._tell_every_s = server, say, check, tell_every_s

    def until_healthy(self) -> None:
        """Return at once, or as soon as the server has proven itself again.

        Raises:
            ProcessNotReadyError: it was given up; the run can be continued.
        """
        began_s, told = time.monotonic(), 0
        while (state := self._server.state) != "healthy":
            if state == "failed":
                raise ProcessNotReadyError("the model server was given up; the same command continues the run")
            self._check()
            waited_s = time.monotonic() - began_s
            if waited_s >= told * self._tell_every_s:
                self._say(f"the run waits for the model server ({state}): {waited_s:.0f} s")
                told += 1
            time.sleep(_LOOK_S)
        if told:
            self._say(f"the model server answers again after {time.monotonic() - began_s:.0f} s")

    def until_proven(self) -> None:
        """Return when the server has given a constrained answer from now on, restarted if need be.

        Raises:
            ProcessNotReadyError: as ``until_healthy``.
        """
        self._server.suspect()
        self.until_healthy()
