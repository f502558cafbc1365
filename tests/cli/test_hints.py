"""Remedies that errors name are tried: the command that failed is given them, and then works."""

import importlib
import re
import shutil

import numpy as np
import pytest
from conftest import make_model, run_in_process

import pixel_rnn_jax as prnn
from pixel_rnn_jax import errors
from pixel_rnn_jax.training import trainer
from pixel_rnn_jax.training.run import TrainingRun

TINY = (  # the flags of `tiny_run`, but for its work directory
    "train --config=digits_rowlstm --config.batch_size=16 --config.num_steps=6 --config.eval_every=2"
    " --config.checkpoint_every=3 --config.log_every=1 --config.sample_every=0"
    " --config.model.layer=row_lstm --config.model.depth=1"
    " --config.model.features=4 --config.model.head_features=4 --config.optimizer.warmup=0.33"
    " --config.optimizer.name=adam --config.optimizer.learning_rate=8e-3 --config.calm_start=False"
)
# What fails; what of the error is the remedy; what should work. {0}, {1} and so on are the groups of the remedy.
REMEDIES = {
    "another configuration": (
        f"{TINY} --workdir=run --config.num_steps=8",
        r"Use another work directory, or (--allow_config_change)",
        [f"{TINY} --workdir=run --config.num_steps=8 {{0}}", f"{TINY} --workdir=new --config.num_steps=8"],
    ),
    "another depth": (
        f"{TINY} --workdir=run --config.model.depth=2",
        r"in another work directory, .*: (--init_params=\S+ --init_missing)$",
        [f"{TINY} --workdir=new --config.model.depth=2 {{0}}"],
    ),
    "another depth, allowed": (
        f"{TINY} --workdir=run --config.model.depth=2 --allow_config_change",
        r"in another work directory, .*: (--init_params=\S+ --init_missing)$",
        [f"{TINY} --workdir=new --config.model.depth=2 {{0}}"],
    ),
    "another optimizer": (
        f"{TINY} --workdir=run --config.optimizer.name=rmsprop",
        r"in another work directory, .*: (--init_params=\S+)$",
        [f"{TINY} --workdir=new --config.optimizer.name=rmsprop {{0}}"],
    ),
    "a run to start from, of another depth": (
        f"{TINY} --workdir=new --init_from=run --config.num_steps=8 --config.model.depth=2",
        r"in another work directory, .*: (--init_params=\S+ --init_missing)$",
        [f"{TINY} --workdir=new --config.model.depth=2 {{0}}"],
    ),
    "a finished run to start from": (
        f"{TINY} --workdir=new --init_from=run",
        r"num_steps .* must be more than (6); got 6",
        [f"{TINY} --workdir=new --init_from=run --config.num_steps=1{{0}}"],
    ),
    "a file to start from": (
        f"{TINY} --workdir=new --init_from=unnamed.safetensors",
        r"(--init_params=\S+) starts",
        [f"{TINY} --workdir=new {{0}}"],
    ),
    "parameters that differ": (
        f"{TINY} --workdir=new --init_params=unnamed.safetensors --config.model.num_classes=10",
        r"With (--init_missing)",
        [f"{TINY} --workdir=new --init_params=unnamed.safetensors --config.model.num_classes=10 {{0}}"],
    ),
    "a damaged checkpoint": (
        f"{TINY} --workdir=damaged",
        r"With (--fall_back), training goes on from step 4",
        [f"{TINY} --workdir=damaged {{0}}"],
    ),
    "a batch for other devices": (
        f"{TINY} --workdir=new --config.batch_size=12",
        r"must be a multiple of the 8 devices: (\d+) or (\d+)\.",
        [f"{TINY} --workdir=new --config.batch_size={{0}}", f"{TINY} --workdir=new --config.batch_size={{1}}"],
    ),
    "a mesh of other devices": (
        f"{TINY} --workdir=new --config.mesh.data=3",
        r"mesh.data must be (\d+) .*, or (-1);",
        [f"{TINY} --workdir=new --config.mesh.data={{0}}", f"{TINY} --workdir=new --config.mesh.data={{1}}"],
    ),
    "more levels than the data has": (
        f"{TINY} --workdir=new --config.model.levels=256",
        r"model.levels must be (17) for digits; got 256\.$",
        [f"{TINY} --workdir=new --config.model.levels={{0}}"],
    ),
    "fewer levels": (
        f"{TINY} --workdir=new --config.model.levels=9",
        r"model.levels must be (17) for digits; got 9\. (data\.quantize=True)[^.]*\.$",
        [f"{TINY} --workdir=new --config.model.levels=9 --config.{{1}}"],
    ),
    "two levels": (
        f"{TINY} --workdir=new --config.model.levels=2",
        r" (data\.quantize=True).* (data\.binarization)",
        [f"{TINY} --workdir=new --config.model.levels=2 --config.{field}" for field in ("{0}", "{1}=threshold")],
    ),
    "a field in the wrong place": (
        f"{TINY} --workdir=new --config.depth=1",
        r"did you mean (--config\.model\.depth)\?",
        [f"{TINY} --workdir=new {{0}}=1"],
    ),
    "a flag that is a field": (
        f"{TINY} --workdir=new --batch_size=16",
        r"did you mean (--config\.batch_size)\?",
        [f"{TINY} --workdir=new {{0}}=16"],
    ),
    "a model without data": (
        "score --workdir=unnamed.safetensors",
        r"with (--input), to `score`",
        ["score --workdir=unnamed.safetensors {0}=digits.npz"],
    ),
    "classes in unequal numbers": (
        "sample --workdir=classes.safetensors --num=7",
        r"--num must be a multiple of (\d+), .*, or (--label) be given",
        ["sample --workdir=classes.safetensors --num={0}", "sample --workdir=classes.safetensors --num=7 {1}=1"],
    ),
}


class Begins(Exception):
    """Of a training, all that could be wrong was checked."""


@pytest.fixture
def user_files(tiny_run, tmp_path, monkeypatch):
    """A current folder with the files that `REMEDIES` names; trainings end before their first state or step."""
    monkeypatch.chdir(tmp_path)
    for name in ("run", "damaged"):
        shutil.copytree(tiny_run[0], name)
    (tmp_path / "damaged/checkpoints/6/run/metadata").unlink()
    sizes = {"levels": 17, "depth": 1, "features": 4, "head_features": 4}
    prnn.save("unnamed.safetensors", *make_model("row_lstm", **sizes), (8, 8))
    prnn.save("classes.safetensors", *make_model("row_lstm", num_classes=2, **sizes), (2, 2))
    np.savez("digits.npz", images=np.zeros((1, 8, 8, 1), np.uint8))

    def begin(*args, **options):
        raise Begins

    monkeypatch.setattr(trainer, "fit", begin)
    monkeypatch.setattr(TrainingRun, "init", begin)


def run(line):
    name, *argv = line.split()
    try:
        return run_in_process(importlib.import_module(f"pixel_rnn_jax.cli.{name}").main, *argv)
    except Begins:
        return 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of TensorStore, about damage
@pytest.mark.parametrize("case", REMEDIES)
def test_a_remedy_works(case, user_files):
    line, pattern, remedied = REMEDIES[case]
    error = run(line)
    found = re.search(pattern, str(error))
    assert found, error
    for remedy in remedied:
        shutil.rmtree("new", ignore_errors=True)
        assert run(remedy.format(*found.groups())) == 0


@pytest.mark.parametrize("metadata", [{}, {"Home-page": "https://example.org/x"}])
def test_a_page_is_at_the_address_of_the_project(monkeypatch, metadata):
    monkeypatch.setattr(errors.importlib.metadata, "metadata", {"pixel_rnn_jax": metadata}.get)
    expected = "https://example.org/x/blob/main/docs/data.md" if metadata else "docs/data.md"
    assert errors.documentation("data.md") == expected
