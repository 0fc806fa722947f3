"""Many accounts played in one run, over workers that they share; each has the journal that it would have alone.

Every account is a run of its own: its folder, its record, its questions. One loop goes round the workers' desks, and
whoever got an answer goes on to its next question, so that no account waits for another but for the worker's time.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from orchestrator.run.account_run import AccountRun, Became
from orchestrator.run.accounts_file import Account
from orchestrator.run.accounts_folder import AccountsFolder
from orchestrator.run.config import RunConfig
from orchestrator.run.desks import AnyDesk
from orchestrator.run.folder import RunFolder
from orchestrator.run.plan import RunPlan, Say, plan_over
from orchestrator.run.room import check_room
from orchestrator.run.runner import StopAskedError
from orchestrator.run.service_manager import ServiceManager
from orchestrator.run.shared_workers import SharedWorkers
from orchestrator.run.simulate import RunHooks
from orchestrator.trader.seen_at_close import CloseViews
from rl_core.bars.bars import Bars
from rl_core.bars.read import read_bars
from rl_core.bars.seconds import read_seconds
from trigate.errors import TrigateError

LOOK_S = 0.002
"""How long the loop waits at once where nobody has an answer."""


class Seated(NamedTuple):
    """One account and what became of it."""

    name: str
    became: Became
    folder: RunFolder | None
    """None where it never had one, as its inputs cannot be used."""
    bars: int = 0


class _Inputs:
    """Files that several accounts read, and what is computed of them, each once."""

    def __init__(self) -> None:
        self._bars: dict[tuple[Path, str | None, str | None, str | None], Bars] = {}
        self._seconds: dict[tuple[Path, str], Bars] = {}
        self._views: dict[str, CloseViews] = {}

    def plan(self, config: RunConfig, say: Say) -> RunPlan:
        """As `plan_run`.

        Raises:
            TrigateError: the first input that does not fit.
        """
        check_room(config.runs, config.min_free_mb)
        how = (config.bars, config.market, config.timezone, config.stamp)
        if how not in self._bars:
            self._bars[how] = read_bars(config.bars, market=config.market, timezone=config.timezone, stamp=config.stamp)
        bars = self._bars[how]
        return plan_over(config, bars, self._seconds_of(config, bars), say=say)

    def views(self, plan: RunPlan) -> CloseViews:
        """What is seen at each close: a table without a state, so that accounts for which it is the same share it."""
        trading, inputs = plan.trading, plan.inputs
        of = [inputs.bars_digest, list(plan.span), inputs.rule_pack_digest, inputs.regimes_digest]
        key = json.dumps([*of, repr(trading.hours), repr(trading.yardstick)])
        if key not in self._views:
            self._views[key] = plan.views()
        return self._views[key]

    def _seconds_of(self, config: RunConfig, bars: Bars) -> Bars | None:
        if config.seconds is None:
            return None
        key = (config.seconds, f"{bars.digest} {config.timezone} {config.stamp}")
        if key not in self._seconds:
            self._seconds[key] = read_seconds(config.seconds, bars, timezone=config.timezone, stamp=config.stamp)
        return self._seconds[key]


def play_accounts(accounts: Sequence[Account], folder: AccountsFolder, hooks: RunHooks) -> list[Seated]:
    """Play every account, or continue those that are not done; what became of each, in their order.

    ``hooks.on_bar`` gets the bars of all accounts together.
    """
    inputs, seated, runs = _Inputs(), dict[str, Seated](), list[AccountRun]()
    done, notices = _Counted(hooks), _Notices()
    with ExitStack() as stack, _abandoning(runs):
        workers = SharedWorkers(folder.digest, folder.path, stack, say=hooks.say, check=_raising(hooks))
        for account in accounts:
            own = hooks._replace(say=_named(hooks.say, account.name))
            opened = _opened(account, folder, inputs, own, done, partial(notices.take, account.name))
            if isinstance(opened, Seated):
                seated[account.name] = opened
            else:
                runs.append(opened)
        notices.tell(hooks.say, len(accounts))
        _play(runs, inputs, workers, hooks)
    for run in runs:
        assert run.became is not None, "everybody has ended"
        seated[run.name] = Seated(run.name, run.became, run.folder, run.bars)
    return [seated[account.name] for account in accounts]


@contextmanager
def _abandoning(runs: Sequence[AccountRun]) -> Iterator[None]:
    """Let go of every account of ``runs`` that has not ended, where the whole of all ends with an error."""
    try:
        yield
    except BaseException as error:
        for run in runs:
            run.abandon(error)
        raise


class _Counted:
    """Bars of all accounts together, told as one number."""

    def __init__(self, hooks: RunHooks) -> None:
        self._hooks, self._by_name = hooks, dict[str, int]()
        self._all = 0

    def of(self, name: str, bars: int) -> None:
        """An account has done so many."""
        self._all += bars - self._by_name.get(name, 0)
        self._by_name[name] = bars
        self._hooks.on_bar(self._all)


class _Notices:
    """What is to be told of accounts before they are played; the same of many is told once."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}

    def take(self, name: str, text: str) -> None:
        """Keep it."""
        self._names.setdefault(text, []).append(name)

    def tell(self, say: Say, accounts: int) -> None:
        """Tell each text, with the accounts that it is of."""
        for text, names in self._names.items():
            say(f"{'all accounts' if len(names) == accounts > 1 else ', '.join(names)}: {text}")


def _opened(
    account: Account, folder: AccountsFolder, inputs: _Inputs, hooks: RunHooks, done: _Counted, notice: Say
) -> AccountRun | Seated:
    """The account's run, to be played on; or what became of it, where it is done or cannot be played."""
    try:
        plan = inputs.plan(account.config.model_copy(update={"runs": folder.path}), notice)
        if (before := folder.done(plan.inputs.run_id)) is not None:
            return Seated(account.name, Became("ended"), before)
        for text in plan.notices:
            notice(text)
        return AccountRun(account.name, plan, hooks._replace(on_bar=lambda bars: done.of(account.name, bars)))
    except TrigateError as error:
        return Seated(account.name, Became("failed", str(error), int(error.exit_code)), None)


def _play(runs: Sequence[AccountRun], inputs: _Inputs, workers: SharedWorkers, hooks: RunHooks) -> None:
    asking = [run for run in runs if run.asks]
    asked_of = workers.begin(asking) if asking else {}
    for run in runs:
        run.begin(inputs.views(run.plan), asked_of.get(run.name))
    manager = ServiceManager()
    with suppress(StopAskedError):  # each stops in the loop, as it is set to
        workers.open()
        manager.ready()
    go_round(runs, workers.desks, stop_asked=manager.looking(hooks.stop_asked), tend=workers.tend)
    manager.stopping()


def go_round(
    runs: Sequence[AccountRun],
    desks: Sequence[AnyDesk],
    *,
    stop_asked: Callable[[], bool] = lambda: False,
    tend: Callable[[], None] = lambda: None,
) -> None:
    """Go round the desks until every run has ended; ``tend`` is called at each round."""
    wait_s = 0.0
    while any(run.became is None for run in runs):
        if stop_asked():
            for run in runs:
                run.stop_waiting()
        wait_s = 0.0 if _turned(desks, wait_s) else LOOK_S
        tend()


def _turned(desks: Sequence[AnyDesk], wait_s: float) -> bool:
    """Whether anybody went on; an answer that is on its way is waited for, for at most ``wait_s``."""
    went_on = False
    for desk in desks:
        on_its_way = desk.asked
        for asker, answer in desk.turn(wait_s if on_its_way else 0.0):
            asker.take(answer)
            went_on = True
        if on_its_way or went_on:
            wait_s = 0.0
    time.sleep(wait_s)
    return went_on


def _named(say: Say, name: str) -> Say:
    return lambda text: say(f"{name}: {text}")


def _raising(hooks: RunHooks) -> Callable[[], None]:
    """Raises StopAskedError where a worker is waited for and the accounts should stop."""

    def check() -> None:
        if hooks.stop_asked():
            raise StopAskedError

    return check
