"""The faults that only the gate knows; those that every package has are in `trigate.errors`."""

from trigate.errors import ExitCode, TrigateError

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
