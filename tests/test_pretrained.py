"""The object for use agrees with the functions that it stands on."""

import dataclasses

import jax
import numpy as np
import pytest
from conftest import make_model
from PIL import Image
from scipy.special import log_softmax, logsumexp

import pixel_rnn_jax as prnn
from pixel_rnn_jax import pretrained
from pixel_rnn_jax.data.sources import tfds
from pixel_rnn_jax.storage.card import make_card
from pixel_rnn_jax.storage.run_record import RunRecord

KEY = jax.random.key(3)


def loaded(classes=(), class_counts=None, data=(), size=(4, 4), **fields):
    model, params = make_model("pixel_cnn", depth=1, features=4, head_features=4, **fields)
    model = prnn.make_model(model.config, classes)
    config = {"model": vars(model.config), "data": {"source": "digits", **dict(data)}, "batch_size": 2}
    run = RunRecord(config, (*size, model.config.channels), classes or None, class_counts=class_counts)
    return prnn.Pretrained(model, params, run)


@pytest.fixture(scope="module")
def grey():
    return loaded(levels=8, data={"quantize": True})


@pytest.fixture(scope="module")
def classes():
    return loaded(levels=2, num_classes=3, classes=("cat", "owl"), class_counts=(7, 1, 0))


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), np.uint8)


def test_a_name_gives_the_model_of_load():
    found = prnn.from_pretrained("digits_rowlstm")
    model, params = prnn.load("digits_rowlstm")
    assert found.model == model
    assert found.config == model.config
    jax.tree.map(np.testing.assert_array_equal, found.params, params)
    assert found.image_shape == (8, 8, 1)
    assert found.class_names == ()
    with pytest.raises(ValueError, match=r"'digits' must be .*, or one of cifar_.*digits_rowlstm"):
        prnn.from_pretrained("digits")


def test_bits_are_those_of_the_images_own_size(grey, tmp_path):
    """Arrays in files may be of another size than the training's images."""
    images = np.random.default_rng(0).integers(0, 8, (2, 4, 12, 1)).astype(np.uint8)
    np.save(tmp_path / "wide.npy", images)
    expected = prnn.bits_per_dim(np.asarray(prnn.log_prob(grey.model, grey.params, images)), (4, 12, 1))
    np.testing.assert_allclose(grey.bits_per_dim(tmp_path / "wide.npy"), expected, rtol=1e-6)


def test_a_model_whose_data_is_of_another_version_has_a_card(grey):
    run = dataclasses.replace(grey._run, config={**grey._run.config, "data": {"source": "digits", "gone": 1}})
    assert make_card(run, grey.params)["data"] == "digits"


def test_scores_are_those_of_the_functions_to_the_last_bit(grey, pictures, monkeypatch):
    images = prnn.quantize(pictures, 8)
    np.testing.assert_array_equal(grey.images(pictures), images)
    expected = np.asarray(prnn.log_prob(grey.model, grey.params, images))
    np.testing.assert_array_equal(grey.log_prob(pictures), expected)
    np.testing.assert_array_equal(grey.bits_per_dim(pictures), prnn.bits_per_dim(expected, (4, 4, 1)))
    np.testing.assert_array_equal(grey.surprise(pictures), -prnn.log_probs(grey.model, grey.params, images))
    monkeypatch.setattr(pretrained, "PIXELS_AT_A_TIME", 32)
    last = np.asarray(prnn.log_prob(grey.model, grey.params, images[[2, 2]]))[:1]
    np.testing.assert_array_equal(grey.log_prob(pictures)[2:], last)
    assert grey.log_prob(pictures).shape == (3,)


def test_pictures_drawn_are_those_of_the_functions(grey, pictures):
    drawn = prnn.sample(grey.model, grey.params, KEY, num=2, size=(4, 4))
    for found, expected in zip(grey.sample(2, seed=3), prnn.to_picture(drawn, 8), strict=True):
        np.testing.assert_array_equal(np.asarray(found), expected[..., 0])
    known = np.ones((4, 4), bool)
    known[1:4, 0:3] = False
    images = np.repeat(prnn.quantize(pictures[:1], 8), 2, 0)
    completed = prnn.complete(grey.model, grey.params, KEY, images, known)
    for found, expected in zip(grey.complete(pictures[0], (1, 0, 4, 3), num=2, seed=3), completed, strict=True):
        np.testing.assert_array_equal(grey.images(prnn.to_picture(expected, 8)), expected[None])
        np.testing.assert_array_equal(np.asarray(found), prnn.to_picture(expected, 8)[..., 0])


def test_pil_path_and_array_are_the_same_picture(tmp_path, capsys):
    """Larger ones in colour for a model of small grey ones, as they are read in training."""
    grey = loaded(levels=8, data={"quantize": True})
    array = np.random.default_rng(0).integers(0, 256, (12, 8, 3), np.uint8)
    picture = Image.fromarray(array)
    picture.save(tmp_path / "1.png")
    picture.save(tmp_path / "2.jpg", quality=60)
    jpeg = Image.open(tmp_path / "2.jpg")
    dataset = prnn.data.Dataset(
        prnn.data.DataConfig(source=f"folder:{tmp_path}", size=(4, 4), quantize=True), grey.config, carve=False
    )
    expected = dataset.images("train")
    capsys.readouterr()
    np.testing.assert_array_equal(grey.images([picture, jpeg]), expected)
    assert capsys.readouterr().err.splitlines() == [
        "pictures: cut and reduced from 12x8 to 4x4 pixels",
        "pictures: pictures in colour were made grey",
    ]
    for given in (
        [array, np.asarray(jpeg)],
        np.stack([array, np.asarray(jpeg)]),
        [array / 255, tmp_path / "2.jpg"],
        [str(tmp_path / "1.png"), jpeg.convert("CMYK").convert("RGB")],
        tmp_path,
    ):
        np.testing.assert_array_equal(grey.images(given)[0], expected[0])
    np.testing.assert_array_equal(grey.images(tmp_path), expected)
    np.save(tmp_path / "x.npy", expected)
    np.testing.assert_array_equal(grey.images(tmp_path / "x.npy"), expected)


def test_arrays_are_as_deep_as_the_pictures_of_the_training():
    """A model of 12 bits, or one that was trained on them reduced to 8 levels."""
    values = np.random.default_rng(0).integers(0, 4096, (2, 4, 4, 1), np.uint16)
    deep, reduced = loaded(levels=4096), loaded(levels=8, data={"quantize": True, "source_levels": 4096})
    np.testing.assert_array_equal(deep.images(values), values)
    np.testing.assert_array_equal(deep.images([values[0, ..., 0], values[1] / 4095]), values)
    np.testing.assert_array_equal(reduced.images(values), values // 512)
    colour = loaded(levels=4096, channels=3)
    np.testing.assert_array_equal(colour.images(values), values.repeat(3, -1))
    with pytest.raises(ValueError, match=r"picture 0 has 3 channels of 16 bits, where 1 are expected"):
        deep.images(values.repeat(3, -1))


def test_a_model_of_ones_own_training_takes_pictures_as_quantize_makes_them(grey, pictures):
    by_loop = loaded(levels=8)
    np.testing.assert_array_equal(by_loop.images(pictures), prnn.quantize(pictures, 8))


def test_grey_becomes_colour_and_it_is_said(pictures, capsys):
    colour = loaded(levels=256, channels=3)
    np.testing.assert_array_equal(colour.images(pictures), pictures.repeat(3, -1))
    assert capsys.readouterr().err == "pictures: pictures in grey were given three equal channels\n"
    np.testing.assert_array_equal(colour.images(pictures.repeat(3, -1)), pictures.repeat(3, -1))
    assert not capsys.readouterr().err


def test_classes_by_bayes_rule(classes, pictures, capsys):
    assert classes.class_names == ("cat", "owl", "2")
    images = prnn.quantize(pictures, 2)
    labels = [np.full(3, label, np.int32) for label in range(3)]
    log_probs = [prnn.log_prob(classes.model, classes.params, images, labels=same) for same in labels]
    joint = np.stack(log_probs, 1).astype(np.float64) + np.log([8 / 11, 2 / 11, 1 / 11])
    found = classes.classify(list(pictures))
    np.testing.assert_array_equal(found.log_probs, log_softmax(joint, axis=1))
    assert found.names == [classes.class_names[number] for number in joint.argmax(1)]
    np.testing.assert_array_equal(classes.log_prob(pictures), logsumexp(joint, axis=1))
    np.testing.assert_array_equal(classes.log_prob(pictures, label="owl"), log_probs[1])
    assert not capsys.readouterr().err
    equal = loaded(levels=2, num_classes=3)
    equal_joint = np.stack(log_probs, 1).astype(np.float64) + np.log([1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_array_equal(equal.classify(pictures).log_probs, log_softmax(equal_joint, axis=1))
    assert "all classes are taken as equally likely" in capsys.readouterr().err


def test_samples_of_classes(classes):
    def drawn(labels):
        images = prnn.sample(classes.model, classes.params, KEY, num=4, size=(4, 4), labels=np.array(labels, np.int32))
        return prnn.to_picture(images, 2)[..., 0]

    np.testing.assert_array_equal(np.stack(classes.sample(4, seed=3, label="owl")), drawn([1, 1, 1, 1]))
    np.testing.assert_array_equal(np.stack(classes.sample(4, seed=3)), drawn([0, 1, 2, 0]))


@pytest.mark.parametrize(
    "call,message",
    [
        (lambda grey, classes: grey.images([]), "pictures must hold at least 1 picture that can be used; got none"),
        (lambda grey, classes: grey.images("nowhere.png"), "there is no file or folder nowhere.png"),
        (lambda grey, classes: grey.images(np.zeros((2, 2, 2))), r"got \(2, 2, 2\)"),
        (lambda grey, classes: grey.images(np.full((4, 4), 256)), r"integers in \[0, 256\) or floats in \[0, 1\]; got int64"),
        (lambda grey, classes: grey.images(np.full((4, 4), 7)), "values from 0 to 255; got at most 7. .*8 levels"),
        (lambda grey, classes: grey.images([np.zeros((4, 4)), np.zeros((3, 9))]), "picture 1 is 3x9 pixels, smaller"),
        (lambda grey, classes: grey.images(Image.new("RGBA", (4, 4))), "picture 0 is transparent"),
        (lambda grey, classes: grey.images(Image.new("F", (4, 4))), "a picture of mode F cannot be used"),
        (lambda grey, classes: grey.classify(np.zeros((4, 4))), "num_classes=0"),
        (lambda grey, classes: grey.sample(label="cat"), "label is for class-conditional models.* Got 'cat'"),
        (lambda grey, classes: grey.sample(0), "num must be an integer of at least 1; got 0"),
        (lambda grey, classes: grey.sample(seed=-1), "seed must be an integer from 0 to .*; got -1"),
        (lambda grey, classes: grey.complete(np.zeros((4, 4)), (0, 0, 5, 1)), "box must be TOP,.* 4x4 pixels; got 0,0,5,1"),
        (lambda grey, classes: grey.complete(np.zeros((2, 4, 4, 1)), (0, 0, 1, 1)), "one picture; got 2"),
        (lambda grey, classes: classes.sample(label="yak"), r"number in \[0, 3\) or one of cat, owl; got 'yak'"),
        (lambda grey, classes: classes.sample(label=3), r"number in \[0, 3\) or one of cat, owl; got 3"),
        (lambda grey, classes: classes.surprise(np.zeros((4, 4))), "surprise needs the label .* cat, owl, 2; got None"),
        (lambda grey, classes: classes.complete(np.zeros((4, 4)), (0, 0, 1, 1)), "complete needs the label"),
    ],
)
def test_mistakes_are_told(grey, classes, call, message):
    with pytest.raises(ValueError, match=message):
        call(grey, classes)


@pytest.mark.parametrize(
    "name,count,shape",
    [("mnist_rowlstm", 20, (28, 28, 1)), ("cifar_rowlstm_small", 20, (32, 32, 3)), ("digits_rowlstm", 25, (8, 8, 1))],
)
def test_examples_are_test_images(name, count, shape):
    found = prnn.from_pretrained(name)
    images = found.examples(25)
    assert images.shape == (count, *shape)
    assert images.max() == found.config.levels - 1
    np.testing.assert_array_equal(found.examples(3), images[:3])


def test_examples_of_data_that_is_elsewhere(grey):
    elsewhere = loaded(levels=8, data={"source": "npz:nowhere.npz"})
    with pytest.raises(ValueError, match=r"nowhere\.npz"):
        elsewhere.examples()


def test_examples_download_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "_prepare", lambda builder: pytest.fail("a download would start"))
    elsewhere = loaded(levels=256, data={"source": "tfds:fashion_mnist", "data_dir": str(tmp_path)})
    with pytest.raises(ValueError, match="the images of tfds:fashion_mnist are not on this machine"):
        elsewhere.examples()


def test_validation_scores_are_kept_with_the_model(grey):
    shipped = prnn.from_pretrained("digits_rowlstm")
    assert shipped.validation_scores.shape == (180,)
    assert f"{shipped.validation_scores.mean():.4f} bits/dim" in shipped.card["validation"]
    assert len(grey.validation_scores) == 0
