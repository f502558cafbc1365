"""Lossless compression: what is decoded, how large it is, and files that are not what they should be."""

import dataclasses
import itertools
import json
import os
import struct
import types
import warnings

import jax
import jaxlib
import numpy as np
import pytest
from conftest import LAYERS, make_model

import pixel_rnn_jax as prnn
from pixel_rnn_jax.compression import codec, fingerprint
from pixel_rnn_jax.compression.codec import cut_conditions, seconds_to_code
from pixel_rnn_jax.compression.container import pack, unpack
from pixel_rnn_jax.compression.fingerprint import checksum, this_platform
from pixel_rnn_jax.compression.tiles import cut, join
from pixel_rnn_jax.models.conditioning import Conditions


def random_images(*shape, levels=4, seed=0):
    return np.random.default_rng(seed).integers(0, levels, shape).astype(np.uint8)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("channels,levels", [(1, 2), (3, 5)])
def test_what_is_decoded_is_what_was_coded(layer, channels, levels):
    model, params = make_model(layer, channels=channels, levels=levels)
    images = random_images(5, 6, 7, channels, levels=levels)
    np.testing.assert_array_equal(prnn.decompress(model, params, prnn.compress(model, params, images)), images)


@pytest.mark.parametrize(
    "fields",
    [{"sizes": (1, 2), "num_classes": 3}, {"context_channels": 1, "context_scale": 2, "num_classes": 3}],
    ids=["sizes", "context"],
)
def test_conditions_are_needed_to_decode(fields):
    """In tiles that are not full, and batches that are not."""
    model, params = make_model("diagonal_bilstm", channels=2, levels=5, **fields)
    images = random_images(3, 6, 10, 2, levels=5)
    conditions = {"labels": np.array([2, 0, 1])}
    if "context_channels" in fields:
        conditions["context"] = random_images(3, 3, 5, 1, levels=256)
    blob = prnn.compress(model, params, images, **conditions, tile=(4, 4), batch_size=5)
    np.testing.assert_array_equal(prnn.decompress(model, params, blob, **conditions), images)
    for name, array in conditions.items():
        with pytest.raises(ValueError, match="context and labels must be those that the file was compressed with"):
            prnn.decompress(model, params, blob, **{**conditions, name: array[::-1]})
    with pytest.raises(ValueError, match="labels must be integers .* got none"):
        prnn.decompress(model, params, blob, **{**conditions, "labels": None})
    with pytest.raises(ValueError, match="tiles must have sides that are multiples of 2; got 3x4 pixels"):
        prnn.compress(model, params, images, **conditions, tile=(3, 4))


def test_each_tile_has_its_part_of_the_conditions():
    """Else coder and decoder would still agree, at a price."""
    model, params = make_model("pixel_cnn", levels=5, num_classes=9, context_channels=1, context_scale=2)
    images, labels = random_images(3, 6, 10, 1, levels=5), np.array([2, 0, 1])
    conditions = Conditions(images[:, ::2, ::2], labels)
    header, _ = unpack(prnn.compress(model, params, images, *conditions, tile=(4, 4)))
    tile_conditions, tiles = cut_conditions(header, model.config, conditions), cut(images, (4, 4))
    np.testing.assert_array_equal(tile_conditions.labels, labels.repeat(6))
    full = [number for number in range(18) if number % 6 in (0, 1)]  # the others are filled up, each in its own way
    np.testing.assert_array_equal(tile_conditions.context[full], tiles[full, ::2, ::2])


def test_size_of_several_sizes_is_the_negative_log_likelihood():
    """No pixel costs twice, though two networks see it."""
    model, params = make_model("pixel_cnn", levels=17, sizes=(3, 6))
    images = random_images(100, 6, 6, 1, levels=17)
    _, payload = unpack(prnn.compress(model, params, images))
    nll_bytes = -float(prnn.log_prob(model, params, images).sum()) / np.log(2) / 8
    assert nll_bytes - 1 < len(payload) < 1.001 * nll_bytes + 16


@pytest.mark.parametrize("options", [{"batch_size": 3}, {"tile": (4, 3)}, {"tile": (8, 9), "batch_size": 2}])
def test_batches_and_tiles(options):
    model, params = make_model("row_lstm", levels=4)
    images = random_images(7, 6, 7, 1)
    blob = prnn.compress(model, params, images, **options)
    np.testing.assert_array_equal(prnn.decompress(model, params, blob), images)
    assert prnn.compressed_shape(blob) == images.shape
    with pytest.raises(ValueError, match="damaged or cut off"):
        prnn.compressed_shape(blob[:-1])


def test_no_images():
    model, params = make_model("row_lstm", levels=4)
    images = random_images(0, 6, 7, 1)
    np.testing.assert_array_equal(prnn.decompress(model, params, prnn.compress(model, params, images)), images)


@pytest.mark.parametrize("fields", [{"channels": 3, "input": "embedding"}, {"channels": 1, "sizes": (2, 4)}], ids=str)
def test_deep_images_of_a_mixture_come_back(fields):
    model, params = make_model("pixel_cnn", levels=300, output="logistic_mixture", mixture_components=2, **fields)
    images = np.random.default_rng(0).integers(0, 300, (2, 4, 4, model.config.channels)).astype(np.uint16)
    images[0, 0, :2] = [[0], [299]]
    found = prnn.decompress(model, params, prnn.compress(model, params, images))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, images)


def test_numbers_of_a_mixture_are_no_logits_though_there_are_as_many():
    model, params = make_model("pixel_cnn", levels=6, output="logistic_mixture", mixture_components=2)
    images = np.asarray(prnn.sample(model, params, jax.random.key(0), num=40, size=(4, 4)))
    _, payload = unpack(prnn.compress(model, params, images))
    nll_bytes = -float(prnn.log_prob(model, params, images).sum()) / np.log(2) / 8
    assert nll_bytes - 1 < len(payload) < 1.01 * nll_bytes + 16


def test_256_levels_and_improbable_images():
    """Values of probabilities below what the coder can hold are coded all the same."""
    model, params = make_model("pixel_cnn", levels=256, features=8)
    params = jax.tree.map(lambda leaf: 8 * leaf, params)
    images = random_images(2, 4, 4, 1, levels=256)
    assert np.all(np.asarray(prnn.log_prob(model, params, images)) < -500)
    np.testing.assert_array_equal(prnn.decompress(model, params, prnn.compress(model, params, images)), images)


@pytest.mark.parametrize("levels", [pytest.param(2, marks=pytest.mark.slow), 17])
def test_size_is_the_negative_log_likelihood(levels):
    model, params = make_model("row_lstm", levels=levels)
    params = jax.tree.map(lambda leaf: 2 * leaf, params)  # so that it matters what a pixel sees
    images = np.asarray(prnn.sample(model, params, jax.random.key(0), num=100, size=(6, 6)))
    _, payload = unpack(prnn.compress(model, params, images))
    nll_bytes = -float(prnn.log_prob(model, params, images).sum()) / np.log(2) / 8
    assert nll_bytes - 1 < len(payload) < 1.001 * nll_bytes + 16


def test_tiles_are_cut_and_joined():
    images = random_images(2, 5, 7, 3)
    tiles = cut(images, (2, 3))
    assert tiles.shape == (2 * 3 * 3, 2, 3, 3)
    np.testing.assert_array_equal(tiles[4], images[0, 2:4, 3:6])
    np.testing.assert_array_equal(join(tiles, 2, (5, 7)), images)


@pytest.fixture(scope="module")
def coded():
    model, params = make_model("row_lstm", levels=4)
    images = random_images(6, 5, 5, 1)
    return model, params, images, prnn.compress(model, params, images)


def test_a_thousand_corruptions(coded):
    """Bytes flipped, removed, inserted, swapped: each is told before anything is decoded."""
    model, params, _, blob = coded
    rng = np.random.default_rng(0)
    for trial in range(2000):
        damaged = bytearray(blob)
        place = int(rng.integers(len(blob)))
        match trial % 5:
            case 0:
                damaged[place] ^= 1 << int(rng.integers(8))
            case 1:
                del damaged[place:]
            case 2:
                damaged[place:place] = rng.bytes(int(rng.integers(1, 9)))
            case 3:
                damaged[place : place + 8] = rng.bytes(8)
            case 4:
                del damaged[place : place + int(rng.integers(1, 9))]
        if bytes(damaged) != blob:
            with pytest.raises(ValueError, match=r"\.prnn file"):
                prnn.decompress(model, params, bytes(damaged))


def test_damage_that_the_checksum_does_not_tell_gives_no_wrong_image(coded):
    """The payload is changed, and the file's checksum made to fit: what another platform's rounding would lead to."""
    model, params, images, blob = coded
    header, payload = unpack(blob)
    rng = np.random.default_rng(0)
    for _ in range(50):
        damaged = bytearray(payload)
        damaged[int(rng.integers(len(payload)))] ^= 1 << int(rng.integers(8))
        try:
            decoded = prnn.decompress(model, params, pack(header, bytes(damaged)))
        except ValueError as error:
            assert "does not decode here" in str(error)
        else:  # the coder's last word has bits that nothing depends on
            np.testing.assert_array_equal(decoded, images)


def forge(fields, payload):
    """A file with any header, and a checksum that matches."""
    text = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    body = b"PRNN" + struct.pack("<HI", 3, len(text)) + text + payload
    return body + checksum(body)


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"num": 2**31 - 1}, r"payload must have at least \d+ bytes for the images in its header, .* got 48"),
        ({"num": 7}, "does not decode here"),
        ({"num": 5, "batch_size": 5}, "checksum of its images differs"),
        ({"height": 2**31 - 1}, r"payload must have at least \d+ bytes"),
        ({"tile_height": 2**30}, "tiles must not be larger than images"),
        ({"batch_size": 2**20}, "nor batches than all tiles"),
        ({"num": 2**24, "batch_size": 2**24}, r"at most 4 GiB of memory; it needs [0-9.]+\. Compress in tiles"),
        ({"num": 1, "height": 2**28, "tile_height": 2**28, "batch_size": 1}, "at most 4 GiB of memory"),
        ({"num": 1, "width": 2**28, "tile_width": 2**28, "batch_size": 1}, "at most 4 GiB of memory"),
        ({"num": 0, "height": 2**30, "tile_height": 2**30, "batch_size": 1}, "at most 4 GiB of memory"),
        ({"width": 0}, "sizes must be at least 1"),
        ({"levels": 1}, "levels from 2 to 65536"),
        ({"model_hash": "00" * 16}, "compressed by another model"),
        ({"num": 1.0}, r"header must be a JSON object of num \(int\), height"),
        ({"height": True}, "header must be a JSON object"),
        ({"platform": None}, "header must be a JSON object"),
        ({"more": 1}, "header must be a JSON object"),
    ],
)
def test_headers_that_are_wrong(coded, changes, message):
    model, params, _, blob = coded
    header, payload = unpack(blob)
    if "GiB" in message:  # long enough a payload that memory is what it fails by
        payload = payload.ljust(2**21, b"\0")
    with pytest.raises(ValueError, match=message):
        prnn.decompress(model, params, forge({**dataclasses.asdict(header), **changes}, payload))


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff", b"{", b"[" * 100_000, b'{"num":' + b"9" * 5000 + b"}"])
def test_headers_that_are_no_json_objects(text):
    with pytest.raises(ValueError, match="header must be a JSON object"):
        unpack(forge(text, b""))


def test_lengths_that_are_wrong(coded):
    header, payload = unpack(coded[3])
    with pytest.raises(ValueError, match="words of 4 bytes; got 47 bytes"):
        unpack(forge(dataclasses.asdict(header), payload[:-1]))
    body = b"PRNN" + struct.pack("<HI", 3, 2**32 - 1)
    with pytest.raises(ValueError, match="header must be a JSON object"):
        unpack(body + checksum(body))


def test_images_of_hardly_any_bits():
    """The payload is padded to what readers demand."""
    model, params = make_model("pixel_cnn", levels=2, depth=1)
    params["head"]["logits"]["bias"] = np.float32([-40])
    images = np.zeros((9, 32, 32, 1), np.uint8)
    blob = prnn.compress(model, params, images)
    assert len(unpack(blob)[1]) == 12
    np.testing.assert_array_equal(prnn.decompress(model, params, blob), images)


def test_what_is_no_prnn_file():
    model, params = make_model("row_lstm", levels=4)
    for blob, message in (
        (b"", "must start with"),
        (b"\x89PNG\r\n", "must start with"),
        (b"PRNN\x01", "cut off after 5 bytes"),
        (b"PRNN\x02" + bytes(200), "format version 3; got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            prnn.decompress(model, params, blob)


def test_other_parameters_do_not_decode(coded):
    model, params, _, blob = coded
    params = jax.tree.map(np.copy, params)
    params["head"]["logits"]["bias"][0] += 1e-7
    with pytest.raises(ValueError, match="compressed by another model"):
        prnn.decompress(model, params, blob)


def test_another_model_of_the_same_parameters_does_not_decode(coded):
    model, params, _, blob = coded
    other = prnn.PixelRNN(dataclasses.replace(model.config, residual=False))
    with pytest.raises(ValueError, match="compressed by another model"):
        prnn.decompress(other, params, blob)


def test_what_is_of_the_training_only_does_not_matter(coded):
    model, params, images, blob = coded
    other = prnn.PixelRNN(dataclasses.replace(model.config, remat=True, dropout=0.5))
    np.testing.assert_array_equal(prnn.decompress(other, params, blob), images)


def test_the_processors_name_may_have_any_letters(coded, monkeypatch):
    model, params, images, _ = coded
    monkeypatch.setattr(fingerprint, "processor", lambda: "Intel® Core™")
    blob = prnn.compress(model, params, images)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(prnn.decompress(model, params, blob), images)


def test_the_platform_names_what_numbers_depend_on():
    name = this_platform()
    assert f"jaxlib {jaxlib.__version__}" in name
    assert jax.devices()[0].device_kind in name
    assert f"{len(os.sched_getaffinity(0))} cores" in name


def test_another_platform_is_warned_of(coded, monkeypatch):
    model, params, images, blob = coded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prnn.decompress(model, params, blob)
    monkeypatch.setattr(codec, "this_platform", lambda: "abacus")
    with pytest.warns(UserWarning, match=r"may not decode here: it was compressed on \[jaxlib .*\], this is \[abacus\]"):
        np.testing.assert_array_equal(prnn.decompress(model, params, blob), images)


@pytest.mark.parametrize(
    "images,options,message",
    [
        (np.full((1, 3, 3, 1), 4, np.uint8), {}, r"\[0, 4\); got values from 4 to 4"),
        (np.zeros((3, 3, 1), np.uint8), {}, "4 axes"),
        (np.zeros((1, 3, 3, 1), np.uint8), {"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
        (np.zeros((1, 3, 3, 1), np.uint8), {"tile": (0, 3)}, "tile: height must be an integer of at least 1; got 0"),
        (np.zeros((1, 3, 3, 1), np.uint8), {"tile": (3,)}, r"tile must be \(height, width\)"),
    ],
)
def test_bad_arguments(images, options, message):
    model, params = make_model("row_lstm", levels=4)
    with pytest.raises(ValueError, match=message):
        prnn.compress(model, params, images, **options)


def test_parameters_that_are_not_finite():
    model, params = make_model("row_lstm", levels=4)
    params = jax.tree.map(lambda leaf: leaf * np.nan, params)
    with pytest.raises(ValueError, match="not finite"):
        prnn.compress(model, params, random_images(1, 2, 2, 1))
    with pytest.raises(ValueError, match="not finite"):
        seconds_to_code(model, params, (1, 2, 2))


def test_contexts_are_integers():
    model, params = make_model("row_lstm", context_channels=1)
    context = np.full((1, 3, 3, 1), 0.9, np.float32)
    with pytest.raises(ValueError, match=r"context: images must be integers in \[0, 256\); got dtype float32"):
        prnn.compress(model, params, np.zeros((1, 3, 3, 1), np.uint8), context)


def test_the_time_that_it_takes_is_estimated(monkeypatch):
    """By the number of rows, if every row took a second."""
    model, params = make_model("row_lstm", channels=3, levels=4)
    clock = itertools.count()
    monkeypatch.setattr(codec, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    assert seconds_to_code(model, params, (9, 8, 7), batch_size=4) == 3 * 8
    assert seconds_to_code(model, params, (9, 8, 7), batch_size=10, tile=(3, 4)) == 6 * 3


def test_the_checksum_is_blake2b():
    assert checksum(b"").hex() == "e4a6a0577479b2b4"
