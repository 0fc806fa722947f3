"""What can go wrong in the gate, each with the exit code its command ends with."""


class GateError(Exception):
    """Any fault this package names."""

    exit_code = 1


class PromptError(GateError):
    """A prompt file that cannot be used as it stands."""

    exit_code = 2


class RequestError(GateError):
    """A proposal, model folder or option that the user has to change."""

    exit_code = 2


class ServerNotReadyError(GateError):
    """A model server that did not prove itself in time."""

    exit_code = 5


class GateResourceError(GateError):
    """A port, lock or disk that was not to be had."""

    exit_code = 7


class EngineError(GateError):
    """No usable answer from an engine."""

    exit_code = 5


class UnavailableError(EngineError):
    """Nobody answers, or the connection broke."""


class HttpError(EngineError):
    """An answer that is not the one asked for: a status, a content type, too many bytes."""


class MalformedVerdictError(EngineError):
    """A reply outside its bounds; it is refused whole."""


class ForeignVerdictError(EngineError):
    """A reply to another proposal."""
