"""The faults of the world, each with the exit code that a command ends with."""


class TrigateError(Exception):
    """A fault that one clear line explains; ``exit_code`` is what the command ends with."""

    exit_code = 1


class ConfigError(TrigateError):
    """A key, value or argument that cannot be used."""

    exit_code = 2


class FitError(TrigateError):
    """A whole checkpoint or run that was made for something else."""

    exit_code = 2


class DataError(TrigateError):
    """A bars file that cannot be trusted."""

    exit_code = 3


class DamagedCheckpointError(DataError):
    """A checkpoint whose bytes are not those that were written."""


class ProcessNotReadyError(TrigateError):
    """A worker or server that did not become ready."""

    exit_code = 5


class RefusedError(TrigateError):
    """Something that the rules of the account or of this program forbid."""

    exit_code = 6


class ResourceError(TrigateError):
    """A disk, lock or port that failed."""

    exit_code = 7
