"""An ended run is a look at what its policy earned on bars that it had not seen, and is counted as one."""

from pathlib import Path

from orchestrator.report.account_book import AccountBook
from orchestrator.report.facts import RunFacts
from rl_core.evaluation.tries import content_digest, new_try, note_try, registry_beside
from rl_core.exchange.calendar import locate


def count_look(facts: RunFacts, book: AccountBook) -> int:
    """Count the run among the tries; returns how many different ones looked at some of its sessions, itself included.

    By content: a run that was continued, made again or reported again is one try, and without a gate that acts the
    same as an evaluation of its policy. What has not ended, or is in sample, counts nothing, and 1 comes back.

    Raises:
        ResourceError: the try cannot be written down, so that the count would be wrong from now on.
    """
    if not book.ended or facts.origin.in_sample or not len(book.bars.ts_event_ns):
        return 1
    family = facts.trading.contract.calendar
    first, last = (int(day) for day in locate(book.bars.ts_event_ns[[0, -1]], family).session)
    manifest = facts.manifest
    who = manifest.tried or content_digest("run", manifest.run_id)
    return note_try(registry_of(facts), new_try(who, manifest.market, first, last))


def registry_of(facts: RunFacts) -> Path:
    """The file in which the run is counted: beside the training run of its policy, where its evaluations are too.

    Beside the run itself if that folder is gone.
    """
    trained_in = Path(facts.manifest.trained_in or facts.folder)
    return registry_beside(trained_in if trained_in.parent.is_dir() else facts.folder)
