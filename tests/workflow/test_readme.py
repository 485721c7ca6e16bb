"""README and docs do not promise what is not there: their links, their commands, their examples."""

import ast
import importlib.util
import re
import shlex
import subprocess
import sys

import pytest

from tests.workflow.checkout import ROOT
from workflow import plan as runs

GUIDES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "config/README.md")),
        *(ROOT / "results" / "published").glob("README.md"),
        *sorted((ROOT / "docs").glob("*.md")),
    ]
}
FENCED = re.compile(r"```.*?```", re.DOTALL)
COMMANDS = sorted(
    {
        line.split(" # ")[0].strip()
        for text in GUIDES.values()
        for line in re.findall(r"^ {4}(\S.*)$", FENCED.sub("", text), re.MULTILINE)
    }
)
TOOLS = (
    "cd",
    "dvc",
    "lint-imports",
    "make",
    "pip",
    "python",
    "python3.11",
    "ruff",
    "snakemake",
    ".",
    "--runs",
)
"""How documented commands begin; --runs goes on with the line above it."""
SNAKEMAKE = [command for command in COMMANDS if command.startswith("snakemake ")]
EXAMPLES = [code for text in GUIDES.values() for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
MOST_WORDS = 1200


def links(text):
    """Those that lead into the repository, without their anchors."""
    found = re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", text))
    return sorted({link.split("#")[0] for link in found if "://" not in link} - {""})


@pytest.mark.parametrize("guide", GUIDES)
def test_every_relative_link_leads_somewhere(guide):
    absent = [link for link in links(GUIDES[guide]) if not (ROOT / guide).parent.joinpath(link).exists()]
    assert not absent


@pytest.mark.parametrize("guide", GUIDES)
def test_every_anchor_is_a_heading_of_its_document(guide):
    for path, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", GUIDES[guide]):
        if "://" in path:
            continue
        text = (ROOT / guide).parent.joinpath(path).read_text() if path else GUIDES[guide]
        headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]


def test_every_guide_of_docs_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        waiting += [(path.parent / link).resolve() for link in links(path.read_text())]
    assert set((ROOT / "docs").glob("*.md")) <= reached


@pytest.mark.parametrize("command", SNAKEMAKE)
def test_every_snakemake_command_builds_its_workflow(command):
    """Without the executor of a cluster and without the report, which need what is not here."""
    arguments = shlex.split(command)[1:]
    for option in ("--profile", "--report"):
        if option in arguments:
            at = arguments.index(option)
            assert option != "--profile" or (ROOT / arguments[at + 1] / "profile.yaml").is_file()
            arguments[at : at + 2] = []
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments, "--dry-run", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_command_is_of_a_tool_that_these_tests_know():
    assert not [command for command in COMMANDS if command.split()[0] not in TOOLS]


def test_every_documented_module_can_be_run_and_every_file_that_it_is_given_is_there():
    named = {
        module for text in GUIDES.values() for module in re.findall(r"\bpython -m ((?:\w+\.)*\w+)", text)
    }
    assert {"analysis.blocks", "models.train", "workflow"} <= named
    for module in named:
        found = importlib.util.find_spec(module)
        assert found is not None, module
        assert not found.submodule_search_locations or importlib.util.find_spec(f"{module}.__main__"), module
    files = {
        path for command in COMMANDS for path in re.findall(r"\b(?:config|envs|tests)/[\w./-]+", command)
    }
    assert not [path for path in files if not (ROOT / path).exists()]


def test_every_make_target_is_one():
    makefile = (ROOT / "Makefile").read_text()
    targets = {
        command.split()[1] for command in COMMANDS if command.startswith("make ") and len(command.split()) > 1
    }
    assert {"figures", "test"} <= targets
    assert not [
        target for target in targets if not re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE)
    ]


def test_the_readme_is_read_in_five_minutes():
    words = [word for word in GUIDES["README.md"].split() if re.search(r"[^\W_]", word)]
    assert len(words) <= MOST_WORDS


def test_the_first_example_measures_a_model_in_twelve_lines():
    code = re.search(r"```python\n(.*?)```", GUIDES["README.md"], re.DOTALL)[1]
    assert len([line for line in code.splitlines() if line]) <= 12
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert re.fullmatch(r"\d+\.\d% of the loss, \+- \d+\.\d\n", done.stdout), done.stderr


def test_the_relaxed_example_takes_fifteen_lines_and_finds_gravity():
    code = next(example for example in EXAMPLES if "RECM(" in example)
    _, added = code.split("\nplaces = ")
    assert len([line for line in added.splitlines() if line]) <= 15
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alphas = ast.literal_eval(done.stdout)
    assert set(alphas) == {"0", "1"}
    assert max(abs(terms["b"]) for terms in alphas.values()) > 0.1


@pytest.mark.parametrize("guide", GUIDES)
def test_no_placeholder_is_left(guide):
    assert not re.search(r"\b[A-Z]+_[A-Z_]+\b", re.sub(r"(PARITY|REFERENCE)_DIR|C_G", "", GUIDES[guide]))


def test_runs_of_the_paper_stop_before_the_time_limit_of_their_job():
    plan = runs.load({"tier": "paper"})
    for run in plan.runs:
        limit = 60 * run.resources["runtime"]
        days, hours, minutes, seconds = map(int, run.settings["trainer"]["max_time"].split(":"))
        assert 0 < limit - (((days * 24 + hours) * 60 + minutes) * 60 + seconds) <= 3600
