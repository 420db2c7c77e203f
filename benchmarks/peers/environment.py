"""A virtual environment for each peer, so that its pins cannot hurt ours; we speak with it through files.

Run: python benchmarks/peers/environment.py recbole rectools ranx --folder runs/peers/venvs

`NAME.txt` beside this file pins all that a peer needs. They are installed as they stand, without working out
dependencies: RecBole asks for versions of ray and numpy that do not go with a present torch, and needs neither for what
we ask of it.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = Path("runs/peers/venvs")


def pins(name: str) -> Path:
    """The file of a peer's pins."""
    path = HERE / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in HERE.glob("*.txt")))
        raise SystemExit(f"peer {name!r} is unknown; choose from {known}")
    return path


def python_of(name: str, folder: Path = FOLDER) -> Path:
    """The peer's Python, whose environment is made where it is not there or was made of other pins."""
    wanted, place = pins(name), folder / name
    stamp, digest = place / "pins.sha256", hashlib.sha256(wanted.read_bytes()).hexdigest()
    python = place / "bin" / "python"
    if not stamp.is_file() or stamp.read_text() != digest:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", "--no-deps", "-r", str(wanted)], check=True)
        stamp.write_text(digest)
    return python


def main() -> None:
    """Make environments and print where their Pythons lie."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="+")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    for name in arguments.peers:
        print(python_of(name, arguments.folder))


if __name__ == "__main__":
    main()
