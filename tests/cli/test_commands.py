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

import chex
import jax
import numpy as np
import pytest
from conftest import ROOT, make_model, measured, run_in_process, tiny_config
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import (
    baselines,
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
from pixel_rnn_jax.cli.datasets import open_dataset
from pixel_rnn_jax.data.user_files import ImageForm, read_images
from pixel_rnn_jax.evaluation import score as evaluation_score
from pixel_rnn_jax.images import to_picture
from pixel_rnn_jax.storage.load import load_run
from pixel_rnn_jax.training.initialization import calm, value_frequencies
from pixel_rnn_jax.training.metrics import read_metrics


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
    expected = score.figures | {"num_images": 180, "nats": nats, "bits_per_dim": bits}
    assert written == {**expected, "source": "digits", "treatment": "values as stored"}
    assert run_in_process(evaluate.main, f"--workdir={workdir}", "--split=validation", "--batch_size=64") == 0
    best = min(row["validation_nats"] for row in read_metrics(workdir) if "validation_nats" in row)
    dead, said, printed = capsys.readouterr().out.splitlines()
    assert dead.startswith("dead ReLU units: ")
    assert said == "180 images of digits, values as stored"
    assert printed.startswith(f"validation {best:.2f} nats")
    assert run_in_process(evaluate.main, f"--workdir={workdir}", "--num=9") == 0
    assert "\n9 images of digits" in capsys.readouterr().out


def test_sample_writes_a_sheet_and_arrays(tiny_file, tmp_path, capsys):
    flags = (f"--workdir={tiny_file}", "--num=5", "--seed=3", f"--out={tmp_path}/s.png", f"--npz={tmp_path}/s.npz")
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


def read_pictures(folder):
    """The pictures of a folder, by name, as the model's levels."""
    paths = sorted(folder.iterdir())
    images = read_images(folder, ImageForm(17, 1, lossless=True))[0]
    return dict(zip([path.name for path in paths], images, strict=True))


def test_sample_writes_each_image_as_a_picture_of_its_own_size(tiny_file, tmp_path, capsys):
    flags = (f"--workdir={tiny_file}", "--num=3", f"--out={tmp_path}/s.png", f"--npz={tmp_path}/s.npz")
    assert run_in_process(sample.main, *flags, f"--pictures={tmp_path}/new/pictures") == 0
    assert capsys.readouterr().out == f"{tmp_path}/s.png {tmp_path}/s.npz {tmp_path}/new/pictures\n"
    written = read_pictures(tmp_path / "new" / "pictures")
    assert list(written) == ["000000.png", "000001.png", "000002.png"]
    np.testing.assert_array_equal(list(written.values()), np.load(tmp_path / "s.npz")["images"])


def test_complete_keeps_the_top(tiny_file, tmp_path):
    flags = (f"--workdir={tiny_file}", "--num=2", "--completions=3", "--keep=0.25", f"--out={tmp_path}/c.png")
    assert run_in_process(complete.main, *flags, f"--npz={tmp_path}/c.npz", f"--pictures={tmp_path}/pictures") == 0
    arrays = np.load(tmp_path / "c.npz")
    assert arrays["known"].sum() == 2 * 8
    originals, completions = arrays["originals"], arrays["completions"]
    assert completions.shape == (2, 3, 8, 8, 1)
    np.testing.assert_array_equal(completions[:, :, :2], np.repeat(originals[:, None, :2], 3, 1))
    assert np.any(completions[:, 0] != completions[:, 1])
    with Image.open(tmp_path / "c.png") as sheet:
        assert sheet.width > 300
    written = read_pictures(tmp_path / "pictures")
    assert list(written) == [f"00000{image}_{completion}.png" for image in (0, 1) for completion in (0, 1, 2)]
    np.testing.assert_array_equal(list(written.values()), completions.reshape(6, 8, 8, 1))


def test_complete_draws_nothing_that_sample_draws(tiny_file, tmp_path):
    """With the default seeds of both, the known half of a drawn image is not completed to that image."""
    flags = (f"--workdir={tiny_file}", f"--out={tmp_path}/x.png")
    assert run_in_process(sample.main, *flags, "--num=3", f"--npz={tmp_path}/drawn.npz") == 0
    more = (f"--input={tmp_path}/drawn.npz", "--completions=1", f"--npz={tmp_path}/c.npz")
    assert run_in_process(complete.main, *flags, *more) == 0
    arrays = np.load(tmp_path / "c.npz")
    drawn, completions = arrays["originals"], arrays["completions"]
    np.testing.assert_array_equal(np.load(tmp_path / "drawn.npz")["images"], drawn)
    assert np.any(completions[0, 0] != drawn[0])  # the images of number 0


def test_sample_draws_batches_and_an_animation(tiny_file, tmp_path):
    flags = (f"--workdir={tiny_file}", "--num=11", "--size=4,6", "--seed=3", "--batch_size=3", f"--out={tmp_path}/s.png")
    assert run_in_process(sample.main, *flags, f"--npz={tmp_path}/s.npz", f"--animation={tmp_path}/s.gif") == 0
    model, params = prnn.load(tiny_file)
    expected = prnn.sample(model, params, jax.random.key(3), num=11, size=(4, 6))
    np.testing.assert_array_equal(np.load(tmp_path / "s.npz")["images"], expected)
    with Image.open(tmp_path / "s.gif") as animation:
        assert 4 * 6 - 8 < animation.n_frames <= 4 * 6 + 1  # two frames that are equal become one


def test_complete_fills_a_rectangle_of_a_picture(tiny_file, tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 17, (9, 7)).astype(np.uint8)
    Image.fromarray(to_picture(image, 17)).save(tmp_path / "face.png")
    flags = [f"--workdir={tiny_file}", f"--input={tmp_path}/face.png", "--box=2,3,5,7", "--completions=2", "--size=as-is"]
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
    model, params = prnn.load(tiny_file)
    np.testing.assert_allclose(arrays["log_prob"][0], prnn.log_prob(model, params, completions[0]), rtol=1e-5)
    log_probs = jax.nn.log_softmax(jax.jit(model.apply)({"params": params}, completions[0]))
    drawn = np.take_along_axis(np.asarray(log_probs), completions[0][..., None].astype(int), -1)[..., 0, 0]
    np.testing.assert_allclose(arrays["log_prob_drawn"][0], drawn[:, ~known].sum(-1), rtol=1e-5)
    assert f"image face.png: {', '.join(f'{nats:.2f}' for nats in arrays['log_prob_drawn'][0])}; original -" in out
    with Image.open(tmp_path / "c.webp") as animation:
        assert animation.n_frames > 6


def test_complete_takes_a_mask(tiny_file, tmp_path):
    known = np.random.default_rng(0).random((8, 8)) < 0.5
    Image.fromarray(known).save(tmp_path / "mask.png")
    flags = (f"--workdir={tiny_file}", "--num=1", "--completions=1", f"--out={tmp_path}/c.png", f"--npz={tmp_path}/c.npz")
    assert run_in_process(complete.main, *flags, f"--mask={tmp_path}/mask.png") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "c.npz")["known"], known)


def test_images_are_compressed_and_decoded(tiny_file, tmp_path, capsys):
    workdir = f"--workdir={tiny_file}"
    coded = (workdir, "--num=20", f"--out={tmp_path}/x.prnn", "--verify", f"--json={tmp_path}/x.json")
    assert run_in_process(compress.main, *coded) == 0
    said = capsys.readouterr()
    assert "decoded and compared" in said.out
    assert "not the stored ones" not in said.err
    sizes = json.loads((tmp_path / "x.json").read_text())["bytes"]
    nll = sizes["negative log-likelihood"]
    assert nll - 1 < sizes["file without header and checksum"] < 1.01 * nll + 16
    assert 20 * 64 > sizes["lossless PNG"] > sizes["lossless WebP"] > 300
    assert sizes["8 bits each"] == 20 * 64
    assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/x.npz") == 0
    assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/pictures") == 0
    images = np.load(tmp_path / "x.npz")["images"]
    run = load_run(tiny_file)[2]
    test_split = open_dataset(run.data, run.model).images("test")
    np.testing.assert_array_equal(images, test_split[np.sort(np.random.default_rng(0).choice(180, 20, replace=False))])

    again = (workdir, f"--input={tmp_path}/pictures", f"--out={tmp_path}/y.prnn", "--tile=5,200000")
    assert run_in_process(compress.main, *again) == 0
    assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/y.prnn", f"--out={tmp_path}/y.npz") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npz")["images"], images)

    for name in ("y.png", "y.PNG"):
        error = run_in_process(decompress.main, workdir, f"--input={tmp_path}/y.prnn", f"--out={tmp_path}/{name}")
        assert "holds one image; there are 20" in error
    one = (workdir, f"--input={tmp_path}/pictures/000003.png", f"--out={tmp_path}/one.prnn")
    assert run_in_process(compress.main, *one) == 0
    assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/one.prnn", f"--out={tmp_path}/one.png") == 0
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "pictures" / "000003.png").read_bytes()


def test_a_file_that_does_not_decode_is_not_written(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(compress, "decompress", lambda model, params, blob, *given: np.zeros((2, 8, 8, 1), np.uint8))
    error = run_in_process(compress.main, f"--workdir={tiny_file}", "--num=2", f"--out={tmp_path}/x.prnn", "--verify")
    assert error == "error: the compressed file could not be decoded, and was not written: it decodes to other images"
    assert not any(tmp_path.iterdir())


def test_a_likelihood_that_does_not_fit_in_memory_does_not_end_the_compression(tiny_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluation_score, "free_memory", lambda devices: 0)
    flags = (f"--workdir={tiny_file}", "--num=2", f"--out={tmp_path}/x.prnn", f"--json={tmp_path}/x.json")
    assert run_in_process(compress.main, *flags) == 0
    assert "the likelihood is not computed: scoring 2 images of 8x8 pixels" in capsys.readouterr().err
    sizes = json.loads((tmp_path / "x.json").read_text())["bytes"]
    assert sizes["file"] == (tmp_path / "x.prnn").stat().st_size
    assert "negative log-likelihood" not in sizes


def test_a_damaged_file_costs_one_line(tiny_file, tmp_path):
    (tmp_path / "x.prnn").write_bytes(b"PRNN" + bytes(100))
    flags = (f"--workdir={tiny_file}", f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/x.npz")
    assert "the .prnn file must be of format version 3; got 0" in run_in_process(decompress.main, *flags)


def test_score_writes_each_image_and_compares_sets(tiny_file, tmp_path, capsys):
    model, params, run = load_run(tiny_file)
    images = open_dataset(run.data, run.model).images("test")
    np.savez(tmp_path / "inverted.npz", images=16 - images)
    flags = (f"--against={tmp_path}/inverted.npz", f"--out={tmp_path}/s.csv", f"--histogram={tmp_path}/h.png")
    assert run_in_process(score.main, f"--workdir={tiny_file}", *flags) == 0
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


def test_score_maps_what_is_unexpected(tiny_file, tmp_path, capsys):
    flags = ("--num=3", f"--out={tmp_path}/s.csv", f"--maps={tmp_path}/maps", "--against=digits")
    assert run_in_process(score.main, f"--workdir={tiny_file}", *flags) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path}/s.csv {tmp_path}/maps"
    model, params, run = load_run(tiny_file)
    names = np.sort(np.random.default_rng(0).choice(180, 3, replace=False))
    images = open_dataset(run.data, run.model).images("test")[names]
    arrays = np.load(tmp_path / "maps" / "maps.npz")
    assert arrays["names"].tolist() == list(map(str, names))
    np.testing.assert_allclose(arrays["nats"], -prnn.log_probs(model, params, images), rtol=1e-5)
    with (tmp_path / "s.csv").open(newline="") as file:
        nats = [float(row["nats"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(nats[:3], -prnn.log_prob(model, params, images), rtol=1e-5)
    pictures = sorted((tmp_path / "maps").glob("*.png"))
    assert [path.name for path in pictures] == ["000000.png", "000001.png", "000002.png"]
    assert len({path.read_bytes() for path in pictures}) == 3


def test_a_photo_is_scored_at_the_size_of_the_training_or_as_it_is(tiny_file, tmp_path, capsys):
    Image.fromarray(np.full((24, 16), 255, np.uint8)).save(tmp_path / "photo.png")
    model, params = prnn.load(tiny_file)
    flags = (f"--workdir={tiny_file}", f"--input={tmp_path}/photo.png", f"--out={tmp_path}/s.csv")
    for size, more in (((8, 8), []), ((24, 16), ["--size=as-is"]), ((4, 6), ["--size=4,6"])):
        assert run_in_process(score.main, *flags, *more) == 0
        with (tmp_path / "s.csv").open(newline="") as file:
            (row,) = csv.DictReader(file)
        expected = prnn.log_prob(model, params, np.full((1, *size, 1), 16, np.uint8))
        assert float(row["nats"]) == pytest.approx(-float(expected[0]), rel=1e-4)
        told = capsys.readouterr().err
        assert ("cut and reduced from 24x16" in told) == (size != (24, 16))
        assert ("scoring 1 images of" in told) == (size == (24, 16))
    assert "'8' must be integers H,W" in (run_in_process(score.main, *flags, "--size=8"), capsys.readouterr().err)[1]


def test_a_picture_of_values_without_order_keeps_its_size(tmp_path, capsys):
    model, params = make_model("pixel_cnn", levels=17, depth=1, input="embedding")
    prnn.save(tmp_path / "m.safetensors", model, params, (8, 8), "digits")
    Image.fromarray(np.full((24, 16), 255, np.uint8)).save(tmp_path / "map.png")
    assert prnn.from_pretrained(tmp_path / "m.safetensors").images(tmp_path / "map.png").shape == (1, 24, 16, 1)
    flags = (f"--workdir={tmp_path}/m.safetensors", f"--input={tmp_path}/map.png")
    assert "24x16" in (run_in_process(score.main, *flags, f"--out={tmp_path}/s.csv"), capsys.readouterr().err)[1]
    assert "got (8, 8) with model.input=embedding" in run_in_process(score.main, *flags, "--size=8,8")


def test_a_context_picture_is_reduced_though_the_images_have_no_order(tmp_path):
    context = {"context_channels": 1, "context_scale": 2, "context_levels": 17}
    model, params = make_model("pixel_cnn", levels=17, depth=1, input="embedding", **context)
    prnn.save(tmp_path / "m.safetensors", model, params, (8, 8), "digits")
    Image.fromarray(np.full((24, 16), 255, np.uint8)).save(tmp_path / "context.png")
    flags = (f"--workdir={tmp_path}/m.safetensors", f"--input={tmp_path}/context.png", f"--out={tmp_path}/s.png")
    assert run_in_process(sample.main, *flags, f"--npz={tmp_path}/s.npz") == 0
    assert np.load(tmp_path / "s.npz")["images"].shape[-3:] == (8, 8, 1)


def test_train_prints_the_score_of_a_finished_run(tiny_run, monkeypatch, capsys):
    workdir, score = tiny_run
    config = tiny_config()
    monkeypatch.setattr(configuration, "read_config", lambda path, overrides: config)
    assert run_in_process(train.main, "--config=digits_rowlstm", f"--workdir={workdir}") == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(score)


@pytest.mark.parametrize(
    "main,argv,message",
    [
        (train.main, ["--config=nowhere.py"], "--config must be a file or one of cifar_colorize, "),
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
        (evaluate.main, ["--num=181"], "--num must be from 1 to 180, the images in test; got 181"),
        (sample.main, ["--num=0"], "argument --num: 0 must be at least 1"),
        (sample.main, ["--seed=4294967296"], "argument --seed: 4294967296 must be from 0 to 4294967295"),
        (sample.main, ["--outputs=3"], "--outputs is only for models that take context images"),
        (sample.main, ["--size=as-is"], "--size=as-is is only for models that take context images"),
        (sample.main, ["--size=-8,8"], "argument --size: '-8,8' must be integers of at least 1"),
        (sample.main, ["--temperature=-1"], "temperature must be a number greater than 0"),
        (sample.main, ["--pictures=."], "argument --pictures: '.' must be a new folder; it is there already"),
        (complete.main, ["--pictures=."], "argument --pictures: '.' must be a new folder; it is there already"),
        (score.main, ["--maps=."], "argument --maps: '.' must be a new folder; it is there already"),
        (complete.main, ["--num=181"], "--num must be from 1 to 180"),
        (complete.main, ["--completions=0"], "argument --completions: 0 must be at least 1"),
        (complete.main, ["--box=2,3,9,5"], "--box must be TOP,LEFT,BOTTOM,RIGHT within images of 8x8 pixels; got 2,3,9,5"),
        (complete.main, ["--mask=nowhere.png"], "there is no file or folder nowhere.png"),
        (complete.main, ["--input=nowhere.png"], "there is no file or folder nowhere.png"),
        (score.main, ["--input=digits", "--binarization=threshold"], "model.levels must be 2 with data.binarization"),
        (score.main, ["--binarization=threshold"], "--binarization is for a data source that is named; got 'threshold'"),
        (score.main, [f"--input={__file__}", "--split=train"], "--split is for data sources; got 'train' with images of /"),
        (score.main, ["--input=npz:nowhere"], "data.source 'npz:PATH' must name a file"),
        (compress.main, ["--out=x.prnn", "--tile=0,4"], "argument --tile: '0,4' must be integers of at least 1"),
        (compress.main, ["--out=x.prnn", "--num=0"], "argument --num: 0 must be at least 1"),
        (decompress.main, ["--input=x.prnn", "--out=y.npz"], "No such file or directory: 'x.prnn'"),
        (decompress.main, ["--input=x.prnn", "--out=.."], "argument --out: '..' must be a new folder; it is there already"),
        (decompress.main, ["--input=x.prnn", "--out=y.jpg"], "argument --out: 'y.jpg' must end in .npz"),
    ],
)
def test_mistakes_with_a_run_cost_one_line(tiny_file, tmp_path, monkeypatch, capsys, main, argv, message):
    monkeypatch.chdir(tmp_path)
    error = run_in_process(main, f"--workdir={tiny_file}", *argv)
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
def test_bad_flags_are_refused_before_the_work(tiny_file, flag, capsys):
    assert run_in_process(sample.main, f"--workdir={tiny_file}", flag) == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_a_foreign_metrics_file_is_left_alone(tmp_path, monkeypatch):
    config = tiny_config()
    monkeypatch.setattr(configuration, "read_config", lambda path, overrides: config)
    (tmp_path / "metrics.jsonl").write_text("mine\n")
    error = run_in_process(train.main, "--config=digits_rowlstm", f"--workdir={tmp_path}")
    assert "metrics.jsonl must hold rows of JSON" in error
    assert (tmp_path / "metrics.jsonl").read_text() == "mine\n"


def test_one_command_for_all(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pixel-rnn", "--help"])
    pixel_rnn()
    assert "evaluate" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["pixel-rnn", "tarin"])
    with pytest.raises(SystemExit, match="must be one of train, evaluate, score, .*; got 'tarin'"):
        pixel_rnn()
    monkeypatch.setattr(sys, "argv", ["pixel-rnn", "evaluate", "--workdir=nowhere"])
    with pytest.raises(SystemExit, match="there is nothing of that name"):
        pixel_rnn()


EVALUATE_EACH = """
import sys
from pixel_rnn_jax.cli import command, evaluate
for workdir in sys.argv[1:]:
    try:
        command.run(evaluate.main, [f"--workdir={workdir}"])
    except SystemExit as stop:
        print(stop.code, file=sys.stderr)
"""


def test_damaged_arrays_cost_one_line(tiny_run, tmp_path):
    """In a process of its own, since Orbax's threads may print more than the error that reaches us."""
    for name, victim in (("index", "ema/manifest.ocdbt"), ("arrays", "ema/**/d/*")):
        shutil.copytree(tiny_run[0], tmp_path / name)
        for path in (tmp_path / name / "checkpoints").glob(f"*/{victim}"):
            path.write_bytes(bytes(byte ^ 0x5A for byte in path.read_bytes()))
    argv = [sys.executable, "-c", EVALUATE_EACH, tmp_path / "index", tmp_path / "arrays"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout == ""
    errors = done.stderr.splitlines()
    assert len(errors) == 2
    for error in errors:
        assert error.startswith("error: ")
        assert "is damaged" in error


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_left_alone(tmp_path):
    """SIGKILL in the middle of a real process; then the same command again."""
    flags = [
        "--config.model.layer=row_lstm", "--config.model.depth=1", "--config.model.features=4", "--config.batch_size=16",
        "--config.num_steps=120", "--config.optimizer.warmup=0.05", "--config.eval_every=20", "--config.sample_every=0",
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
    (_, params, run), (_, expected_params, expected_run) = (load_run(tmp_path / name) for name in ("killed", "alone"))
    chex.assert_trees_all_equal(params, expected_params)
    assert run.validations == expected_run.validations
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


def test_too_little_memory_costs_one_line():
    def fail(argv):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes.")

    assert run_in_process(fail).startswith("error: out of memory. Smaller batches need less")


def test_scores_tell_which_image_is_which(tiny_file, tmp_path, capsys):
    """By its file; of the data, by its number in the split."""
    images = np.random.default_rng(0).integers(0, 17, (2, 8, 8)).astype(np.uint8)
    (tmp_path / "mine").mkdir()
    for name, image in zip(("b.png", "a.png"), images, strict=True):
        Image.fromarray(to_picture(image, 17)).save(tmp_path / "mine" / name)
    flags = (f"--workdir={tiny_file}", f"--out={tmp_path}/s.csv", "--num=2", f"--input={tmp_path}/mine", "--against=digits")
    assert run_in_process(score.main, *flags, "--seed=5") == 0
    with (tmp_path / "s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = np.sort(np.random.default_rng(5).choice(180, 2, replace=False))
    assert [row["image"] for row in rows] == ["a.png", "b.png", *map(str, numbers)]
    assert float(rows[1]["nats"]) == pytest.approx(-float(prnn.log_prob(*prnn.load(tiny_file), images[:1, ..., None])[0]))
    assert run_in_process(complete.main, *flags[:1], *flags[2:4], "--completions=1", f"--out={tmp_path}/c.png") == 0
    assert "image b.png: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "name,message", [("samples.png", "a file that can be written"), ("gs://bucket/x.png", "on this machine, not at gs://")]
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(name, message, tiny_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("samples.png").mkdir()
    out = [] if name == "samples.png" else [f"--out={name}"]  # the default is looked at, too
    monkeypatch.setattr(sample, "load_run", None)
    assert run_in_process(sample.main, f"--workdir={tiny_file}", *out) == 2
    assert f"'{name}' must be {message}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


@pytest.fixture(scope="module")
def deep_file(tmp_path_factory):
    """A saved model of 12 bits that predicts `deep_images` by their frequencies."""
    path = tmp_path_factory.mktemp("deep") / "model.safetensors"
    model, params = make_model(
        "pixel_cnn", levels=4096, depth=1, features=4, head_features=4, output="logistic_mixture", mixture_components=2
    )
    prnn.save(path, model, calm(params, value_frequencies(deep_images(), 4096), model.config), (8, 8))
    return path


def deep_images():
    """A smooth function with noise, in [0, 4096)."""
    rng = np.random.default_rng(0)
    phase, rows, columns = rng.uniform(0, 6, (20, 1, 1, 1)), np.arange(8)[:, None, None], np.arange(8)[:, None]
    smooth = 2048 + 1500 * np.sin(phase + rows / 3) * np.cos(columns / 4)
    return np.round(smooth + rng.normal(0, 30, (20, 8, 8, 1))).astype(np.uint16)


def test_12_bits_are_compressed_and_written_as_they_are(deep_file, tmp_path):
    workdir, images = f"--workdir={deep_file}", deep_images()
    (tmp_path / "given").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(tmp_path / "given" / f"{number:02}.{'png' if number % 2 else 'tif'}")
    coded = (workdir, f"--input={tmp_path}/given", f"--out={tmp_path}/x.prnn", f"--json={tmp_path}/x.json")
    assert run_in_process(compress.main, *coded) == 0
    sizes = json.loads((tmp_path / "x.json").read_text())["bytes"]
    assert abs(sizes["file without header and checksum"] / sizes["negative log-likelihood"] - 1) < 0.01
    assert sizes["16 bits each"] == 20 * 64 * 2
    for out in ("x.npz", "pictures"):
        assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/{out}") == 0
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["images"], images)
    for number, image in enumerate(images):
        with Image.open(tmp_path / "pictures" / f"{number:06}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), image[..., 0])


def test_12_bits_are_drawn_and_shown(deep_file, tmp_path):
    out = (f"--out={tmp_path}/x.png", f"--npz={tmp_path}/x.npz", f"--pictures={tmp_path}/pictures")
    assert run_in_process(sample.main, f"--workdir={deep_file}", "--num=4", *out) == 0
    images = np.load(tmp_path / "x.npz")["images"]
    assert (images.dtype, images.shape) == (np.uint16, (4, 8, 8, 1))
    assert images.max() > 255
    found = read_images(tmp_path / "pictures", ImageForm(4096, 1)).images
    np.testing.assert_array_equal(found, images)
    with Image.open(tmp_path / "x.png") as sheet:
        assert np.asarray(sheet).dtype == np.uint8
