"""`agentjobs dev` for a user: one command, its exit status, and no process left behind."""

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

import httpx
import psutil
import pytest

COMMAND = [sys.executable, "-c", "from agentjobs.cli import main; main()", "dev"]
SHOW = """
import os, sys, yaml
config = yaml.safe_load(open(os.environ["KUBECONFIG"]))
cluster = config["clusters"][0]["cluster"]
print(cluster["server"], cluster["extensions"][0]["extension"]["url"], "key" if "GOOGLE_API_KEY" in os.environ else "")
sys.exit(7)
"""
TALK = "import time; print('running', flush=True); time.sleep(60)"


@pytest.fixture
def dev(backend, tmp_path):
    """Start `agentjobs dev` with arguments, in an environment of its own."""

    async def start(*arguments, **environ):
        own = {"AGENTJOBS_DEV_FOLDER": str(tmp_path / "dev"), "AGENTJOBS_DEV_APISERVER": backend}
        return await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            env={**os.environ, **own, **environ},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    return start


async def eventually(check):
    for _ in range(3000):
        if check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("did not happen in a minute")


def alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words_of(process):
    """Its command line; connections of PostgreSQL are processes too, and may end at any moment."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


async def test_a_command_gets_the_kubeconfig_and_its_exit_status_is_returned(dev):
    process = await dev("--", sys.executable, "-c", SHOW)

    out, error = await process.communicate()

    assert process.returncode == 7, error.decode()
    server, gateway = out.decode().split()
    assert server.startswith("https://")
    assert gateway.startswith("https://127.0.0.1:")


@pytest.mark.alone("its node would stay in the cluster for ten minutes; test_shared looks at what is left")
async def test_a_killed_session_leaves_no_processes(dev):
    process = await dev("--", sys.executable, "-c", TALK)
    await process.stdout.readline()
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    await process.communicate()

    assert len(family) > 5
    for member in family:
        await eventually(lambda member=member: not alive(member))


async def greeting(process):
    """What it says when it is ready; it is stopped then."""
    said = ""
    while "Ctrl-C" not in said and (line := await process.stdout.readline()):
        said += line.decode()
    is_ready = "Ctrl-C" in said
    if is_ready:
        process.send_signal(signal.SIGINT)
    _, error = await process.communicate()
    assert is_ready, error.decode()
    return said


async def test_the_output_names_the_keys_of_the_model_proxy_and_shows_none(dev):
    process = await dev(GOOGLE_API_KEY="very-secret", OPENAI_BASE_URL="http://localhost:11434/v1")

    said = " ".join((await greeting(process)).split())

    assert "GOOGLE_API_KEY, OPENAI_BASE_URL, which no pod gets" in said
    assert "very-secret" not in said


async def test_the_printed_link_signs_in_one_browser_to_the_dashboard(dev):
    process = await dev()
    while "/sign-in/link/" not in (line := (await process.stdout.readline()).decode()):
        assert line

    async with httpx.AsyncClient(trust_env=False) as http, httpx.AsyncClient(trust_env=False) as another:
        first, again = await http.get(line.strip()), await http.get(line.strip())
        page, elsewhere = await http.get(str(first.url.join("/"))), await another.get(line.strip())
    process.send_signal(signal.SIGINT)
    await process.communicate()

    assert (first.status_code, again.status_code, page.status_code, elsewhere.status_code) == (200, 200, 200, 403)
    assert process.returncode == 0


async def test_a_models_file_replaces_keys_in_the_environment(dev, tmp_path):
    (tmp_path / "models.yaml").write_text("providers: [{name: vllm, kind: OpenAI, baseUrl: 'http://127.0.0.1:9/v1'}]")
    process = await dev(GOOGLE_API_KEY="very-secret", AGENTJOBS_MODELS_FILE=str(tmp_path / "models.yaml"))

    said = " ".join((await greeting(process)).split())

    assert f"from {tmp_path}/models.yaml" in said
    assert "GOOGLE_API_KEY" not in said


async def test_an_invalid_models_file_is_refused_with_its_lines_before_anything_starts(dev, tmp_path):
    (tmp_path / "models.yaml").write_text("providers:\n  - name: vllm\n    kind: openai\n")
    process = await dev(AGENTJOBS_MODELS_FILE=str(tmp_path / "models.yaml"))

    _, error = await process.communicate()

    assert process.returncode == 2
    assert f"{tmp_path}/models.yaml:3: providers[0].kind" in error.decode()
    assert not (tmp_path / "dev").exists()


async def test_the_output_names_features_that_the_api_server_lacks(dev, backend):
    process = await dev()

    said = await greeting(process)

    assert ("webhooks" in said) == (backend == "embedded")
    assert "exec, attach, port-forward" in said
    assert process.returncode == 0


async def test_a_process_that_crashes_ends_the_session_and_is_named(dev):
    process = await dev("--", sys.executable, "-c", TALK)
    await process.stdout.readline()
    family = psutil.Process(process.pid).children(recursive=True)
    gateway = next(member for member in family if "gateway" in words_of(member))
    gateway.send_signal(signal.SIGKILL)

    _, error = await process.communicate()

    assert process.returncode == 1
    assert "gateway was ended by SIGKILL; the end of" in error.decode()
    assert not any(alive(member) for member in family)


async def test_a_database_that_cannot_start_is_reported_without_a_traceback(dev):
    with tempfile.TemporaryDirectory(prefix="agentjobs-test-") as folder:
        Path(folder).chmod(0o755)  # or a server that is not root's lies elsewhere
        data = Path(folder) / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("9\n")
        process = await dev(AGENTJOBS_DEV_FOLDER=folder)
        _, error = await process.communicate()

    assert process.returncode == 1
    assert error.decode().startswith(f"agentjobs dev: {data} is of PostgreSQL 9")
    assert "Traceback" not in error.decode()


async def test_a_missing_command_has_the_exit_status_of_a_shell(dev):
    process = await dev("--", "no-such-command")

    _, error = await process.communicate()

    assert process.returncode == 127
    assert b"cannot run 'no-such-command'" in error


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        pytest.param(["--apiserver=minikube"], {}, id="option"),
        pytest.param([], {"AGENTJOBS_DEV_APISERVER": "minikube"}, id="variable"),
    ],
)
async def test_an_unknown_api_server_is_refused_with_the_choices(dev, arguments, environ):
    process = await dev(*arguments, **environ)

    _, error = await process.communicate()

    assert process.returncode == 2
    assert b"--apiserver=minikube (AGENTJOBS_DEV_APISERVER): use one of embedded, envtest" in error
