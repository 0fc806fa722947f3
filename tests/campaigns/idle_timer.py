"""How late a process that only sleeps wakes up on this machine: the part of a latency that is not the gate's.

``python -m tests.campaigns.idle_timer`` sleeps 10 ms at a time until its standard input closes, then prints JSON.
"""

import json
import select
import sys
import time

STEP_S = 0.010


def main() -> None:
    """Sleep until told to stop, and print how late it woke."""
    late = [0.0]
    while True:
        due_s = time.perf_counter() + STEP_S
        if select.select([sys.stdin], [], [], STEP_S)[0]:
            break
        late.append(time.perf_counter() - due_s)
    late.sort()
    sys.stdout.write(json.dumps({"p99_s": late[len(late) * 99 // 100], "max_s": late[-1]}) + "\n")


if __name__ == "__main__":
    main()
