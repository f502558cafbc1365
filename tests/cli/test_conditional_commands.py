"""The command lines with models that are given something: classes, or other images."""

import argparse
import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from conftest import make_model, run_in_process, tiny_config
from PIL import Image
from scipy.special import logsumexp, softmax

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import classify as classify_command
from pixel_rnn_jax.cli import complete, compress, configuration, decompress, evaluate, inputs, sample, score
from pixel_rnn_jax.cli.datasets import open_dataset
from pixel_rnn_jax.data import at_most
from pixel_rnn_jax.evaluation.classify import classify, log_prior
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.plots import make_sheet, to_rgb
from pixel_rnn_jax.storage.export import save_weights
from pixel_rnn_jax.storage.load import load_run
from pixel_rnn_jax.training.trainer import train

TINY = {"depth": 1, "features": 4, "head_features": 4}


@pytest.fixture(scope="module")
def class_file(tmp_path_factory):
    """A saved model of the digits with two sizes, and classes."""
    path = tmp_path_factory.mktemp("classes") / "model.safetensors"
    model, params = make_model("row_lstm", levels=17, sizes=(4, 8), num_classes=10, **TINY)
    prnn.save(path, model, params, (8, 8), "digits")
    return path


@pytest.fixture(scope="module")
def pair_run(tmp_path_factory):
    """The work directory of a model from images of 2x3 pixels and two channels to twice that size."""
    folder = tmp_path_factory.mktemp("pairs")
    images = np.random.default_rng(0).integers(0, 5, (30, 4, 6, 1)).astype(np.uint8)
    np.savez(folder / "x.npz", train=images, train_context=images[:, ::2, ::2].repeat(2, -1))
    fields = {"levels": 5, "context_channels": 2, "context_scale": 2, "context_levels": 5, "context_features": 3}
    fields = [f"--config.model.{name}={value}" for name, value in fields.items()]
    steps = (
        "--config.num_steps=2",
        "--config.eval_every=2",
        "--config.sample_every=0",
        f"--config.data.source=npz:{folder}/x.npz",
    )
    train(tiny_config(*fields, *steps), folder / "run")
    return folder / "run"


@pytest.mark.slow
def test_evaluate_classifies(class_file, tmp_path, capsys):
    flags = (f"--workdir={class_file}", "--classify", "--num=30", f"--json={tmp_path}/s.json")
    assert run_in_process(evaluate.main, *flags) == 0
    model, params, run = load_run(class_file)
    dataset = open_dataset(run.data, run.model)
    images, conditions = at_most(dataset.examples("test"), 30)
    prior = log_prior(np.bincount(dataset.examples("train").conditions.labels))
    joint = classify(Scorer(model, params, make_mesh(), 16), images, prior)
    written = json.loads((tmp_path / "s.json").read_text())
    assert written["accuracy"] == np.mean(joint.argmax(1) == conditions.labels)
    assert written["marginal_nats"] == pytest.approx(-logsumexp(joint, axis=1).mean())
    lines = capsys.readouterr().out.splitlines()
    nats = -float(prnn.log_prob(model, params, images, labels=conditions.labels).mean())
    assert written["nats"] == pytest.approx(nats, rel=1e-5)
    assert lines[-1] == f"test {written['nats']:.2f} nats {written['bits_per_dim']:.4f} bits/dim"
    assert f"{written['accuracy']:.2%} of 30 images right" in lines[0]
    assert list(written["nats_by_size"]) == ["4", "8"]
    assert sum(written["nats_by_size"].values()) == pytest.approx(nats, rel=1e-5)


@pytest.mark.slow
def test_sample_draws_a_row_of_each_class_or_one_class(class_file, tmp_path):
    flags = (f"--workdir={class_file}", f"--out={tmp_path}/s.png", f"--npz={tmp_path}/s.npz")
    assert run_in_process(sample.main, *flags, "--num=20", f"--animation={tmp_path}/a.gif") == 0
    arrays = np.load(tmp_path / "s.npz")
    assert arrays["labels"].tolist() == np.repeat(np.arange(10), 2).tolist()
    with Image.open(tmp_path / "s.png") as sheet:
        np.testing.assert_array_equal(sheet, make_sheet(to_rgb(arrays["images"], 17), columns=2, min_width=800))
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 64
    assert run_in_process(sample.main, *flags, "--num=3", "--label=7", f"--pictures={tmp_path}/sevens") == 0
    assert sorted(path.name for path in (tmp_path / "sevens").iterdir()) == [f"00000{number}_7.png" for number in range(3)]
    assert np.load(tmp_path / "s.npz")["labels"].tolist() == [7, 7, 7]


def test_complete_and_compress_know_the_classes(class_file, tmp_path, capsys):
    workdir = f"--workdir={class_file}"
    assert (
        run_in_process(
            complete.main, workdir, "--num=2", "--completions=1", f"--npz={tmp_path}/c.npz", f"--out={tmp_path}/c.png"
        )
        == 0
    )
    assert "24 known pixels come after an unknown one in the model's order" in capsys.readouterr().err
    arrays = np.load(tmp_path / "c.npz")
    model, params, run = load_run(class_file)
    images, conditions = open_dataset(run.data, run.model).examples("test")
    chosen = np.sort(np.random.default_rng(0).choice(180, 2, replace=False))
    np.testing.assert_array_equal(arrays["labels"], conditions.labels[chosen])
    log_prob = prnn.log_prob(model, params, arrays["completions"][:, 0], labels=arrays["labels"])
    np.testing.assert_allclose(arrays["log_prob"][:, 0], log_prob, rtol=1e-5)

    assert run_in_process(compress.main, workdir, "--num=3", f"--out={tmp_path}/x.prnn", "--verify") == 0
    printed = capsys.readouterr().out
    assert f"{tmp_path}/x.given.npz" in printed
    size = (tmp_path / "x.given.npz").stat().st_size
    assert f"labels and context {size:,}" in " ".join(printed.split())
    assert run_in_process(decompress.main, workdir, f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/x.npz") == 0
    chosen = np.sort(np.random.default_rng(0).choice(180, 3, replace=False))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["images"], images[chosen])
    (tmp_path / "x.given.npz").unlink()
    error = run_in_process(decompress.main, workdir, f"--input={tmp_path}/x.prnn", f"--out={tmp_path}/y.npz")
    assert "there is no file" in error and "x.given.npz" in error


def test_score_takes_labels_from_a_flag_a_file_or_the_data(class_file, tmp_path):
    model, params, run = load_run(class_file)
    images, conditions = open_dataset(run.data, run.model).examples("test")
    np.savez(tmp_path / "labelled.npz", images=images[:5], labels=conditions.labels[:5])
    np.savez(tmp_path / "bare.npz", images=images[:5])
    expected = prnn.log_prob(model, params, images[:5], labels=conditions.labels[:5])
    threes = prnn.log_prob(model, params, images[:5], labels=np.full(5, 3))

    def scored(*flags):
        assert run_in_process(score.main, f"--workdir={class_file}", *flags, f"--out={tmp_path}/s.csv") == 0
        with (tmp_path / "s.csv").open(newline="") as file:
            return [-float(row["nats"]) for row in csv.DictReader(file)][:5]

    np.testing.assert_allclose(scored(f"--input={tmp_path}/labelled.npz"), expected, rtol=1e-5)
    np.testing.assert_allclose(scored(f"--input={tmp_path}/bare.npz", "--label=3"), threes, rtol=1e-5)


def test_score_without_classes_sums_over_them(class_file, tmp_path, capsys):
    model, params, run = load_run(class_file)
    images = open_dataset(run.data, run.model).images("test")[np.arange(5)]
    np.savez(tmp_path / "bare.npz", images=images)
    counts = np.arange(10)
    save_weights(tmp_path / "counted.safetensors", params, dataclasses.replace(run, class_counts=tuple(counts.tolist())))
    scorer = Scorer(model, params, make_mesh(), 16)
    for file, prior in ((class_file, np.zeros(10, int)), (tmp_path / "counted.safetensors", counts)):
        flags = (f"--workdir={file}", f"--input={tmp_path}/bare.npz", f"--out={tmp_path}/s.csv")
        assert run_in_process(score.main, *flags) == 0
        with (tmp_path / "s.csv").open(newline="") as table:
            found = [-float(row["nats"]) for row in csv.DictReader(table)]
        np.testing.assert_allclose(found, logsumexp(classify(scorer, images, log_prior(prior)), axis=1), rtol=1e-5)
        assert ("equally likely" in capsys.readouterr().err) == (file == class_file)


def test_classify_sorts_pictures_of_folders(class_file, tmp_path, capsys):
    """Class names are folders' names; another folder's is no class of the model."""
    model, params, run = load_run(class_file)
    names = ("bat", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kea")
    run = dataclasses.replace(run, classes=names, class_counts=(1,) * 10)
    save_weights(tmp_path / "named.safetensors", params, run)
    images, conditions = open_dataset(run.data, run.model).examples("test")
    for number in range(6):
        folder = tmp_path / "new" / ("yak" if number == 5 else names[conditions.labels[number]])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(prnn.to_picture(images[number, ..., 0], 17)).save(folder / f"{number}.png")
    flags = (f"--workdir={tmp_path}/named.safetensors", f"--out={tmp_path}/c.csv")
    assert run_in_process(classify_command.main, *flags, f"--input={tmp_path}/new") == 0
    with (tmp_path / "c.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["image", "truth", "class", "margin_nats", *(f"p({name})" for name in names)]
    order = [int(row[0].partition("/")[2].partition(".")[0]) for row in rows]
    assert sorted(order) == [0, 1, 2, 3, 4, 5]
    joint = classify(Scorer(model, params, make_mesh(), 16), images[order], log_prior(np.ones(10, int)))
    np.testing.assert_allclose(np.array([row[4:] for row in rows], float), softmax(joint, axis=1), rtol=1e-4)
    assert [row[2] for row in rows] == [names[label] for label in joint.argmax(1)]
    ranked = np.sort(joint, axis=1)
    np.testing.assert_allclose([float(row[3]) for row in rows], ranked[:, -1] - ranked[:, -2], rtol=1e-3, atol=1e-4)
    assert [row[1] for row in rows] == ["" if n == 5 else names[conditions.labels[n]] for n in order]
    printed = capsys.readouterr().out
    right = sum(row[1] == row[2] for row in rows)
    assert "not counted in the accuracy: yak" in printed
    assert f"accuracy {right / 5:.2%}: {right} of 5 images right" in printed


def test_the_outermost_folder_named_like_a_class_tells_the_truth():
    def found(path, *names):
        return classify_command.true_classes(path, names, UNCONDITIONAL, ("cat", "dog"))

    assert found("new", "Cat/old/1.png", "set/dog/cat/2.png", "yak/3.png", "4.png") == ["cat", "dog", "", ""]
    assert found("new/Dog/", "1.png", "old/2.png", "cat/3.png") == ["dog", "dog", "cat"]
    assert found(None, "1", "2") == ["", ""]


def test_classify_counts_what_is_right_by_the_labels_of_the_data(class_file, tmp_path, capsys):
    assert run_in_process(classify_command.main, f"--workdir={class_file}", f"--out={tmp_path}/c.csv", "--num=20") == 0
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.DictReader(file))
    run = load_run(class_file)[2]
    labels = open_dataset(run.data, run.model).examples("test").conditions.labels
    assert [row["truth"] for row in rows] == [str(labels[int(row["image"])]) for row in rows]
    right = sum(row["truth"] == row["class"] for row in rows)
    assert f"{right} of 20 images right" in capsys.readouterr().out


def test_what_a_model_does_not_take_is_left_in_the_file(tiny_file, tmp_path):
    images = np.zeros((3, 8, 8, 1), int)
    np.savez(tmp_path / "more.npz", images=images, labels=np.zeros(3, int), context=images)
    flags = (f"--workdir={tiny_file}", f"--input={tmp_path}/more.npz", f"--out={tmp_path}/s.csv")
    assert run_in_process(score.main, *flags) == 0


def test_sample_shows_what_was_given_what_was_drawn_and_the_truth(pair_run, tmp_path):
    flags = (f"--workdir={pair_run}", f"--out={tmp_path}/s.png", f"--npz={tmp_path}/s.npz", "--num=2", "--outputs=3")
    assert run_in_process(sample.main, *flags, "--split=validation") == 0
    arrays = np.load(tmp_path / "s.npz")
    run = load_run(pair_run)[2]
    images, conditions = open_dataset(run.data, run.model).examples("validation")
    chosen = np.sort(np.random.default_rng(0).choice(3, 2, replace=False))
    np.testing.assert_array_equal(arrays["context"], conditions.context[chosen].repeat(3, 0))
    cells = []
    for row, number in enumerate(chosen):
        cells.append(conditions.context[number].repeat(2, 0).repeat(2, 1)[..., :1])
        cells += [*arrays["images"][3 * row : 3 * row + 3], images[number]]
    with Image.open(tmp_path / "s.png") as sheet:
        np.testing.assert_array_equal(sheet, make_sheet(to_rgb(np.stack(cells), 5), columns=5, min_width=800))


def test_images_to_draw_from_may_come_from_a_file(pair_run, tmp_path):
    given = np.arange(3 * 2 * 3 * 2).reshape(3, 2, 3, 2) % 5
    np.save(tmp_path / "given.npy", given)
    np.savez(tmp_path / "given.npz", context=given)
    flags = (f"--workdir={pair_run}", f"--out={tmp_path}/s.png", f"--npz={tmp_path}/s.npz", "--outputs=2", "--num=2")
    for name in ("given.npy", "given.npz"):
        assert run_in_process(sample.main, *flags, f"--input={tmp_path}/{name}") == 0
        arrays = np.load(tmp_path / "s.npz")
        assert arrays["images"].shape == (4, 4, 6, 1)
        chosen = np.sort(np.random.default_rng(0).choice(3, 2, replace=False))
        np.testing.assert_array_equal(arrays["context"], given[chosen].repeat(2, 0))


@pytest.mark.parametrize(
    "main,flags,message",
    [
        (sample.main, ["--label=10"], "--label must be a number in [0, 10); got '10'"),
        (sample.main, ["--label=-1"], "--label must be a number in [0, 10); got '-1'"),
        (sample.main, ["--num=25"], "--num must be a multiple of 10, the number of classes, or --label be given; got 25"),
        (sample.main, ["--input=digits"], "--input is only for models that take context images"),
        (
            complete.main,
            ["--input=bare.npz"],
            "the model is class-conditional: bare.npz must be an npz file that holds the classes",
        ),
        (
            complete.main,
            ["--input=labelled.npz"],
            "labels must be integers [2] in [0, 10), one for each image; got int64 of shape (3,)",
        ),
        (compress.main, ["--input=bare.npz", "--out=x.prnn"], "or give --label"),
        (score.main, ["--input=bare.npz", "--maps=maps"], "or give --label"),
        (sample.main, ["--size=6,7"], "multiples of 2, by sizes (=(4, 8)); got 6x7 pixels"),
    ],
)
def test_mistakes_with_classes_cost_one_line(class_file, tmp_path, monkeypatch, main, flags, message):
    monkeypatch.chdir(tmp_path)
    np.savez("bare.npz", images=np.zeros((2, 8, 8, 1), int))
    np.savez("labelled.npz", images=np.zeros((2, 8, 8, 1), int), labels=np.zeros(3, int))
    error = run_in_process(main, f"--workdir={class_file}", *flags)
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "main,flags,message",
    [
        (
            sample.main,
            ["--label=1", "--split=validation"],
            "--label is for class-conditional models; this one has no classes. Got '1'",
        ),
        (
            sample.main,
            ["--input=bare.npz"],
            "the model draws images given others: bare.npz must be an npz file that holds them",
        ),
        (complete.main, ["--input=bare.npz"], "as the array `context`"),
        (sample.main, ["--input=given.npy", "--num=3"], "--num must be from 1 to 2, the images in given.npy; got 3"),
        (sample.main, ["--input=floats.npz"], "context: images must be integers in [0, 5); got dtype float64"),
        (evaluate.main, ["--classify"], "--classify needs a class-conditional model"),
        (classify_command.main, [], "only a class-conditional model classifies; this one has num_classes=0"),
    ],
)
def test_mistakes_with_given_images_cost_one_line(pair_run, tmp_path, monkeypatch, main, flags, message):
    monkeypatch.chdir(tmp_path)
    np.savez("bare.npz", images=np.zeros((2, 4, 6, 1), int))
    np.save("given.npy", np.zeros((2, 2, 3, 2), int))
    np.savez("floats.npz", context=np.full((2, 2, 3, 2), 0.9))
    error = run_in_process(main, f"--workdir={pair_run}", *flags)
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error


def test_a_size_that_the_images_have_not_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"model.sizes must end with 8, the height of the images; got \(4, 16\)"):
        train(tiny_config("--config.model.sizes=4,16"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_training_tells_and_keeps_the_names_of_its_classes(tmp_path, monkeypatch, capsys):
    """Whatever classes another folder has, and in whatever order. The model is the best checkpoint."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder, names in (("three", ("cat", "dog", "owl")), ("two", ("cat", "owl")), ("other", ("cat", "yak"))):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            for number in range(9):
                Image.fromarray(rng.integers(0, 256, (2, 2)).astype(np.uint8)).save(f"{folder}/{name}/{number}.png")
    fields = ("model.levels=256", "model.num_classes=4", "num_steps=1", "eval_every=1", "sample_every=0")
    fields = [f"--config.{field}" for field in (*fields, "data.source=folder:three")]
    trained = train(tiny_config(*fields), "run")
    told = capsys.readouterr().err
    assert re.search(r"0 cat \(\d+\), 1 dog \(\d+\), 2 owl \(\d+\), 3 \(0\)", told)
    assert "note: 1 of the model.num_classes=4 classes have no training images" in told
    model, params, run = load_run("run")
    prnn.save("saved.safetensors", model, params, size=(2, 2))
    assert prnn.load("run")[0].classes == prnn.load("saved.safetensors")[0].classes == ("cat", "dog", "owl")
    of_training = [int(count) for count in re.findall(r"\((\d+)\)", told.partition("classes (and")[2].partition("note")[0])]
    assert run.class_counts == tuple(of_training)
    assert sum(run.class_counts) == 24
    images, conditions = open_dataset(run.data, run.model, classes=run.classes).examples(trained.split)
    log_prob = prnn.log_prob(model, params, images[np.arange(len(images))], labels=conditions.labels)
    assert -float(log_prob.mean()) == pytest.approx(trained.nats, rel=1e-5)
    assert run.classes == ("cat", "dog", "owl")
    args = argparse.Namespace(
        input=None,
        label=None,
        binarization=None,
        split="train",
        num=None,
        seed=0,
        data_dir=None,
        size=None,
        skip_bad=False,
        alpha=None,
    )
    _, _, images, conditions = inputs.open_input("folder:two", args, run)
    owls = {np.asarray(Image.open(path)).tobytes() for path in (tmp_path / "two" / "owl").iterdir()}
    assert {label for image, label in zip(images, conditions.labels, strict=True) if image.tobytes() in owls} == {2}
    assert set(conditions.labels) == {0, 2}
    error = run_in_process(score.main, "--workdir=run", "--input=folder:other", "--split=train")
    assert "the classes must be among the model's, cat, dog, owl; got yak" in error
    assert "or one of cat, dog, owl; got 'yak'" in run_in_process(sample.main, "--workdir=run", "--label=yak")
    assert run_in_process(sample.main, "--workdir=run", "--label=owl", "--num=2", "--npz=s.npz", "--pictures=owls") == 0
    assert sorted(path.name for path in (tmp_path / "owls").iterdir()) == ["000000_owl.png", "000001_owl.png"]
    assert np.load("s.npz")["labels"].tolist() == [2, 2]
    (tmp_path / "three" / "owl").rename("three/bat")
    with pytest.raises(ValueError, match=r"classes: cat, dog, owl -> bat, cat, dog\). Its state does not fit"):
        train(tiny_config(*fields), "run")


@pytest.mark.slow
def test_what_the_digits_reach(tmp_path):
    """Fewer steps than the shipped configurations take."""

    def scored(name):
        flags = ("--config.num_steps=150", "--config.eval_every=50")
        return train(configuration.read_config(name, flags), tmp_path / name).bits_per_dim

    plain, classes, sizes = map(scored, ("digits_diagonal_bilstm", "digits_class_conditional", "digits_multiscale"))
    assert plain < 1.9
    assert classes < plain - 0.05
    assert sizes < plain + 0.15
    flags = (f"--workdir={tmp_path}/digits_class_conditional", "--classify", f"--json={tmp_path}/s.json")
    assert run_in_process(evaluate.main, *flags) == 0
    assert json.loads((tmp_path / "s.json").read_text())["accuracy"] > 0.9
