"""`make audit` tells packages with nothing against them from packages that nobody was asked about."""

import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[2] / ".ci"))
from audit import verdict

ROOT = Path(__file__).parents[2]
GOOD = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
WORSE = {"name": "worse", "version": "3.0", "vulns": [{"id": "CVE-2", "fix_versions": []}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


def test_packages_with_nothing_against_them_pass():
    assert verdict([GOOD]) == (0, "1 packages asked about, 0 known vulnerabilities.")


def test_a_vulnerability_is_named_with_the_version_that_mends_it():
    code, text = verdict([GOOD, BAD, WORSE])
    assert code == 1
    assert text.splitlines() == [
        "bad 2.0: CVE-1, mended in 2.1",
        "worse 3.0: CVE-2, mended in no version yet",
        "3 packages asked about, 2 known vulnerabilities.",
    ]


def test_without_a_database_nothing_was_audited_which_is_no_pass():
    # pip-audit itself says "No known vulnerabilities found" where every package was skipped
    for packages in ([], [UNKNOWN]):
        code, text = verdict(packages)
        assert code == 3
        assert text.startswith(f"Nothing was audited: the advisory database told of none of {len(packages)} packages.")


def test_a_package_that_the_database_does_not_know_is_named():
    code, text = verdict([GOOD, UNKNOWN])
    assert code == 0
    assert text.endswith("The database does not know unknown.")


def test_ci_audits_on_every_change_and_installs_a_postgresql_before_its_tests():
    jobs = yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8"))["jobs"]
    assert any("make audit" in step.get("run", "") for step in jobs["audit"]["steps"])
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert lines.index("bash .ci/postgres") < lines.index("make check")
