"""The command lines, as a user types them."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import chex
import jax
import numpy as np
import pytest
from conftest import ROOT, measured, run_in_process
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import (
    ablation,
    baselines,
    benchmark,
    command,
    complete,
    compress,
    configuration,
    curves,
    decompress,
    evaluate,
    sample,
    score,
    train,
)
from pixel_rnn_jax.cli.__main__ import main as pixel_rnn
from pixel_rnn_jax.cli.speed import generate as speed_of_drawing
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.score import Score
from pixel_rnn_jax.images import to_picture
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.training import trainer as train_module
from pixel_rnn_jax.training.config import shipped_configs
from pixel_rnn_jax.training.metrics import read_metrics

SHIPPED = [*shipped_configs()]


def test_curves_of_several_runs_share_a_picture(tiny_run, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(curves, "save_curves", lambda path, runs, **options: drawn.update(runs))
    (tmp_path / "other").mkdir()
    shutil.copy(tiny_run[0] / "metrics.jsonl", tmp_path / "other")
    arguments = [f"--workdir={tiny_run[0]}", f"--workdir={tmp_path / 'other'}", f"--out={tmp_path / 'x.png'}"]
    assert run_in_process(curves.main, *arguments) == 0
    assert drawn == {"run": read_metrics(tiny_run[0]), "other": read_metrics(tiny_run[0])}
    monkeypatch.undo()
    assert run_in_process(curves.main, *arguments, "--unit=nats") == 0
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (840, 480)
    message = run_in_process(curves.main, *arguments, "--workdir=nowhere")
    assert message == "error: nowhere must be the work directory of a training run; it holds no measurements."


def test_evaluate_prints_and_writes_the_score(tiny_run, tmp_path, capsys):
    workdir, score = tiny_run
    assert run_in_process(evaluate.main, f"--workdir={workdir}", f"--json={tmp_path}/score.json") == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"test {score.nats:.2f} nats {score.bits_per_dim:.4f} bits/dim"
    written = json.loads((tmp_path / "score.json").read_text())
    nats, bits = (pytest.approx(value, rel=1e-6) for value in (score.nats, score.bits_per_dim))  # in other batches
    expected = {"split": "test", "num_images": 180, "nats": nats, "bits_per_dim": bits}
    assert written == {**expected, "source": "digits", "treatment": "values as stored"}
    assert run_in_process(evaluate.main, f"--workdir={workdir}", "--split=validation", "--batch_size=64") == 0
    best = min(row["validation_nats"] for row in read_metrics(workdir) if "validation_nats" in row)
    said, printed = capsys.readouterr().out.splitlines()
    assert said == "180 images of digits, values as stored"
    assert printed.startswith(f"validation {best:.2f} nats")
    assert run_in_process(evaluate.main, f"--workdir={workdir}", "--num=9") == 0
    assert capsys.readouterr().out.startswith("9 images of digits")


def test_sample_writes_a_sheet_and_arrays(tiny_run, tmp_path, capsys):
    workdir, _ = tiny_run
    flags = (f"--workdir={workdir}", "--num=5", "--seed=3", f"--out={tmp_path}/s.png", f"--npz={tmp_path}/s.npz")
    assert run_in_process(sample.main, *flags) == 0
    assert capsys.readouterr().out == f"{tmp_path}/s.png {tmp_path}/s.npz\n"
    images = np.load(tmp_path / "s.npz")["images"]
    assert images.shape == (5, 8, 8, 1)
    assert images.max() <= 16
    with Image.open(tmp_path / "s.png") as sheet:
        assert 600 < sheet.width < 1000
    assert run_in_process(sample.main, *flags[:3], f"--npz={tmp_path}/t.npz", f"--out={tmp_path}/t.png") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "t.npz")["images"], images)
    assert run_in_process(sample.main, *flags, "--seed=4") == 0
    assert np.any(np.load(tmp_path / "s.npz")["images"] != images)
    assert run_in_process(sample.main, *flags, "--size=3,5") == 0
    assert np.load(tmp_path / "s.npz")["images"].shape == (5, 3, 5, 1)


def test_complete_keeps_the_top(tiny_run, tmp_path):
    workdir, _ = tiny_run
    flags = (f"--workdir={workdir}", "--num=2", "--completions=3", "--keep=0.25", f"--out={tmp_path}/c.png")
    assert run_in_process(complete.main, *flags, f"--npz={tmp_path}/c.npz") == 0
    arrays = np.load(tmp_path / "c.npz")
    assert arrays["known"].sum() == 2 * 8
    originals, completions = arrays["originals"], arrays["completions"]
    assert completions.shape == (2, 3, 8, 8, 1)
    np.testing.assert_array_equal(completions[:, :, :2], np.repeat(originals[:, None, :2], 3, 1))
    assert np.any(completions[:, 0] != completions[:, 1])
    with Image.open(tmp_path / "c.png") as sheet:
        assert sheet.width > 300


def test_sample_draws_batches_and_an_animation(tiny_run, tmp_path):
    workdir, _ = tiny_run
    flags = (f"--workdir={workdir}", "--num=11", "--size=4,6", "--seed=3", "--batch_size=3", f"--out={tmp_path}/s.png")
    assert run_in_process(sample.main, *flags, f"--npz={tmp_path}/s.npz", f"--animation={tmp_path}/s.gif") == 0
    model, params = prnn.load(workdir)
    expected = prnn.sample(model, params, jax.random.key(3), num=11, size=(4, 6))
    np.testing.assert_array_equal(np.load(tmp_path / "s.npz")["images"], expected)
    with Image.open(tmp_path / "s.gif") as animation:
        assert 4 * 6 - 8 < animation.n_frames <= 4 * 6 + 1  # two frames that are equal become one


def test_complete_fills_a_rectangle_of_a_picture(tiny_run, tmp_path, capsys):
    workdir, _ = tiny_run
    image = np.random.default_rng(0).integers(0, 17, (9, 7)).astype(np.uint8)
    Image.fromarray(to_picture(image, 17)).save(tmp_path / "face.png")
    flags = [f"--workdir={workdir}", f"--input={tmp_path}/face.png", "--box=2,3,5,7", "--completions=2"]
    outputs = [f"--out={tmp_path}/c.png", f"--npz={tmp_path}/c.npz", f"--animation={tmp_path}/c.webp"]
    assert run_in_process(complete.main, *flags, *outputs) == 0
    out, err = capsys.readouterr()
    assert "note: 34 known pixels come after an unknown one" in err  # 2 * 3 at the left of rows 3 and 4, and 4 rows below
    arrays = np.load(tmp_path / "c.npz")
    known = np.ones((9, 7), bool)
    known[2:5, 3:7] = False
    np.testing.assert_array_equal(arrays["known"], known)
    completions = arrays["completions"]
    np.testing.assert_array_equal(completions[0, :, known][..., 0], image[known][:, None].repeat(2, 1))
    model, params = prnn.load(workdir)
    np.testing.assert_allclose(arrays["log_prob"][0], prnn.log_prob(model, params, completions[0]), rtol=1e-5)
    log_probs = jax.nn.log_softmax(model.apply({"params": params}, completions[0]))
    drawn = np.take_along_axis(np.asarray(log_probs), completions[0][..., None].astype(int), -1)[..., 0, 0]
    np.testing.assert_allclose(arrays["log_prob_drawn"][0], drawn[:, ~known].sum(-1), rtol=1e-5)
    assert f"image face.png: {', '.join(f'{nats:.2f}' for nats in arrays['log_prob_drawn'][0])}; original -" in out
    with Image.open(tmp_path / "c.webp") as animation:
        assert animation.n_frames > 6


def test_complete_takes_a_mask(tiny_run, tmp_path):
    known = np.random.default_rng(0).random((8, 8)) < 0.5
    Image.fromarray(known).save(tmp_path / "mask.png")
    flags = (f"--workdir={tiny_run[0]}", "--num=1", "--completions=1", f"--out={tmp_path}/c.png", f"--npz={tmp_path}/c.npz")
    assert run_in_process(complete.main, *flags, f"--mask={tmp_path}/mask.png") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "c.npz")["known"], known)


def test_images_are_compressed_and_decoded(tiny_run, tmp_path, capsys):
    workdir = f"--workdir={tiny_run[0]}"
    coded = (workdir, "--num=20", f"--out={tmp_path}/x.prnn", "--verify", f"--json={tmp_path}/x.json")
    assert run_in_process(compress.main, *coded) == 0
    assert "decoded and compared" in capsys.readouterr().out
    sizes = json.loads((tmp_path / "x.json").read_text())["bytes"]
    nll = sizes["negative log-likelihood"]
    assert nll - 1 < sizes["file without header and checksum"] < 1.01 * nll + 16
    assert 20 * 64 > sizes["lossless PNG"] > sizes["lossless WebP"] > 300
    assert sizes["8 bits each"] == 20 * 64
    assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/x.npz") == 0
    assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/pictures") == 0
    images = np.load(tmp_path / "x.npz")["images"]
    test_split = command.open_dataset(prnn.loading.load_run(tiny_run[0])[2]["config"]).images("test")
    np.testing.assert_array_equal(images, test_split[np.sort(np.random.default_rng(0).choice(180, 20, replace=False))])

    again = (workdir, f"--input={tmp_path}/pictures", f"--out={tmp_path}/y.prnn", "--tile=5,200000")
    assert run_in_process(compress.main, *again) == 0
    assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/y.prnn", f"--out={tmp_path}/y.npy") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), images)


def test_a_file_that_does_not_decode_is_not_written(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(compress, "decompress", lambda model, params, blob, *given: np.zeros((2, 8, 8, 1), np.uint8))
    error = run_in_process(compress.main, f"--workdir={tiny_run[0]}", "--num=2", f"--out={tmp_path}/x.prnn", "--verify")
    assert error == "error: the compressed file could not be decoded, and was not written: it decodes to other images"
    assert not any(tmp_path.iterdir())


def test_a_damaged_file_costs_one_line(tiny_run, tmp_path):
    (tmp_path / "x.prnn").write_bytes(b"PRNN" + bytes(100))
    flags = (f"--workdir={tiny_run[0]}", f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/x.npz")
    assert "the .prnn file must be of format version 3; got 0" in run_in_process(decompress.main, *flags)


def test_score_writes_each_image_and_compares_sets(tiny_run, tmp_path, capsys):
    workdir = tiny_run[0]
    model, params, run = prnn.loading.load_run(workdir)
    images = command.open_dataset(run["config"]).images("test")
    np.savez(tmp_path / "inverted.npz", images=16 - images)
    flags = (f"--against={tmp_path}/inverted.npz", f"--out={tmp_path}/s.csv", f"--histogram={tmp_path}/h.png")
    assert run_in_process(score.main, f"--workdir={workdir}", *flags) == 0
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["set"] for row in rows[179:181]] == ["digits, test", f"{tmp_path}/inverted.npz"]
    expected = prnn.log_prob(model, params, np.concatenate([images, 16 - images]))
    np.testing.assert_allclose([-float(row["nats"]) for row in rows], expected, rtol=1e-5)
    np.testing.assert_allclose([float(row["bits_per_dim"]) for row in rows], prnn.bits_per_dim(expected, (8, 8, 1)), rtol=1e-5)
    area = np.mean(expected[180:] < expected[:180, None])
    assert f"with probability {area:.4f} (AUROC)" in capsys.readouterr().out
    with Image.open(tmp_path / "h.png") as histogram:
        assert histogram.width > 500


def test_benchmark_measures_generation(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed_of_drawing, "CIFAR", {"depth": 1, "features": 4, "head_features": 4, "levels": 5, "channels": 3})
    monkeypatch.setattr(speed_of_drawing, "SIZES", [])
    monkeypatch.setattr(speed_of_drawing, "CIFAR_SIZE", (3, 3))
    assert run_in_process(benchmark.main, "generate", "--num=3", f"--workdir={tiny_run[0]}", f"--json={tmp_path}/b.json") == 0
    record = json.loads((tmp_path / "b.json").read_text())
    (row,) = record["drawing"]
    assert row["shape"] == [3, 3, 3]
    assert 0 < row["seconds"] < row["first_call_seconds"]
    assert row["naive_seconds"] == 27 * row["forward_pass_seconds"]
    assert record["compression"][0]["num"] == 3
    assert "negative log-likelihood" in capsys.readouterr().out


def test_train_prints_the_score_of_a_finished_run(tiny_run, capsys):
    workdir, score = tiny_run
    config = prnn.loading.load_run(workdir)[2]["config"]
    overrides = [
        f"--config.{section}.{name}={value}" for section in ("model", "optimizer") for name, value in config[section].items()
    ] + [f"--config.{name}={value}" for name, value in config.items() if not isinstance(value, dict)]
    assert run_in_process(train.main, "--config=digits_rowlstm", f"--workdir={workdir}", *overrides) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(score)


@pytest.mark.parametrize(
    "main,argv,message",
    [
        (train.main, ["--config=nowhere.py"], "--config must be a file or one of cifar_colorize, "),
        (train.main, ["--config=digits_rowlstm", "--config.batchsize=3"], "did you mean --config.batch_size?"),
        (train.main, ["--config=digits_rowlstm", "--config.model.zzz=1"], "the fields are model.channels, "),
        (train.main, ["--config=digits_rowlstm", "--config.batch_size=many"], "invalid literal for int"),
        (
            train.main,
            ["--config=digits_rowlstm", "--config.no.such=1"],
            "--config.no.such is not a field; ",
        ),
        (
            train.main,
            ["--config=digits_rowlstm", "--batch_size=3"],
            "unknown argument --batch_size=3; did you mean --config.batch_size?",
        ),
        (train.main, ["--config=digits_rowlstm", "--data_dir", "x"], "did you mean --config.data.data_dir?"),
        (train.main, ["--config=digits_rowlstm", "--speed=3"], "unknown argument --speed=3."),
        (train.main, ["--config=digits_rowlstm", "--config.mesh.data", "-1", "word"], "unknown arguments word"),
        (train.main, ["--config=digits_rowlstm", "word"], "unknown arguments word"),
        (train.main, ["--config=digits_rowlstm", "--config.model.layer=gru"], "layer must be one of"),
        (evaluate.main, [], "there is nothing of that name"),
        (sample.main, [], "there is nothing of that name"),
        (complete.main, [], "there is nothing of that name"),
        (complete.main, ["--keep=2"], r"--keep must be in [0, 1]; got 2.0"),
    ],
)
def test_mistakes_cost_one_line(tmp_path, main, argv, message):
    workdir = tmp_path / "run"
    error = run_in_process(main, f"--workdir={workdir}", *argv)
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error
    assert not workdir.exists()


@pytest.mark.parametrize(
    "main,argv,message",
    [
        (evaluate.main, ["--split=dev"], "split must be one of train, validation, test for digits; got 'dev'"),
        (evaluate.main, ["--batch_size=3"], "multiple of the 8 devices"),
        (sample.main, ["--num=0"], "argument --num: 0 must be at least 1"),
        (sample.main, ["--seed=4294967296"], "argument --seed: 4294967296 must be from 0 to 4294967295"),
        (sample.main, ["--outputs=3"], "--outputs is for models that draw images given others; this one is not"),
        (sample.main, ["--size=-8,8"], "argument --size: '-8,8' must be integers of at least 1"),
        (sample.main, ["--temperature=-1"], "temperature must be a number greater than 0"),
        (complete.main, ["--num=181"], "--num must be from 1 to 180"),
        (complete.main, ["--completions=0"], "argument --completions: 0 must be at least 1"),
        (complete.main, ["--box=2,3,9,5"], "--box must be TOP,LEFT,BOTTOM,RIGHT within images of 8x8 pixels; got 2,3,9,5"),
        (complete.main, ["--mask=nowhere.png"], "there is no file 'nowhere.png'"),
        (complete.main, ["--input=nowhere.png"], "must be a file or a folder; there is none at 'nowhere.png'"),
        (score.main, ["--input=digits", "--binarization=threshold"], "model.levels must be 2 with data.binarization"),
        (score.main, ["--binarization=threshold"], "--binarization is for a data source that is named; got 'threshold'"),
        (score.main, [f"--input={__file__}", "--split=train"], "--split is for data sources; got 'train' with images of /"),
        (score.main, ["--input=npz:nowhere"], "data.source 'npz:PATH' must name a file"),
        (compress.main, ["--out=x.prnn", "--tile=0,4"], "argument --tile: '0,4' must be integers of at least 1"),
        (compress.main, ["--out=x.prnn", "--num=0"], "argument --num: 0 must be at least 1"),
        (
            decompress.main,
            ["--input=x.prnn", "--out=y.npz"],
            "must be a file that `compress` wrote; there is none at 'x.prnn'",
        ),
        (decompress.main, ["--input=x.prnn", "--out=.."], "argument --out: '..' must be a new folder; it is there already"),
        (decompress.main, ["--input=x.prnn", "--out=y.jpg"], "argument --out: 'y.jpg' must end in .npz or .npy or .png"),
    ],
)
def test_mistakes_with_a_run_cost_one_line(tiny_run, tmp_path, monkeypatch, capsys, main, argv, message):
    monkeypatch.chdir(tmp_path)
    error = run_in_process(main, f"--workdir={tiny_run[0]}", *argv)
    if error == 2:  # argparse has said it
        error = capsys.readouterr().err.splitlines()[-1]
    assert "error: " in error
    assert message in error
    assert "\n" not in error
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flag",
    [
        "--out=nowhere/x.png",
        "--out=.",
        "--out=x.jpg",
        "--npz=x.png",
        "--animation=x.png",
        "--size=8",
        "--num=many",
        "--nmu=3",
        "--seed=-1",
    ],
)
def test_bad_flags_are_refused_before_the_work(tiny_run, flag, capsys):
    assert run_in_process(sample.main, f"--workdir={tiny_run[0]}", flag) == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_a_foreign_metrics_file_is_left_alone(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("mine\n")
    error = run_in_process(train.main, "--config=digits_rowlstm", f"--workdir={tmp_path}")
    assert "metrics.jsonl must hold rows of JSON" in error
    assert (tmp_path / "metrics.jsonl").read_text() == "mine\n"


def test_mistyped_field_in_a_configuration_file_is_an_error(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from pixel_rnn_jax.training.config import base_config\n"
        "def get_config():\n    c = base_config()\n    c.bacth_size = 3\n    return c\n"
    )
    with pytest.raises(ValueError, match=r"mine.py: AttributeError: .*bacth_size"):
        configuration.read_config(str(path), [])
    path.write_text("def get_config(:\n")
    with pytest.raises(ValueError, match=r"mine.py: SyntaxError"):
        configuration.read_config(str(path), [])
    path.write_text("x = 3\n")
    with pytest.raises(ValueError, match=r"mine.py: "):
        configuration.read_config(str(path), [])


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_are_complete(name):
    config = configuration.read_config(name, [])
    prnn.ModelConfig(**config.model)
    assert config.is_locked
    assert f"--config=experiments/{name}.py" in (ROOT / "experiments" / f"{name}.py").read_text()


def test_one_command_for_all(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pixel-rnn", "--help"])
    pixel_rnn()
    assert "evaluate" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["pixel-rnn", "tarin"])
    with pytest.raises(SystemExit, match="must be one of train, evaluate, score, sample, complete, .*; got 'tarin'"):
        pixel_rnn()
    monkeypatch.setattr(sys, "argv", ["pixel-rnn", "evaluate", "--workdir=nowhere"])
    with pytest.raises(SystemExit, match="there is nothing of that name"):
        pixel_rnn()


@pytest.mark.parametrize("victim", ["ema/manifest.ocdbt", "ema/**/d/*"])
def test_damaged_arrays_cost_one_line(tiny_run, tmp_path, victim):
    """In a process of its own, since Orbax's threads may have more to say than the error that reaches us."""
    shutil.copytree(tiny_run[0], tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").glob(f"*/{victim}"):
        path.write_bytes(bytes(byte ^ 0x5A for byte in path.read_bytes()))
    argv = [sys.executable, "-m", "experiments.evaluate", f"--workdir={tmp_path}/run"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "is damaged" in done.stderr


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_left_alone(tmp_path):
    """SIGKILL in the middle of a real process; then the same command again."""
    flags = [
        "--config.model.layer=row_lstm", "--config.model.depth=1", "--config.model.features=4", "--config.batch_size=16",
        "--config.num_steps=120", "--config.optimizer.warmup=0.05", "--config.eval_every=20",
        "--config.checkpoint_every=10",
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}

    def start(workdir):
        argv = [sys.executable, "-m", "experiments.train", "--config=experiments/digits_rowlstm.py", f"--workdir={workdir}"]
        return subprocess.Popen([*argv, *flags], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    killed = start(tmp_path / "killed")
    deadline = time.monotonic() + 120
    while not any(row["step"] >= 50 for row in read_metrics(tmp_path / "killed")):
        assert killed.poll() is None, killed.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    killed.communicate()
    assert max(row["step"] for row in read_metrics(tmp_path / "killed")) < 120

    alone, resumed = start(tmp_path / "alone"), start(tmp_path / "killed")
    alone_output, alone_errors = alone.communicate()
    resumed_output, resumed_errors = resumed.communicate()
    assert alone.returncode == 0, alone_errors.decode()
    assert resumed.returncode == 0, resumed_errors.decode()
    assert resumed_output.splitlines()[-1] == alone_output.splitlines()[-1]
    assert alone_output.startswith(b"checkpoints, metrics.jsonl")
    assert b"Traceback" not in alone_errors + resumed_errors
    (_, params, run), (_, expected_params, expected_run) = (
        prnn.loading.load_run(tmp_path / name) for name in ("killed", "alone")
    )
    chex.assert_trees_all_equal(params, expected_params)
    assert run["record"] == expected_run["record"]
    assert measured(tmp_path / "killed") == measured(tmp_path / "alone")


@pytest.mark.slow
@pytest.mark.parametrize("number,status", [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_while_xla_compiles_ends_the_process_in_order(number, status, tmp_path):
    argv = [sys.executable, "-m", "experiments.train", "--config=digits_rowlstm", f"--workdir={tmp_path}/run"]
    process = subprocess.Popen(
        argv, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(number, signal.SIG_DFL)
    )
    for line in process.stderr:
        if "GFLOP for each image" in line:  # what is said before the training step is compiled
            break
    time.sleep(3)
    process.send_signal(number)
    _, errors = process.communicate()
    assert errors.strip() == f"stopped by {number.name}"
    assert process.returncode == status


TINY = ("num_steps=2", "batch_size=8", "eval_every=1", "model.depth=1", "model.features=3", "model.head_features=3")


def test_baselines_score_a_split(tmp_path, capsys):
    assert run_in_process(baselines.main, "--config=digits_rowlstm", f"--json={tmp_path}/b.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "180 images of digits, values as stored"
    assert [line.split(" test ")[0].strip() for line in lines[1:]] == [
        "uniform",
        "independent pixels",
        "multivariate Gaussian",
    ]
    scores = json.loads((tmp_path / "b.json").read_text())
    assert scores["uniform"]["bits_per_dim"] == pytest.approx(np.log2(17))
    assert scores["independent pixels"]["bits_per_dim"] == pytest.approx(2.41, abs=0.005)
    assert "split must be one of train" in run_in_process(baselines.main, "--config=digits_rowlstm", "--split=dev")


@pytest.mark.slow
def test_ablation_writes_the_table_and_does_no_run_twice(tmp_path, capsys, monkeypatch):
    flags = ("--table=residual_skip", "--config=digits_pixelcnn", f"--workdir={tmp_path}/a")
    tiny = [f"--config.{field}" for field in TINY]
    trained, interrupt_at = [], 3

    def tracked(config, workdir, **options):
        trained.append(Path(workdir).name)
        if len(trained) == interrupt_at:
            raise KeyboardInterrupt
        return train_module.train(config, workdir, **options)

    monkeypatch.setattr(ablation, "train", tracked)
    assert run_in_process(ablation.main, *flags, *tiny) == 130
    assert trained == ["neither", "skip", "residual"]
    assert run_in_process(ablation.main, *flags, *tiny) == 0
    assert trained[3:] == ["residual", "both"]
    assert run_in_process(ablation.main, *flags, *tiny) == 0
    assert len(trained) == 5

    rows = (tmp_path / "a" / "residual_skip.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["run", "neither", "skip", "residual", "both"]
    for row, name in zip(rows[1:], ("neither", "skip", "residual", "both"), strict=True):
        workdir = tmp_path / "a" / "residual_skip" / name
        best = min(row["validation_bits_per_dim"] for row in read_metrics(workdir) if "validation_bits_per_dim" in row)
        assert row.split(",")[1] == f"{best:.4f}"
        model, _ = prnn.load(workdir)
        assert (model.config.residual, model.config.skip) == (name in ("residual", "both"), name in ("skip", "both"))
    table = (tmp_path / "a" / "residual_skip.md").read_text()
    assert table in capsys.readouterr().out
    assert "| 3.22 |" in table.splitlines()[6]
    with Image.open(tmp_path / "a" / "residual_skip.png") as plot:
        assert plot.width > 800
    for forms in (["--config.model.residual=False"], ["--config.model.residual"], ["-config.model.residual", "False"]):
        error = run_in_process(ablation.main, *flags, *tiny, *forms)
        assert "--config.model.residual must not be given: it is what the table compares" in error
    error = run_in_process(ablation.main, *flags, *tiny, "--config.batch_size=16")
    assert "batch_size: 8 -> 16" in error


def test_tables_hold_the_papers_figures():
    residual_skip = [(*row.fields.values(), row.published) for row in ablation.TABLES["residual_skip"].rows]
    assert residual_skip == [(False, False, 3.22), (False, True, 3.09), (True, False, 3.07), (True, True, 3.06)]
    depth = [(row.fields["depth"], row.published) for row in ablation.TABLES["depth"].rows]
    assert depth == [(1, 3.30), (2, 3.20), (3, 3.17), (6, 3.09), (9, 3.08), (12, 3.06)]


def test_a_run_that_diverges_does_not_hold_up_the_table(tmp_path, monkeypatch, capsys):
    def fake(config, workdir, **options):
        workdir.mkdir(parents=True)
        if config.model.depth == 3:
            raise FloatingPointError("step 7 gave nats = nan")
        return Score("test", 1, 1.0, float(config.model.depth))

    record = {"record": {"best_nats": np.log(2) * 192, "best_step": 5}, "image_shape": [8, 8, 3]}
    monkeypatch.setattr(ablation, "train", fake)
    monkeypatch.setattr(ablation, "load_run", lambda workdir: (None, None, record))
    flags = ("--table=depth", "--config=digits_pixelcnn", f"--workdir={tmp_path}")
    assert "these runs diverged: depth_3" in run_in_process(ablation.main, *flags)
    assert "step 7 gave nats = nan" in capsys.readouterr().err
    rows = [row.split(",")[:4] for row in (tmp_path / "depth.csv").read_text().splitlines()]
    assert rows[1] == ["depth 1", "1.0000", "1.0000", "5"]
    assert rows[3] == ["depth 3", "diverged", "", ""]
    assert rows[6] == ["depth 12", "1.0000", "12.0000", "5"]
    (tmp_path / "depth" / "depth_1" / "result.json").write_text("")  # as a kill may leave it
    monkeypatch.setattr(ablation, "train", lambda *args, **options: Score("test", 1, 1.0, 9.0))
    run_in_process(ablation.main, *flags)
    assert (tmp_path / "depth.csv").read_text().splitlines()[1].startswith("depth 1,1.0000,9.0000")


def test_the_table_of_a_source_without_test_images(tmp_path, monkeypatch):
    """Its final score is of validation images; the table has the best one."""
    record = {"record": {"best_nats": np.log(2) * 192, "best_step": 5}, "image_shape": [8, 8, 3]}
    monkeypatch.setattr(ablation, "train", lambda *args, **options: Score("validation", 1, 1.0, 9.0))
    monkeypatch.setattr(ablation, "load_run", lambda workdir: (None, None, record))
    assert run_in_process(ablation.main, "--table=depth", "--config=digits_pixelcnn", f"--workdir={tmp_path}") == 0
    assert (tmp_path / "depth.csv").read_text().splitlines()[1].startswith("depth 1,1.0000,,5")


def test_too_little_memory_costs_one_line():
    def fail(argv):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes.")

    assert run_in_process(fail).startswith("error: the memory is not enough. Smaller batches need less")


def test_scores_tell_which_image_is_which(tiny_run, tmp_path, capsys):
    """By its file; of the data, by its number in the split."""
    images = np.random.default_rng(0).integers(0, 17, (2, 8, 8)).astype(np.uint8)
    (tmp_path / "mine").mkdir()
    for name, image in zip(("b.png", "a.png"), images, strict=True):
        Image.fromarray(to_picture(image, 17)).save(tmp_path / "mine" / name)
    flags = (f"--workdir={tiny_run[0]}", f"--out={tmp_path}/s.csv", "--num=2", f"--input={tmp_path}/mine", "--against=digits")
    assert run_in_process(score.main, *flags, "--seed=5") == 0
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = np.sort(np.random.default_rng(5).choice(180, 2, replace=False))
    assert [row["image"] for row in rows] == ["a.png", "b.png", *map(str, numbers)]
    assert float(rows[1]["nats"]) == pytest.approx(-float(prnn.log_prob(*prnn.load(tiny_run[0]), images[:1, ..., None])[0]))
    assert run_in_process(complete.main, *flags[:1], *flags[2:4], "--completions=1", f"--out={tmp_path}/c.png") == 0
    assert "image b.png: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "name,message", [("samples.png", "a file that can be written"), ("gs://bucket/x.png", "on this machine, not at gs://")]
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(name, message, tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("samples.png").mkdir()
    out = [] if name == "samples.png" else [f"--out={name}"]  # the default is looked at, too
    monkeypatch.setattr(sample, "load_run", None)
    assert run_in_process(sample.main, f"--workdir={tiny_run[0]}", *out) == 2
    assert f"'{name}' must be {message}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


@pytest.mark.parametrize(
    "text,message",
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("def get_config(): return undefined", "NameError: name 'undefined' is not defined"),
        ("def get_config(): return 3", "lacks all fields"),
        (
            "from pixel_rnn_jax.training.config import base_config\n"
            "def get_config():\n c = base_config().unlock()\n del c.model.depth\n return c",
            "must return base_config() with changes; it lacks model.depth",
        ),
        (
            "from pixel_rnn_jax.training.config import base_config\n"
            "def get_config():\n c = base_config().unlock()\n c.model.dept = 3\n return c",
            "must return base_config() with changes; it adds model.dept",
        ),
    ],
)
def test_a_configuration_file_that_cannot_be_used_costs_one_line(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    error = run_in_process(train.main, f"--config={tmp_path}/mine.py", f"--workdir={tmp_path}/run")
    assert error.startswith("error: mine.py: ")
    assert message in error


@pytest.mark.parametrize(
    "cores,batch_size,devices", [(2, 64, 2), (6, 64, 4), (8, 12, 3), (64, 16, 4), (2, 3, 1), (1, 64, 1), (6, None, 6)]
)
def test_a_batch_is_shared_among_cores(cores, batch_size, devices, monkeypatch):
    update = mock.Mock()
    monkeypatch.setattr(command, "num_cores", lambda: cores)
    monkeypatch.setattr(command.jax.config, "update", update)
    command.share_among_cores(batch_size)
    update.assert_not_called()  # the user has decided: XLA_FLAGS names a number of devices here
    monkeypatch.delenv("XLA_FLAGS")
    command.share_among_cores(batch_size)
    update.assert_called_once_with("jax_num_cpu_devices", devices)


@pytest.mark.parametrize(
    "overrides,devices", [([], 4), (["gradient_accumulation=4"], 4), (["gradient_accumulation=8"], 2), (["mesh.data=1"], None)]
)
def test_a_training_that_one_device_can_do_is_not_refused_on_many_cores(overrides, devices, monkeypatch):
    """Parts count, and a mesh that is named stays."""
    update = mock.Mock()
    monkeypatch.setattr(command, "num_cores", lambda: 4)
    monkeypatch.setattr(command.jax.config, "update", update)
    monkeypatch.delenv("XLA_FLAGS")
    overrides = [f"--config.{field}" for field in ("batch_size=16", *overrides)]
    config = configuration.read_config("digits_rowlstm", overrides)
    command.share_training_among_cores(config)
    assert [call.args[1] for call in update.call_args_list] == ([] if devices is None else [devices])


def test_scoring_takes_about_as_many_images_as_training():
    run, mesh = {"config": {"batch_size": 20}}, make_mesh()
    assert command.scoring_batch_size(None, run, mesh) == 32  # four for each device, at least
    assert command.scoring_batch_size(None, {"config": {"batch_size": 41}}, mesh) == 48
    assert command.scoring_batch_size(16, run, mesh) == 16
    with pytest.raises(InputError, match="multiple of the 8 devices"):
        command.scoring_batch_size(20, run, mesh)
