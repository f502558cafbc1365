"""A data source: images of stars as a telescope counts their light, 16x16 pixels of 12 bits.

pixel-rnn train --plugin=docs/examples/stars.py --config=digits_pixelcnn --config.data.source=stars:500 \
  --config.model.levels=4096 --config.model.output=logistic_mixture --workdir=runs/stars
"""

import numpy as np

from pixel_rnn_jax.data import SOURCES
from pixel_rnn_jax.data.sources.source import SPLITS, Source


def read_stars(argument, config, model):
    """As many images as the argument says for training, and a tenth of that for validation and for test."""
    count = int(argument or 1000)
    rng = np.random.default_rng(0)
    images = {split: draw(count if split == "train" else count // 10, rng) for split in SPLITS}
    return Source(images, levels=4096)


def draw(num, rng):
    """Draws images of one star each, whose light spreads around it, before a dark sky; counts have Poisson noise."""
    y, x, light = rng.uniform((4, 4, 200), (12, 12, 3000), (num, 3)).T[..., None, None]
    rows, columns = np.mgrid[:16, :16]
    expected = 50 + light * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)
    return rng.poisson(expected)[..., None].clip(max=4095).astype(np.uint16)


SOURCES["stars"] = read_stars
