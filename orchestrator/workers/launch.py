"""How a worker begins: ``python -m orchestrator.workers.launch MODULE``.

The imports of a worker take a second or two; a parent that dies meanwhile takes it along.
"""

import runpy
import sys

from orchestrator.workers.death_watch import PARENT

if __name__ == "__main__":
    PARENT.die_with_parent()
    runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
