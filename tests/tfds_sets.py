"""TFDS sets of random images, written as TFDS stores them."""

import io
import types

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


def png(image):
    file = io.BytesIO()
    Image.fromarray(image.squeeze()).save(file, "PNG")
    file.seek(0)
    return file


def store(name, data_dir, arrays):
    """Writes arrays in the form in which TFDS itself would store this set."""
    original = tfds.builder(name, data_dir=str(data_dir), file_format="array_record")

    class Offline(type(original), skip_registration=True):
        def _make_download_manager(self, *args, **kwargs):
            return types.SimpleNamespace(downloaded_size=0)

        def _split_generators(self, dl_manager, *args):
            return {split: self._examples(split) for split in arrays}

        def _examples(self, split):
            for number, image in enumerate(arrays[split]):
                example = {"image": png(image)}
                if "label" in self.info.features:
                    example["label"] = number % 10
                if "id" in self.info.features:
                    example["id"] = f"{split}_{number:05d}"
                yield number, example

    Offline.name, Offline.pkg_dir_path = original.name, type(original).pkg_dir_path
    config = {"config": original.builder_config.name} if original.builder_config else {}
    Offline(data_dir=str(data_dir), file_format="array_record", **config).download_and_prepare()


def random_images(*shape, high=256):
    return np.random.default_rng(0).integers(0, high, shape).astype(np.uint8)
