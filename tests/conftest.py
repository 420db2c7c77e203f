"""What all tests share: one thread, so that results do not depend on the machine's cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads a numerical library
