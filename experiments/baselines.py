"""Scores that need no training:  python -m experiments.baselines --config=experiments/cifar_rowlstm.py

Uniform, independent pixels, and a multivariate Gaussian, on the data of a configuration. The paper quotes 8.00 (uniform) and
4.70 (Gaussian) bits/dim for CIFAR-10.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from experiments import command
from pixel_rnn_jax import baselines
from pixel_rnn_jax.data.image_set import in_order
from pixel_rnn_jax.evaluate import score
from pixel_rnn_jax.progress import progress_bar

CHUNK = 1000


def main(argv: Sequence[str] | None = None) -> None:
    """Fits the baselines to the training images, and prints their scores on a split."""
    parser = command.make_parser("baselines", __doc__, workdir=False)
    command.add_config_flag(parser)
    parser.add_argument("--split", help="split to score; test, or validation where there is no test, if not given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores to this file, as JSON")
    args, overrides = parser.parse_known_args(argv)
    config = command.read_config(args.config, overrides).to_dict()
    dataset = command.open_dataset(config)
    split = args.split or ("test" if "test" in dataset.splits else "validation")
    images, levels = dataset.images(split), config["model"]["levels"]

    def train_images(name: str):
        train = dataset.images("train")
        with progress_bar(len(train), unit="image", description=f"fitting {name}", delay=2.0) as bar:
            for chunk in in_order(train, batch_size=CHUNK, num_threads=1):
                yield chunk
                bar.update(len(chunk))

    fits = {
        "uniform": lambda name: baselines.uniform(levels),
        "independent pixels": lambda name: baselines.independent_pixels(train_images(name), levels),
        "multivariate Gaussian": lambda name: baselines.gaussian(train_images(name), levels),
    }
    scores = {}
    print(f"{len(images)} images of {dataset.config.source}, {dataset.config.treatment}")
    for name, fit in fits.items():
        scores[name] = score(fit(name), split, in_order(images, batch_size=CHUNK, num_threads=1), dataset.image_shape)
        print(f"{name:22}", scores[name], flush=True)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        records = {name: dataclasses.asdict(value) for name, value in scores.items()}
        args.json.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    command.run(main)
