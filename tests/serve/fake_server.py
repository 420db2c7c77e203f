"""A server of its own process around a fake model: python fake_server.py FOLDER SETTINGS-AS-JSON."""

import sys
from pathlib import Path

from distilrec.serve.settings import ServeSettings
from distilrec.serve.start import start


def load(folder, threads):
    """Like any model: read in the worker, which loads nothing before it is one."""
    from fakes import FakeModel

    return FakeModel.load(folder, threads)


if __name__ == "__main__":
    sys.exit(start(Path(sys.argv[1]), ServeSettings.model_validate_json(sys.argv[2]), load))
