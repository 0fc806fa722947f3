"""The feed in docs/feeds.md is one: what it holds comes to a run, row by row."""

import re
import threading
from pathlib import Path
from typing import Any

from orchestrator.messaging.sockets import FeedServer
from orchestrator.run.fed_rows import FedRows

PAGE = Path(__file__).parents[3] / "docs" / "feeds.md"


def test_the_feed_of_the_page_gives_its_rows_each_once() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, str(PAGE), "exec", dont_inherit=True), names)
    free = FeedServer(0)
    address = free.address
    free.close()
    own = names["OwnFeed"](int(address.rpartition(":")[2]))
    own.rows += [f"row {number}" for number in range(1, 701)]
    told, got, over = list[str](), list[bytes](), threading.Event()

    def serve() -> None:
        while not over.is_set():
            own.answer(20)

    thread = threading.Thread(target=serve)
    thread.start()
    rows = FedRows(address, told.append, moment_s=10.0)
    while len(got) < 701:
        got += rows.read().lines
    own.rows.append("row 701")
    while len(got) < 702:
        got += rows.read().lines
    over.set()
    thread.join()
    rows.close()
    own.socket.close(linger=0)

    assert got == [b"datetime,open,high,low,close,volume", *(f"row {n}".encode() for n in range(1, 702))]
    assert told == []
