"""Scores images one by one:  pixel-rnn score --workdir=runs/digits --input=pictures --out=scores.csv --worst=20

Writes the negative log-likelihood of each image, with its file or number, its rank (1: the least likely of its set), and its
p-value: the share of the training's validation images that score at least as high. With a second set of images (--against), it
also prints how well the score separates the two sets (AUROC). Where a class-conditional model is told no class, by --label or
the data, the likelihood is the sum over all classes.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from sklearn.metrics import roc_auc_score

from pixel_rnn_jax.cli import command, flags, inputs, outputs, pictures
from pixel_rnn_jax.cli.scorers import make_scorer, relative_area
from pixel_rnn_jax.compression.picture_formats import webp_bits, webp_holds
from pixel_rnn_jax.data.image_set import CHUNK, ImageSet, in_order, take
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.evaluation.classify import log_prior, marginal_log_probs
from pixel_rnn_jax.evaluation.odd_ones import p_values, ranks
from pixel_rnn_jax.models.likelihood import bits_per_dim, log_prob, log_probs
from pixel_rnn_jax.parallel.cpu_devices import share_among_cores
from pixel_rnn_jax.parallel.distributed import tell
from pixel_rnn_jax.plots import save_captioned, save_histogram, to_rgb
from pixel_rnn_jax.pretrained import class_prior
from pixel_rnn_jax.storage.load import load_run
from pixel_rnn_jax.storage.run_record import RunRecord

COLUMNS = ("set", "image", "nats", "bits_per_dim", "relative_to_webp", "rank", "p_value")
UNITS = {"bits_per_dim": "bits/dim", "relative_to_webp": "bits/dim above WebP"}


def main(argv: Sequence[str] | None = None) -> None:
    """Writes a CSV file of scores, and draws a histogram."""
    parser = flags.make_parser("score", __doc__, "--workdir", *flags.INPUT)
    parser.add_argument("--against", metavar="PATH|SOURCE", help="a second set of images, named like --input")
    parser.add_argument("--batch_size", type=flags.positive, help="images at a time; by default as in training")
    parser.add_argument(
        "--out", type=outputs.output_file(".csv"), default="scores.csv", help="CSV file to write, with a row for each image"
    )
    parser.add_argument(
        "--histogram", type=outputs.output_file(".png"), help="also write a histogram of the scores to this PNG file"
    )
    by = "the score that ranks and p-values are of, and all that is drawn: bits_per_dim is the negative log-likelihood;"
    by += " relative_to_webp subtracts the size as a lossless WebP file, since simple pictures are likely under any model"
    parser.add_argument("--by", choices=UNITS, default="bits_per_dim", help=by)
    worst = "also print the images of --input that rank first, so many of them, and draw them beside the CSV file: *_worst.png"
    parser.add_argument("--worst", type=flags.positive, metavar="NUM", help=worst)
    maps = "also write a map of each image in --input to this new folder: the nats of each pixel, as a picture and in maps.npz"
    parser.add_argument("--maps", type=pictures.new_folder, metavar="FOLDER", help=maps)
    args = parser.parse_args(argv)
    share_among_cores(args.batch_size)
    model, params, run = load_run(args.workdir)
    paths = [args.input, args.against] if args.against else [args.input]
    sets = [inputs.open_input(path, args, run, in_memory=False, needs_labels=bool(args.maps)) for path in paths]

    for name, _, images, _ in sets:
        if args.by == "relative_to_webp" and not webp_holds(images.shape[1:], model.config.levels):
            shape = "x".join(map(str, images.shape[1:]))
            raise InputError(
                f"--by={args.by} needs images that WebP can hold, of 1, 3 or 4 channels and at most 256 levels and 16,383"
                f" pixels to a side; {name} has {shape}, {model.config.levels} levels."
            )
    worst = args.worst and args.out.with_name(f"{args.out.stem}_worst.png")
    rows, scores = [], {}
    for number, (name, names, images, conditions) in enumerate(sets):
        scorer = make_scorer(model, params, run, images, args.batch_size)
        classes = model.config.num_classes if conditions.labels is None else 0  # over which to sum
        if relative_area(run, images) > 1:
            conditions_of_one = inputs.labelled(conditions, 0 if classes else None, len(images))
            seconds = scorer.seconds(images, conditions_of_one, rows=min(run.image_shape[0], images.shape[1]))
            seconds *= max(classes, 1)
            print(f"scoring {len(images)} images of {name}: about {seconds:,.0f} s once compiled", file=sys.stderr)
        if classes:
            nats = -marginal_log_probs(scorer, images, class_prior(run), conditions)
        else:
            surprise = -scorer.log_probs(images, conditions, function=log_probs if args.maps else log_prob)
            nats = surprise.reshape(len(surprise), -1).sum(1)
        if args.maps and number == 0:
            pictures.write_maps(args.maps, names, images, surprise, model.config.levels)
        columns = {"bits_per_dim": bits_per_dim(-nats, images.shape[1:])}
        columns["relative_to_webp"] = columns["bits_per_dim"] - webp_bits_per_dim(images, run)
        chosen = scores[name if number == 0 else f"against {name}"] = columns[args.by]
        p_value = p_values_of(chosen, name, images, run, args.by, labelled=not classes)
        table = zip(nats, *columns.values(), ranks(chosen), p_value, strict=True)
        rows += [(name, image, *map(_cell, scores_of_image)) for image, scores_of_image in zip(names, table, strict=True)]
        bits = columns["bits_per_dim"].mean()
        print(f"{name}: {len(nats)} images, {nats.mean():.2f} ± {nats.std():.2f} nats, {bits:.4f} bits/dim")
        if worst and number == 0:
            first = np.argsort(ranks(chosen))[: args.worst]
            rgb = to_rgb(take(images, first), model.config.levels)
            show_worst(worst, rgb, [names[image] for image in first], chosen[first], p_value[first], name, args.by)
    outputs.write_csv(args.out, [COLUMNS, *rows])
    if len(scores) == 2:
        usual, other = scores.values()
        auc = roc_auc_score(np.repeat([0, 1], [len(usual), len(other)]), np.concatenate([usual, other]))
        unit = UNITS[args.by]
        print(f"an image of the second set scores higher ({unit}) than one of the first with probability {auc:.4f} (AUROC)")
    if args.histogram:
        save_histogram(args.histogram, scores, title=f"{model.config.layer} of {run.data.source}", unit=UNITS[args.by])
    print(*filter(None, (args.out, args.histogram, worst, args.maps)))


def webp_bits_per_dim(images: ImageSet, run: RunRecord) -> Float[np.ndarray, " N"]:
    """The size of each image as a WebP file, in bits per sub-pixel; NaN if it cannot be one."""
    chunks = in_order(images, batch_size=CHUNK, num_threads=run.data.num_threads)
    bits = np.concatenate([webp_bits(chunk, run.model.levels) for chunk in chunks])
    return bits / math.prod(images.shape[1:])


def p_values_of(
    scores: Float[np.ndarray, " N"], name: str, images: ImageSet, run: RunRecord, by: str, *, labelled: bool
) -> Float[np.ndarray, " N"]:
    """The p-values of scores by those of the validation images that the run keeps; NaN, which is told, if it keeps none.

    Of a class-conditional model these are log p(x | y). Where the classes of the `images` are not known (`labelled` is False),
    log p(x) >= log p(x | y) + log p(y) bounds log p(x), with the p(y) of the rarest class.
    """
    nats, bits = run.validation_scores
    if run.model.num_classes and not labelled:
        nats = nats - log_prior(np.array(run.class_counts or [0] * run.model.num_classes)).min()
    usual = bits_per_dim(-nats, run.image_shape)
    if by == "relative_to_webp":
        usual = usual - bits / math.prod(run.image_shape)
    fault = "the model keeps no scores of validation images" if not len(usual) else ""
    if images.shape[1:] != tuple(run.image_shape):
        fault = "the images are not of the training's size"
    if fault:
        tell(f"{name}: no p-values: {fault}")
        return np.full(len(scores), np.nan)
    return p_values(scores, usual)


def show_worst(
    path: Path,
    rgb: UInt8[np.ndarray, "N H W 3"],
    names: Sequence[str],
    scores: Float[np.ndarray, " N"],
    p_value: Float[np.ndarray, " N"],
    of: str,
    by: str,
) -> None:
    """Prints and draws the images of a set that rank first, in this order, with their scores."""
    lines = [[image, f"{score:.3f} {UNITS[by]}"] for image, score in zip(names, scores, strict=True)]
    for place, (line, p) in enumerate(zip(lines, p_value, strict=True), 1):
        if not math.isnan(p):
            line.append(f"p = {p:.3g}")
        print(f"{place:4}. {line[0]}: {', '.join(line[1:])}")
    save_captioned(path, rgb, ["\n".join(line) for line in lines], title=f"{of}: the first {len(names)} by {UNITS[by]}")


def _cell(value: np.generic) -> int | float | str:
    """A value as a cell of a table, empty if it is NaN."""
    return "" if math.isnan(value) else value.item()


if __name__ == "__main__":
    command.run(main)
