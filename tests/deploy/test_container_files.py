"""The files for containers: nothing runs them here, so what can be read off them is checked, and that names agree."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    line.split(maxsplit=1)
    for line in DOCKERFILE.replace("\\\n", " ").splitlines()
    if line.strip() and not line.startswith("#")
]


def told(instruction):
    """What follows an instruction, each time it is used."""
    return [rest for name, rest in INSTRUCTIONS if name == instruction]


def manifests(name):
    return [part for part in yaml.safe_load_all((ROOT / name).read_text(encoding="utf-8")) if part]


def container():
    (deployment,) = [part for part in manifests("deploy/kubernetes.yaml") if part["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def test_the_image_installs_extras_that_exist_and_none_that_trains():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (named,) = re.findall(r'pip install .*"\.\[([\w,]+)\]"', DOCKERFILE)
    assert set(named.split(",")) <= extras.keys()
    assert not {"train", "all", "dev", "export"} & set(named.split(","))


def test_the_image_runs_as_a_user_of_its_own_and_says_when_it_is_ready():
    assert told("USER") == ["distilrec"]
    assert "/health/ready" in told("HEALTHCHECK")[0]
    assert '"serve", "/model"' in told("ENTRYPOINT")[0]


def test_only_what_is_copied_reaches_the_build():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for rest in told("COPY") if "--from" not in rest for word in rest.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_images_have_versions():
    images = [service["image"] for service in manifests("compose.yaml")[0]["services"].values() if "image" in service]
    images += [rest.split()[0] for rest in told("FROM")] + [container()[1]["image"]]
    assert all(re.search(r":v?\d", image) for image in images), images


def test_compose_has_no_password_and_publishes_on_this_machine_alone():
    services = manifests("compose.yaml")[0]["services"]
    passwords = [
        value for one in services.values() for name, value in one.get("environment", {}).items() if "PASS" in name
    ]
    assert len(passwords) == 2
    assert all(value.startswith("${") for value in passwords)
    ports = [port for one in services.values() for port in one.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", ["server", "prometheus"])
def test_what_compose_mounts_from_the_repository_exists(name):
    mounted = [volume.split(":")[0] for volume in manifests("compose.yaml")[0]["services"][name]["volumes"]]
    assert all((ROOT / path).exists() for path in mounted if path.startswith("./"))


def test_kubernetes_probes_ask_where_the_server_answers_and_nothing_is_root():
    pod, server = container()
    asked = {name: server[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert asked == {
        "startupProbe": "/health/ready",
        "readinessProbe": "/health/ready",
        "livenessProbe": "/health/live",
    }
    assert pod["securityContext"]["runAsNonRoot"]
    assert f"--uid {pod['securityContext']['runAsUser']} " in DOCKERFILE
    assert not server["securityContext"]["allowPrivilegeEscalation"]


def test_every_mounted_volume_is_there():
    pod, server = container()
    assert {mount["name"] for mount in server["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
