"""The documentation says what is there."""

import argparse
import csv
import importlib
import re
import runpy
import shlex
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import LAYERS, make_model, run_in_process
from flax import traverse_util
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import configuration
from pixel_rnn_jax.cli.__main__ import COMMANDS
from pixel_rnn_jax.storage.load import shipped_models
from pixel_rnn_jax.training.metrics import read_metrics

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_has_what_the_package_offers():
    entries = re.findall(r"^::: pixel_rnn_jax\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert sorted(entries) == sorted(prnn.__all__)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    """In the plain files; `make docs` checks those of the site."""
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


def test_the_readme_is_short_and_links_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    targets = set(re.findall(r"\]\(([^)#\s]+)", text))
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} | {"CONTRIBUTING.md", "CHANGELOG.md"} <= targets


def test_the_guide_names_every_command_and_shipped_model():
    names = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "guide.md").read_text()))
    assert {*COMMANDS, *shipped_models()} <= names


def printed_commands(page):
    """The commands of a page in their order, `pixel-rnn NAME …` or `python -m experiments.NAME …`, also within the text."""
    text = page.read_text().replace("\\\n", " ")
    start = r"(?:pixel-rnn |python -m experiments\.)"
    commands = re.findall(rf"^{start}(.*)$|`{start}([^`]*)`", text, re.MULTILINE)
    lines = [block or inline for block, inline in commands]
    return [line for line in lines if not re.search(r"…|\.\.\.|^NAME$", line)]


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
        plugins = [argument for argument in argv if argument.startswith("--plugin=")]
        assert all((ROOT / plugin.partition("=")[2]).is_file() for plugin in plugins)
        argv = [argument for argument in argv if argument not in plugins]
        with pytest.raises(Parsed) as parsed:
            importlib.import_module(f"pixel_rnn_jax.cli.{name}").main(argv)
        args, overrides = parsed.value.args
        if getattr(args, "config", None):
            configuration.read_config(args.config, [*overrides])
        else:
            assert not overrides, line


def test_every_command_is_printed():
    assert {line.split()[0] for page in PAGES for line in printed_commands(page)} == set(COMMANDS)


@pytest.fixture
def named_files(tiny_run, tmp_path, monkeypatch):
    """A current folder with what the printed commands and code name, but for the runs that they train themselves."""
    monkeypatch.chdir(tmp_path)
    for folder in ("experiments", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    shutil.copytree(tiny_run[0], "runs/digits")
    rng = np.random.default_rng(0)
    digits = {"images": rng.integers(0, 17, (6, 8, 8, 1), np.uint8)}
    colours = {"train": rng.integers(0, 256, (16, 8, 8, 3), np.uint8)}
    np.savez("mine.npz", **digits, **colours)
    np.savez("others.npz", **digits)
    np.savez("pairs.npz", train_context=rng.integers(0, 256, (16, 4, 4, 1), np.uint8), **colours)
    Path("pictures").mkdir()
    Path("scans").mkdir()
    for name in ("photo.png", *(f"pictures/{number}.png" for number in range(20))):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(name)
    for number in range(20):
        Image.fromarray(rng.integers(0, 4096, (8, 8), np.uint16)).save(f"scans/{number}.tif")
    Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save("face.png")
    Image.fromarray(np.uint8(255) * (np.arange(64).reshape(8, 8) < 40)).save("known.png")


SHORT = {"num_steps": 2, "eval_every": 1, "sample_every": 0, "batch_size": 8}


def run_as_printed(line, short=SHORT):
    """Runs a command, a training for two steps only."""
    name, *argv = shlex.split(line, comments=True)
    short = [f"--config.{name}={value}" for name, value in short.items()] if re.match("train .*--config=", line) else []
    assert run_in_process(importlib.import_module(f"pixel_rnn_jax.cli.{name}").main, *argv, *short) == 0, line


NOT_RUN = {
    "trains or scores on a data set that is not here": (
        r"^(train|baselines) --config=(cifar|imagenet|mnist)\w+(?!.*data\.source=(folder|npz):)"
        r"|^(evaluate|complete|compress|score) --workdir=(mnist|cifar)_\w+(?!.*--input)"
    ),
    "uses a model of such a data set": r"--workdir=runs/(colorize|mnist)",
    "measures for minutes": r"^benchmark",
    "waits for visitors": r"^demo",
    "trains ten models": r"^ablation",
}


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "tutorial.md"], ids=lambda page: page.name)
def test_commands_run_as_printed(page, named_files):
    """In their order, all but those which `NOT_RUN` describes."""
    for line in printed_commands(page):
        if not any(re.search(pattern, line) for pattern in NOT_RUN.values()):
            run_as_printed(line)


def test_few_kinds_of_commands_are_not_run():
    lines = [line for page in PAGES for line in printed_commands(page)]
    run = {line.split()[0] for line in lines if not any(re.search(pattern, line) for pattern in NOT_RUN.values())}
    assert run == set(COMMANDS) - {"benchmark", "ablation", "demo"}


def python_blocks(page):
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_python_of_the_readme_runs_as_printed():
    (block,) = python_blocks(ROOT / "README.md")
    exec(block, names := {})
    np.testing.assert_array_equal(names["again"], names["images"])


@pytest.mark.slow
def test_python_of_the_guide_runs_as_printed(named_files):
    using, pictures, making, training = python_blocks(ROOT / "docs" / "guide.md")
    exec(using, names := {})
    np.testing.assert_array_equal(names["again"], names["images"])
    exec(pictures, names)
    assert names["names"] == ["7"] * 4
    exec(making, names)
    assert names["logits"].shape == (1, 28, 28, 1, 2)
    exec(training, names)
    assert -prnn.log_prob(names["model"], names["params"], names["images"]).mean() < names["nats"]


def test_python_of_the_formats_reads_weights_without_this_package(tiny_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_file, "mine.safetensors")
    (block,) = python_blocks(ROOT / "docs" / "formats.md")
    assert "pixel_rnn_jax import" not in block and "import pixel_rnn_jax" not in block
    exec(block, names := {})
    params = traverse_util.flatten_dict(prnn.load("mine.safetensors")[1], sep="/")
    assert names["params"].keys() == params.keys()
    jax.tree.map(np.testing.assert_array_equal, names["params"], params)
    assert names["run"]["card"]["images"] == "8x8 pixels, 1 channel, 17 levels"


FORMATS = (ROOT / "docs" / "formats.md").read_text()


@pytest.mark.parametrize("layer", LAYERS)
def test_the_formats_name_the_parameters(layer):
    """Each last but one part of a name, such as `input_to_state`, and the stacked layers' names."""
    for path in traverse_util.flatten_dict(make_model(layer, num_classes=2)[1]):
        name = path[-2] if path[-1] in ("kernel", "bias") else path[-1]
        assert re.search(rf"[`/]{name}[`/]", FORMATS), path


def test_the_formats_name_the_metrics(tiny_run):
    fields = {name for row in read_metrics(tiny_run[0]) for name in row}
    assert fields <= set(re.findall(r"`(\w+)`", FORMATS))


@pytest.mark.slow
def test_python_of_conditional_models_runs_as_printed():
    (block,) = python_blocks(ROOT / "docs" / "conditional.md")
    exec(block, names := {})
    np.testing.assert_array_equal(names["again"], names["drawn"])


@pytest.mark.slow
def test_the_tutorial_holds_what_it_says(tmp_path, monkeypatch):
    """Its commands, then the same in Python: the new pictures are sorted without a mistake, and the odd ones come first."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "docs" / "examples" / "shapes.py"), run_name="__main__")
    page = ROOT / "docs" / "tutorial.md"
    for line in printed_commands(page):
        run_as_printed(line, short={} if "--workdir=runs/mine" in line else SHORT)
    for block in python_blocks(page):
        exec(block, {})
    with open("classes.csv") as classes, open("scores.csv") as scores:
        assert [row["image"] for row in csv.DictReader(classes) if row["class"] != row["truth"]] == []
        assert {row["image"] for row in csv.DictReader(scores) if int(row["rank"]) <= 5} == {f"odd_{n}.png" for n in range(5)}


def test_codes_of_patches_become_their_pictures(tmp_path, monkeypatch):
    """Sixteen pictures of two values, of which each patch is one of the centres."""
    monkeypatch.chdir(tmp_path)
    main = runpy.run_path(str(ROOT / "docs" / "examples" / "patch_codes.py"))["main"]
    images = np.random.default_rng(0).choice(np.array([10, 200], np.uint8), (16, 2, 3, 1)).repeat(4, 1).repeat(4, 2)
    np.savez("x.npz", train=images, test=images[:5])
    flags = ("--source=npz:x.npz", "--centres=2", "--out=codes.npz", "--codebook=codebook.npz")
    assert run_in_process(main, "encode", *flags) == 0
    with np.load("codes.npz") as codes:
        assert {name: codes[name].shape for name in codes} == {
            "train": (14, 2, 3),
            "validation": (2, 2, 3),
            "test": (5, 2, 3),
        }
        np.savez("drawn.npz", images=codes["test"][..., None])
        np.savez("bad.npz", images=codes["test"] + 2)
    decode = ("--codebook=codebook.npz", "--out=x.png")
    assert run_in_process(main, "decode", "--input=drawn.npz", "--npz=back.npz", *decode) == 0
    np.testing.assert_array_equal(np.load("back.npz")["images"], images[:5])
    assert "codes must be integers [N, rows, columns] in [0, 2)" in run_in_process(main, "decode", "--input=bad.npz", *decode)
    assert "--patch must divide height and width" in run_in_process(main, "encode", *flags, "--patch=5")
