"""The Dockerfiles keep their promises; what only a build can show is seen in tests/e2e."""

import re
import tomllib
from pathlib import Path

import pytest

from agentjobs.contract import RUNNER_COMMAND
from agentjobs.settings import OperatorSettings

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
IMAGES = {"agentjobs-operator": "operator/Dockerfile", "agentjobs-runner": "runner_image/Dockerfile"}
PAGE = ROOT / "docs/how-to/build-your-own-image.md"


def instructions(image):
    """Each instruction as one line, comments left out."""
    text = (ROOT / IMAGES[image]).read_text("utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\\\n\s*", "", text).splitlines()


def last(image, word):
    return [line.removeprefix(word).strip() for line in instructions(image) if line.startswith(word + " ")][-1]


@pytest.fixture(params=IMAGES)
def image(request):
    return request.param


def test_every_stage_uses_the_base_image_of_the_build_argument(image):
    stages = [line.split()[1:] for line in instructions(image) if line.startswith("FROM")]
    named = {stage[2] for stage in stages if len(stage) == 3}

    assert "ARG BASE_IMAGE=python:3.11-slim" in instructions(image)
    assert {stage[0] for stage in stages} - named <= {"${BASE_IMAGE}", "${NODE_IMAGE}"}


def test_the_default_stage_is_the_runner_without_claude_code():
    stages = [line.split()[1:] for line in instructions("agentjobs-runner") if line.startswith("FROM")]

    assert stages[-1] == ["common", "AS", "runner"]
    assert ["common", "AS", "claude-code"] in stages


def test_the_user_is_a_number_that_the_kubelet_can_check(image):
    assert last(image, "USER") == "65532:65532"


def test_the_version_is_that_of_the_project(image):
    assert f"ARG VERSION={PROJECT['version']}" in instructions(image)
    assert 'org.opencontainers.image.version="${VERSION}"' in "\n".join(instructions(image))
    assert f'org.opencontainers.image.title="{image}"' in "\n".join(instructions(image))


def test_dependencies_come_from_the_constraints_and_an_extra_that_exists(image):
    installs = [line for line in instructions(image) if re.search(r"pip .* install .*\[", line)]
    extras = re.search(r"'\.\[([\w,]+)\]'", installs[0]).group(1).split(",")

    assert any("PIP_CONSTRAINT=/src/constraints.txt" in line for line in instructions(image))
    assert set(extras) <= PROJECT["optional-dependencies"].keys()


def test_a_dockerfile_contains_no_secret_and_no_private_registry(image):
    text = "\n".join(instructions(image))

    assert not re.search(r"password|token|secret|api_key|index-url|https?://|pip\.conf", text, re.IGNORECASE)


def test_a_build_sees_only_what_it_copies(image):
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    open_ = [line[1:] for line in ignored if line.startswith("!")]
    copied = [path for line in instructions(image) if re.match(r"COPY (?!--)", line) for path in line.split()[1:-1]]

    assert "*" in ignored
    assert set(copied) <= set(open_)
    assert all((ROOT / path).exists() for path in open_)


def test_no_image_contains_the_development_cluster():
    assert "devcluster" not in (ROOT / ".dockerignore").read_text("utf-8")


def test_the_runners_image_starts_what_the_operator_starts():
    assert last("agentjobs-runner", "CMD") == str(list(RUNNER_COMMAND)).replace("'", '"')


def test_jobs_that_name_no_image_run_in_the_one_of_this_version():
    assert OperatorSettings.model_fields["runner_image"].default.endswith(f"/runner:{PROJECT['version']}")


def test_the_documented_custom_image_is_based_on_this_version():
    runners = re.findall(r"ARG RUNNER=(\S+)", PAGE.read_text("utf-8"))

    # No image is published: the page builds on the reader's own, at the version that this tree makes.
    assert set(runners) == {f"registry.example.com/agentjobs/runner:{PROJECT['version']}"}
