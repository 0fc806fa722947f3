"""What a dead child leaves behind becomes ours."""

import os
import subprocess
import sys

ORPHANED = r"""
import os, subprocess, sys, time
from trigate.process_control import adopt_orphans
adopt_orphans()
leaves_one = (
    "import subprocess, sys\n"
    "sleeper = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
    "print(subprocess.Popen(sleeper, stdout=subprocess.DEVNULL).pid)"
)
child = subprocess.Popen([sys.executable, "-c", leaves_one], stdout=subprocess.PIPE, text=True)
orphan = int(child.communicate()[0])
parent = int(open(f"/proc/{orphan}/stat").read().rpartition(")")[2].split()[1])
os.kill(orphan, 9)
os.waitpid(orphan, 0)
print(parent == os.getpid())
"""


def test_a_grandchild_whose_parent_died_becomes_our_child() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANED], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )

    assert (done.stdout.strip(), done.returncode) == ("True", 0), done.stderr
