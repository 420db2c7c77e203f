"""Ask the advisory database about every package of constraints.txt: python .ci/audit.py

pip-audit lives in a virtual environment of its own, `build/audit`. Exit code 0: nothing is known against them; 1:
something is; 3: nobody could be asked, so nothing is known at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_PIP_AUDIT = "pip-audit==2.10.1"
_FOUND, _NOBODY_ASKED = 1, 3


def main() -> int:
    """Ask, print what came, and return the exit code."""
    folder, found = ROOT / "build" / "audit", ROOT / "build" / "audit.json"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", _PIP_AUDIT], check=True)
    found.unlink(missing_ok=True)
    options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--output", str(found)]
    asked = [str(python), "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt"), *options]
    # Its exit code 1 is both "found something" and "could not ask", and it takes a skipped package for a good one
    said = subprocess.run(asked, check=False, capture_output=True, text=True).stderr
    if not found.exists():
        print(said)
    packages = json.loads(found.read_text(encoding="utf-8"))["dependencies"] if found.exists() else []
    code, text = verdict(packages)
    print(text)
    return code


def verdict(packages: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """The exit code, and what to tell, of pip-audit's list of packages; empty where it did not finish."""
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        return _NOBODY_ASKED, (
            f"Nothing was audited: the advisory database told of none of {len(packages)} packages. "
            "It is at PyPI; run this where there is a network to it."
        )
    lines = [_line(package, bad) for package in packages for bad in package.get("vulns", [])]
    lines.append(f"{len(packages) - len(skipped)} packages asked about, {len(lines)} known vulnerabilities.")
    if skipped:
        lines.append(f"The database does not know {', '.join(skipped)}.")
    return (_FOUND if len(lines) > 1 + bool(skipped) else 0), "\n".join(lines)


def _line(package: Mapping[str, Any], bad: Mapping[str, Any]) -> str:
    mended = ", ".join(bad["fix_versions"]) or "no version yet"
    return f"{package['name']} {package['version']}: {bad['id']}, mended in {mended}"


if __name__ == "__main__":
    sys.exit(main())
