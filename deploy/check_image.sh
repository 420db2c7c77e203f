#!/usr/bin/env bash
# The image's steps without a container engine: installs what the Dockerfile installs into a new virtual environment, and
# looks at what is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
place=build/image
packages=$(sed -n 's/.*pip install .* "\(\.\[.*\]\)"$/\1/p' Dockerfile)
rm -rf "$place"
"${PYTHON:-python3}" -m venv "$place"
"$place/bin/pip" --disable-pip-version-check install --quiet --constraint constraints.txt "$packages"
"$place/bin/python" - <<'CHECK'
import importlib.util
import pathlib
import sys

heavy = [name for name in ("torch", "transformers", "ray", "accelerate") if importlib.util.find_spec(name)]
if heavy:
    sys.exit(f"the image would hold {', '.join(heavy)}")
size = sum(path.stat().st_size for path in pathlib.Path(sys.prefix).rglob("*") if path.is_file())
print(f"no torch, transformers or ray; {size / 2**20:.0f} MiB of packages beside Python itself")
CHECK
"$place/bin/distilrec" serve --help > /dev/null
echo "distilrec serve starts"
