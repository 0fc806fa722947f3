"""The faults that only the gate knows; those that every package has are in `trigate.errors`."""

from collections.abc import Iterator
from contextlib import contextmanager

from trigate.errors import ExitCode, TrigateError

EXTRAS = "pip install 'trigate[cpu]', or 'trigate[cuda]' for a GPU"
"""What brings every package of a model and its server."""

_PASSING = frozenset({408, 425, 429})
"""Statuses of a server that may answer later: a timeout, too early, too many requests."""


class GateError(TrigateError):
    """Any fault of prompts, requests, servers and answers."""


class PromptError(GateError):
    """A prompt file that cannot be used as it stands."""

    exit_code = ExitCode.USAGE


class RequestError(GateError):
    """A proposal, model folder or option that the user has to change."""

    exit_code = ExitCode.USAGE


class NotInstalledError(RequestError):
    """A package that a model needs, which the installation lacks."""


@contextmanager
def or_without_a_model(instead: str) -> Iterator[None]:
    """Add to what is missing which option needs no model: whoever has not installed one need not have one."""
    try:
        yield
    except NotInstalledError as error:
        raise NotInstalledError(f"{error}; {instead} needs no model") from None


class ServerNotReadyError(GateError):
    """A model server that did not prove itself in time."""

    exit_code = ExitCode.NOT_READY


class EngineError(GateError):
    """No usable answer from an engine."""

    exit_code = ExitCode.NOT_READY


class UnavailableError(EngineError):
    """Nobody answers, or the connection broke."""


class HttpError(EngineError):
    """An answer that is not the one asked for: a status, a content type, too many bytes."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        """``status`` is that of the HTTP response, None where it was not the status that was wrong."""
        super().__init__(message)
        self.status = status

    @property
    def refused(self) -> bool:
        """Whether the server understood the request and refused it, so that asking again will not help."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in _PASSING


class MalformedVerdictError(EngineError):
    """A reply outside its bounds; it is refused whole."""


class ForeignVerdictError(EngineError):
    """A reply to another proposal."""
