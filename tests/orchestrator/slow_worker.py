"""A module whose import takes far longer than any other."""

import time

time.sleep(600)
