import sys

import pytest

AGENT = 'from google.adk.agents import LlmAgent\nroot_agent = LlmAgent(name="root", model="m")\n'
APP = "from google.adk.apps.app import App\nfrom google.adk.agents import LlmAgent\n"
APP += 'app = App(name="whole", root_agent=LlmAgent(name="inner", model="m"))\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`folder(**{"agent.py": …})` makes a package `some_agent` as `adk create` does."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(**files):
        (tmp_path / "some_agent").mkdir()
        for name, text in files.items():
            (tmp_path / "some_agent" / name).write_text(text)
        return "some_agent"

    yield make
    for name in [name for name in sys.modules if name.startswith("some_agent")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("files", "author"),
    [
        ({"__init__.py": "from . import agent\n", "agent.py": AGENT}, "root"),
        ({"__init__.py": "", "agent.py": AGENT}, "root"),
        ({"agent.py": AGENT}, "root"),
        ({"__init__.py": AGENT}, "root"),
        ({"__init__.py": "", "agent.py": AGENT + APP}, "inner"),
        ({"__init__.py": "app = object()\n", "agent.py": "app = 3\n" + AGENT}, "root"),
    ],
    ids=["adk-create", "empty-package", "no-package-file", "in-the-package", "app-before-agent", "app-of-another-kind"],
)
async def test_a_folder_is_found_by_adks_rule(run, timeline, folder, files, author):
    agent = {"model": "scripted/script/main", "module": {"ref": folder(**files)}}

    ending = await run([{"text": "hi"}], agent=agent)

    assert ending.result["text"] == "hi"
    assert timeline.entries[0][1] == author


async def test_the_error_for_a_folder_without_an_agent_lists_the_searched_files(run, folder):
    ending = await run(agent={"model": "m", "module": {"ref": folder(**{"__init__.py": "", "agent.py": "x = 1\n"})}})

    assert ending.reason == "ModuleNotFound"
    assert "'some_agent.agent' (" in ending.message
    assert "it has: x" in ending.message


FACTORIES = """
from google.adk.agents import LlmAgent
agent = LlmAgent(name="a", model="scripted/script/main")
def make(mood, *, loud=False):
    return LlmAgent(name=mood, model="scripted/script/main", description=str(loud))
async def make_later(mood):
    return make(mood)
async def fail_later(mood):
    return mood + 1
"""


@pytest.mark.parametrize("attribute", ["make", "make_later"])
async def test_a_factory_gets_its_arguments(run, timeline, module, attribute):
    agent = {"module": {"ref": f"{module(FACTORIES)}:{attribute}", "args": {"mood": "cheerful"}}}

    ending = await run([{"text": "hi"}], agent=agent)

    assert (ending.verdict, timeline.entries[0][1]) == ("Succeed", "cheerful")


@pytest.mark.parametrize(
    ("attribute", "args", "said"),
    [
        ("make", {"tempo": 1}, "called with tempo: make()"),
        ("make_later", {}, "without arguments"),
        ("agent", {"mood": "x"}, "agent.module.args: 'given:agent' is a LlmAgent"),
    ],
    ids=["unknown", "missing", "no-factory"],
)
async def test_arguments_that_do_not_fit_are_invalid(run, module, attribute, args, said):
    ending = await run(agent={"module": {"ref": f"{module(FACTORIES)}:{attribute}", "args": args}})

    assert (ending.verdict, ending.reason) == ("Fail", "ConfigInvalid")
    assert said in ending.message


async def test_an_error_inside_an_async_factory_is_an_agent_error(run, module):
    ending = await run(agent={"module": {"ref": f"{module(FACTORIES)}:fail_later", "args": {"mood": "x"}}})
    assert (ending.verdict, ending.reason) == ("Retry", "AgentError")


async def test_the_error_for_a_package_without_an_agent_lists_its_modules(run, tmp_path, monkeypatch):
    (tmp_path / "shop_without_init").mkdir()
    for name in ("weather", "greeter", "_own"):
        (tmp_path / "shop_without_init" / f"{name}.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))

    ending = await run(agent={"module": {"ref": "shop_without_init.whether:agent"}})

    assert ending.reason == "ModuleNotFound"
    assert "'whether'" in ending.message
    assert ending.message.endswith(": greeter, weather")


NEARLY = {
    "coroutine": ("async def create(): ...\nroot_agent = create()\n", "some_agent:create"),
    "tuple": ("root_agent = (object(), None)\n", "is a tuple of 2"),
    "settings": (
        "import pydantic\nclass Settings(pydantic.BaseModel):\n    url: str\nSettings()\n",
        "url: Field required (some_agent/__init__.py:4)",
    ),
    "asyncio-run": (
        "import asyncio\nasync def f(): ...\nc = f()\ntry: asyncio.run(c)\nfinally: c.close()\n",
        "event loop",
    ),
    "refused": ("from google.adk.agents import LlmAgent\nroot_agent = LlmAgent(name='no name')\n", "that ADK rejects"),
}


@pytest.mark.parametrize(("text", "said"), NEARLY.values(), ids=NEARLY)
async def test_a_mistyped_reference_fails_immediately_with_a_suggestion(run, folder, text, said):
    ending = await run(agent={"model": "m", "module": {"ref": folder(**{"__init__.py": text})}})

    assert (ending.verdict.value, ending.reason) == ("Fail", "ConfigInvalid")
    assert said in ending.message


async def test_a_reference_with_a_dot_instead_of_a_colon_gets_a_suggestion(run, folder):
    name = folder(**{"__init__.py": "", "agent.py": AGENT})
    ending = await run(agent={"model": "m", "module": {"ref": f"{name}.agent.root_agent"}})

    assert ending.reason == "ModuleNotFound"
    assert "use some_agent.agent:root_agent" in ending.message


async def test_a_missing_module_of_the_user_is_reported_with_the_line(run, folder):
    name = folder(**{"__init__.py": "", "agent.py": "\nimport some_agent.schemas\n"})
    ending = await run(agent={"model": "m", "module": {"ref": f"{name}.agent"}})

    assert ending.reason == "ModuleNotFound"
    assert "'some_agent.schemas' (some_agent/agent.py:2)" in ending.message


TOOL = "tools:\n  - name: some_agent.tools.roll\n"
WRITTEN = "name: root\nmodel: scripted/script/main\ninstruction: Work.\n"
TEAM = """agent_class: SequentialAgent
name: root
sub_agents:
  - config_path: first.yaml
  - config_path: second.yaml
"""


@pytest.mark.parametrize(
    "files",
    [
        {"__init__.py": "", "root_agent.yaml": WRITTEN},
        {"root_agent.yaml": WRITTEN},
        {
            "root_agent.yaml": WRITTEN + "tools:\n  - name: some_agent.tools.roll\n",
            "tools.py": "def roll(): return 4\n",
        },
        {
            "root_agent.yaml": TEAM,
            "first.yaml": WRITTEN.replace("root", "a"),
            "second.yaml": WRITTEN.replace("root", "b"),
        },
    ],
    ids=["adk-create", "no-package-file", "with-a-tool", "team"],
)
async def test_an_agent_defined_by_yaml_in_its_folder_runs(run, folder, files):
    ending = await run([{"text": "hi"}, {"text": "hi"}], agent={"module": {"ref": folder(**files)}})

    assert ending.result is not None, ending
    assert ending.result["text"] == "hi"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a list", "ConfigInvalid"),
        ("name: [", "ConfigInvalid"),
        ("name: root\nmodle: x\n", "ConfigInvalid"),
        ("agent_class: Robot\nname: root\n", "ConfigInvalid"),
        (WRITTEN + "tools:\n  - name: nowhere.roll\n", "ModuleNotFound"),
        (WRITTEN + "sub_agents:\n  - config_path: missing.yaml\n", "ConfigInvalid"),
    ],
    ids=["list", "not-yaml", "unknown-key", "unknown-class", "unknown-tool", "missing-file"],
)
async def test_a_folder_that_adk_refuses_fails_immediately_and_names_its_file(run, folder, text, reason):
    ending = await run(agent={"module": {"ref": folder(**{"root_agent.yaml": text})}})

    assert (ending.verdict, ending.reason) == ("Fail", reason)
    assert "root_agent.yaml" in ending.message


SETTINGS = """
import pydantic_settings
from google.adk.agents import LlmAgent
class Settings(pydantic_settings.BaseSettings):
    shop_url: str
def make():
    return LlmAgent(name="a", model="m", description=Settings().shop_url)
"""


async def test_a_settings_error_in_a_factory_is_not_reported_as_an_invalid_agent(run, folder):
    ending = await run(agent={"model": "m", "module": {"ref": f"{folder(**{'__init__.py': SETTINGS})}:make"}})

    assert ending.reason == "ConfigInvalid"
    assert "shop_url: Field required (some_agent/__init__.py:7)" in ending.message
    assert "runtime.env" in ending.message


GRAPH = """
from google.adk.workflow import START, Workflow
def {node}(node_input): return "done"
agent = Workflow(name="orders", edges=[(START, {node})])
"""
NESTED = """
from google.adk.workflow import START, Workflow
def orders(node_input): return "done"
agent = Workflow(name="orders", edges=[(START, Workflow(name="inner", edges=[(START, orders)]))])
"""


@pytest.mark.parametrize("text", [GRAPH.format(node="orders"), NESTED], ids=["node", "node-of-an-inner-graph"])
async def test_a_graph_with_a_node_of_its_own_name_is_invalid_before_it_runs(run, module, text):
    ending = await run(agent={"module": {"ref": f"{module(text)}:agent"}})

    assert (ending.verdict, ending.reason) == ("Fail", "ConfigInvalid")
    assert "'orders'" in ending.message


async def test_a_graph_whose_nodes_have_other_names_runs(run, module):
    ending = await run(agent={"module": {"ref": f"{module(GRAPH.format(node='ship'))}:agent"}})

    assert ending.result["text"] == "done"
