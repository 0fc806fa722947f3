"""The faults that only training knows; those that every package has are in `trigate.errors`."""

from trigate.errors import DataError, ExitCode, TrigateError


class FitError(TrigateError):
    """A whole checkpoint or run that was made for something else."""

    exit_code = ExitCode.USAGE


class DamagedCheckpointError(DataError):
    """A checkpoint whose bytes are not those that were written."""


class NotFiniteError(TrigateError):
    """A training whose losses, gradients or rewards were not finite: its settings, the learning rate first."""

    exit_code = ExitCode.USAGE
