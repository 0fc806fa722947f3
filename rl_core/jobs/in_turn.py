"""Does jobs in this process, one after another."""

from collections.abc import Iterator, Sequence

from rl_core.jobs.job import Job, JobContext, Result, do, was_asked


class InTurn:
    """What neighbouring jobs share, such as bars that were read, is kept between them."""

    def run(self, jobs: Sequence[Job], context: JobContext) -> Iterator[Result]:
        """As `Executor.run`; a mistake of ours comes through as it is."""
        for job in jobs:
            if context.asked():
                return
            result = do(job, context)
            yield result
            if was_asked(result):
                return
