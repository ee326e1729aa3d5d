"""The files of examples/cluster: Kubernetes' own schemas take the manifest, services refer to what
there is, polyreel takes each command line, and no secret stands in them.
"""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import typer
import yaml
from polyreel.cli.app import app
from polyreel.cli.commands import COMMANDS, Deferred
from polyreel.cli.gateway import gateway
from support.paths import ROOT

FOLDER: Final = ROOT / "examples" / "cluster"
COMPOSE: Final = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
MANIFEST: Final = [*yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8"))]
GATEWAY: Final = ROOT / "Containerfile"
IMAGE: Final = "registry.example.com/polyreel:1"


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload."""
    found: list[dict[str, Any]] = (
        document["spec"].get("template", {}).get("spec", {}).get("containers", [])
    )
    return found


def command_lines() -> Iterator[list[str]]:
    """Each command line of polyreel in the files, without its name."""
    for service in COMPOSE["services"].values():
        if "build" in service:
            yield service["command"]
            if "healthcheck" in service:
                yield service["healthcheck"]["test"][2:]
    for container in (one for document in MANIFEST for one in containers(document)):
        if container["image"] == IMAGE:
            yield container["args"]
            if "exec" in (probe := container["readinessProbe"]):
                yield probe["exec"]["command"][1:]
    text = (FOLDER / "Containerfile").read_text("utf-8")
    yield json.loads(re.findall(r"^CMD (.+)$", text, re.MULTILINE)[0])
    entry = json.loads(instructions(GATEWAY)["ENTRYPOINT"][0])[1:]
    page = (ROOT / "docs" / "gateway.md").read_text("utf-8").replace("\\\n", " ")
    run = re.findall(r"^\$ podman run .*? polyreel-gateway (.*)$", page, re.MULTILINE)
    assert len(run) == 2
    yield from ([*entry, *line.split()] for line in run)


def instructions(file: Path) -> dict[str, list[str]]:
    """What a file for a container says, by instruction, in its order."""
    found: dict[str, list[str]] = {}
    for line in file.read_text("utf-8").replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            found.setdefault(name, []).append(rest)
    return found


@pytest.mark.parametrize(
    "document", MANIFEST, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_kubernetes_takes_the_manifest(document: dict[str, Any]) -> None:
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(document, version, strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):  # it looks at what there is
        kubernetes_validate.validate({**document, "spek": {}}, version, strict=True)


def test_selectors_and_ports_meet() -> None:
    pods = {
        one["spec"]["template"]["metadata"]["labels"]["app"]: containers(one)
        for one in MANIFEST
        if containers(one)
    }
    for document in MANIFEST:
        spec = document["spec"]
        if document["kind"] == "Service":
            names = {port["name"] for one in pods[spec["selector"]["app"]] for port in one["ports"]}
            assert {port["targetPort"] for port in spec["ports"]} <= names
        else:
            assert spec["selector"]["matchLabels"]["app"] in pods


def test_services_of_compose_refer_to_what_there_is() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        assert ("image" in service) != ("build" in service)
        assert set(service.get("depends_on", {})) <= {
            name for name, one in services.items() if "healthcheck" in one
        }
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"]
        if "build" in service:
            assert (FOLDER / service["build"]["dockerfile"]).exists()
    assert services["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("line", [*command_lines()], ids=" ".join)
def test_polyreel_takes_the_command_line(line: list[str]) -> None:
    """As it would be parsed; nothing is run."""
    assert line[0] in COMMANDS
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    listed = Deferred(name=line[0], help=COMMANDS[line[0]].help)
    with listed.make_context(line[0], line[1:], parent=command.make_context("polyreel", [line[0]])):
        pass


def test_the_container_of_the_gateway_is_sound() -> None:
    """A fixed base, what is there, a user without rights, one port, and a query for its health."""
    found = instructions(GATEWAY)
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "VOLUME", "USER", "EXPOSE", "HEALTHCHECK"}
    assert found.keys() == {*known, "ENTRYPOINT"}
    (base,) = found["FROM"]
    assert re.fullmatch(r"docker\.io/library/python:3\.\d+-slim", base)
    for line in found["COPY"]:
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources)
    (extras,) = re.findall(r"/source\[(.*)\]", found["RUN"][0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {*extras.split(",")} <= project["optional-dependencies"].keys()
    assert "--no-cache-dir" in found["RUN"][0]
    assert found["USER"] == ["polyreel"]
    assert [*found][-3:] == ["EXPOSE", "HEALTHCHECK", "ENTRYPOINT"]
    (port,) = found["EXPOSE"]
    options = inspect.signature(gateway).parameters
    assert str(options["port"].default) == port
    check = json.loads(found["HEALTHCHECK"][0].partition("CMD ")[2])
    assert check[:2] == ["python", "-c"]
    compile(check[2], "check", "exec")
    assert f"http://127.0.0.1:{port}/healthz" in check[2]


def test_no_secret_stands_in_the_files() -> None:
    for path in FOLDER.iterdir():
        for line in path.read_text("utf-8").splitlines():
            if path.suffix == ".yaml" and re.search("PASSWORD|_API_KEY|postgresql://", line):
                assert (
                    "${" in line
                    or "key: POSTGRES_PASSWORD" in line
                    or line.strip() in {"- name: POSTGRES_PASSWORD"}
                    or line.startswith("#")
                ), line
