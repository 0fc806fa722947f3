"""The faults of the world, each with the exit code that a command ends with."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command ends with; 0 is success, in training also a SIGTERM that was obeyed."""

    INTERNAL = 1
    USAGE = 2
    DATA = 3
    NOT_PASSED = 4
    NOT_READY = 5
    REFUSED = 6
    RESOURCE = 7
    ASSERTIONS_FAILED = 100
    INTERRUPTED = 130
    READER_LEFT = 141
    STOPPED = 143


class TrigateError(Exception):
    """A fault that one clear line explains; ``exit_code`` is what the command ends with."""

    exit_code: int = ExitCode.INTERNAL


class ConfigError(TrigateError):
    """A key, value or argument that cannot be used."""

    exit_code = ExitCode.USAGE


class DataError(TrigateError):
    """A bars file that cannot be trusted."""

    exit_code = ExitCode.DATA


class ProcessNotReadyError(TrigateError):
    """A worker or server that did not become ready."""

    exit_code = ExitCode.NOT_READY


class RefusedError(TrigateError):
    """Something that the rules of the account or of this program forbid."""

    exit_code = ExitCode.REFUSED


class ResourceError(TrigateError):
    """A disk, lock or port that failed."""

    exit_code = ExitCode.RESOURCE
