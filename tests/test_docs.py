"""The documentation says what is there."""

import argparse
import importlib
import importlib.util
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import run_in_process
from PIL import Image

from experiments import command
from experiments.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_api_reference_is_that_of_the_docstrings():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert make_api.PAGE.read_text() == make_api.page(), "run: python docs/make_api.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        path, _, heading = target.partition("#")
        if target.startswith("http"):
            continue
        assert not path or (page.parent / path).exists(), target
        if heading:
            lines = (page.parent / path if path else page).read_text().splitlines()
            titles = [line.lstrip("# ").lower() for line in lines if line.startswith("#")]
            assert heading in [re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles], target


def printed_commands(page):
    """The commands of a page, `python -m experiments.NAME …`, in the order in which they are printed."""
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.partition("python -m experiments.")[2] for line in lines if line.startswith("python -m experiments.")]


class Parsed(Exception):
    """What a command would do with its arguments is not to be done."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood_as_printed(page, tmp_path, monkeypatch):
    """Their flags exist and have values of the right type, configurations and their fields too."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    parse = argparse.ArgumentParser.parse_known_args

    def parse_and_stop(*arguments):
        raise Parsed(*parse(*arguments))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse_and_stop)
    for line in printed_commands(page):
        name, *argv = shlex.split(line, comments=True)
        with pytest.raises(Parsed) as parsed:
            importlib.import_module(f"experiments.{name}").main(argv)
        args, overrides = parsed.value.args
        if getattr(args, "config", None):
            command.read_config(args.config, [*overrides])
        else:
            assert not overrides, line


def test_every_command_is_in_the_readme():
    assert {line.split()[0] for line in printed_commands(ROOT / "README.md")} == set(COMMANDS)


@pytest.mark.slow
def test_commands_of_the_readme_run_as_printed(tiny_run, tmp_path, monkeypatch):
    """Those that work on the trained digits or on a shipped model, in order, with files of the names that are printed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny_run[0], "runs/digits")
    rng = np.random.default_rng(0)
    for name in ("mine.npz", "others.npz"):
        np.savez(name, images=rng.integers(0, 17, (6, 8, 8, 1)))
    Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save("face.png")
    Image.fromarray(np.uint8(255) * (np.arange(64).reshape(8, 8) < 40)).save("known.png")
    lines = [line for line in printed_commands(ROOT / "README.md") if re.search(r"--workdir=(runs/digits|\w+)( |$)", line)]
    assert len(lines) > 8
    for line in lines:
        name, *argv = shlex.split(line, comments=True)
        assert run_in_process(importlib.import_module(f"experiments.{name}").main, *argv) == 0, line
