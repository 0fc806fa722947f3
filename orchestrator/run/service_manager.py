"""What a run tells the service manager that started it: systemd's notify protocol, a datagram for each word."""

import os
import socket
from collections.abc import Callable, Mapping
from time import monotonic

import structlog

from orchestrator.clock import Clock

log = structlog.get_logger(__name__)

STATUS_EVERY_S = 5.0


class ServiceManager:
    """Whoever listens at ``$NOTIFY_SOCKET``; nobody where it is not set. A socket that fails is told of once."""

    def __init__(self, environment: Mapping[str, str] = os.environ, clock: Clock = monotonic) -> None:
        """Nothing is sent yet; a watchdog that is meant for another process is left alone."""
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._watch_every_s = _watch_every_s(environment.get("WATCHDOG_USEC", "")) if mine else None
        self._clock, self._failed, self._ready, self._bars = clock, False, False, 0
        self._watched_s = self._status_s = clock()

    def ready(self) -> None:
        """The workers are ready, and bars are traded from now on; said once."""
        if not self._ready:
            self._send(f"READY=1\nSTATUS=playing after {self._bars} bars")
        self._ready = True

    def finished(self) -> None:
        """The loop ended by itself: a run that had nobody left to ask was ready all the same.

        A unit of Type=notify that leaves without READY has failed in the eyes of systemd.
        """
        self.ready()

    def looking(self, stop_asked: Callable[[], bool]) -> Callable[[], bool]:
        """``stop_asked``, which the loop calls before every bar and every look for one, as a sign of life, too.

        No thread sends it: a loop that hangs is silent.
        """

        def asked() -> bool:
            self._turned()
            return stop_asked()

        return asked if self._address else stop_asked

    def counting(self, on_bar: Callable[[int], None]) -> Callable[[int], None]:
        """``on_bar``, whose bars STATUS tells of."""

        def passed(bars: int) -> None:
            self._bars = bars
            on_bar(bars)

        return passed if self._address else on_bar

    def stopping(self) -> None:
        """The loop has ended, however it did."""
        self._send(f"STOPPING=1\nSTATUS=stopping after {self._bars} bars")

    def _turned(self) -> None:
        now_s = self._clock()
        if self._ready and self._watch_every_s is not None and now_s - self._watched_s >= self._watch_every_s:
            self._watched_s = now_s
            self._send("WATCHDOG=1")
        if now_s - self._status_s >= STATUS_EVERY_S:
            self._status_s = now_s
            self._send(f"STATUS={'playing' if self._ready else 'replaying'}, {self._bars} bars done")

    def _send(self, text: str) -> None:
        """Send or give up at once: nobody's reading may slow a run."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), self._address)
        except (OSError, ValueError) as error:
            if not self._failed:
                log.warning("notify_failed", cause=str(error))
            self._failed = True


def _watch_every_s(period_us: str) -> float | None:
    """Seconds from one sign of life to the next: four in a period, as systemd asks for two and a look may come late."""
    if not period_us:
        return None
    if not period_us.isdecimal() or int(period_us) == 0:
        log.warning("watchdog_ignored", cause=f"WATCHDOG_USEC is {period_us!r}, no number of microseconds above zero")
        return None
    return int(period_us) / 4e6
