"""What all tests share: one thread, so that results do not depend on the cores, and no clock on property tests."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads a numerical library

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine is no failure
settings.load_profile("unhurried")
