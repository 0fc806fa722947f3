"""How a worker begins: ``python -m orchestrator.workers.launch MODULE``.

The imports of a worker take a part of a second; a parent that dies meanwhile takes it along. What it is to do it may be
told before, or only once it has imported.
"""

import gc
import runpy
import sys

from orchestrator.workers.death_watch import PARENT

if __name__ == "__main__":
    PARENT.die_with_parent()
    gc.disable()  # until it works: there is no garbage in what is imported, and looking for it is a tenth of the time
    # structlog draws with rich where it can, which no worker does, as its log is JSON.
    sys.modules["rich"] = None  # type: ignore[assignment]
    runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
