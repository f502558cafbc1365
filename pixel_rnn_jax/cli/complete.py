"""Completes partly known images:  pixel-rnn complete --workdir=runs/digits --out=completions.png

Each row of the sheet shows the known pixels of an image, several completions and the original, as in the paper's Figure 1.
Known are the rows at the top (--keep), all pixels outside a rectangle (--box), or those of a mask (--mask). For your own
pictures:  --input=face.png --box=8,8,24,24
"""

import argparse
import sys
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Bool, Integer

from pixel_rnn_jax.cli import command, flags, inputs, outputs, pictures
from pixel_rnn_jax.data.user_files import read_mask
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.generation.batched import generate, seconds_to_generate
from pixel_rnn_jax.generation.sampling import completion_key
from pixel_rnn_jax.models.multi_scale import pixel_order
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.plots import hide_unknown, save_animation, save_sheet, to_rgb
from pixel_rnn_jax.pretrained import outside_box
from pixel_rnn_jax.storage.load import load_run

NUM = 8


def main(argv: Sequence[str] | None = None) -> None:
    """Completes images, prints the log-probability of each completion, and writes them as a sheet."""
    parser = flags.make_parser("complete", __doc__, "--workdir", *flags.INPUT, *flags.DRAWING)
    unknown = parser.add_mutually_exclusive_group()
    unknown.add_argument("--keep", type=float, default=0.5, help="fraction of the rows that is known, from the top")
    box = "TOP,LEFT,BOTTOM,RIGHT"
    box_help = "rectangle to fill; BOTTOM and RIGHT are exclusive"
    unknown.add_argument("--box", type=flags.integers(box), metavar=box, help=box_help)
    unknown.add_argument("--mask", metavar="FILE", help="picture, not black where known; or an npy file, bool [H, W]")
    parser.add_argument("--completions", type=flags.positive, default=6, help="completions of each image")
    parser.add_argument("--out", type=outputs.output_file(".png"), default="completions.png", help="PNG file for the sheet")
    npz = "also write the arrays originals, known, completions, log_prob_drawn, log_prob and, if any, labels and context"
    parser.add_argument("--npz", type=outputs.output_file(".npz"), help=npz)
    parser.add_argument("--pictures", type=pictures.new_folder, metavar="FOLDER", help=pictures.HELP)
    args = parser.parse_args(argv)
    if not 0 <= args.keep <= 1:
        raise InputError(f"--keep must be in [0, 1]; got {args.keep}.")
    model, params, run = load_run(args.workdir)
    if args.pictures:
        pictures.check_channels(model.config.channels, "--pictures")
    _, names, originals, conditions = inputs.open_input(args.input, args, run, default_num=NUM)
    known = known_pixels(args, originals.shape[1:3])
    num = len(originals)
    order = pixel_order(model.config, *known.shape)
    note_late_pixels(known, order)

    # [image, completion, ...]; the last "completion" is the original with all pixels known, for its log-probability.
    starts = np.repeat(originals[:, None], args.completions + 1, axis=1)
    start_known = np.broadcast_to(known, starts.shape[:-1]).copy()
    start_known[:, -1] = True
    options = {
        "conditions": jax.tree.map(lambda array: np.repeat(array, args.completions + 1, 0), conditions),
        "batch_size": args.batch_size,
        "mesh": make_mesh(),
    }
    flat = starts.reshape(-1, *originals.shape[1:])
    seconds = seconds_to_generate(model, params, flat.shape, **options)
    times = f"{args.completions} times each: about {seconds:,.0f} s once compiled"
    print(f"completing {num} images of {'x'.join(map(str, originals.shape[1:]))}, {times}", file=sys.stderr)
    drawn = generate(
        model,
        params,
        completion_key(jax.random.key(args.seed)),
        flat,
        start_known.reshape(-1, *known.shape),
        temperature=args.temperature,
        **options,
    )
    images, log_probs = (array.reshape(starts.shape) for array in drawn)
    log_prob_drawn = np.where(known[..., None], 0, log_probs).sum((2, 3, 4))
    print("log-probabilities of the unknown pixels, each given all before it, in nats:")
    for name, (*completed, original) in zip(names, log_prob_drawn, strict=True):
        print(f"image {name}: {', '.join(f'{nats:.2f}' for nats in completed)}; original {original:.2f}")
    if args.npz:
        outputs.write_arrays(
            args.npz,
            originals=originals,
            **inputs.present(conditions),
            known=known,
            completions=images[:, :-1],
            log_prob_drawn=log_prob_drawn[:, :-1],
            log_prob=log_probs.sum((2, 3, 4))[:, :-1],
        )
    if args.pictures:
        names = pictures.picture_names(num, conditions.labels, run.class_names)
        names = [f"{name}_{completion}" for name in names for completion in range(args.completions)]
        completions = images[:, :-1].reshape(-1, *originals.shape[1:])
        pictures.write_pictures(args.pictures, completions, model.config.levels, names)

    # A row: the known pixels, the completions, the original.
    columns = args.completions + 2
    rgb = to_rgb(np.concatenate([originals[:, None], images], axis=1), model.config.levels)
    rgb[:, 0] = hide_unknown(rgb[:, 0], known)
    rgb = rgb.reshape(-1, *rgb.shape[2:])
    save_sheet(args.out, rgb, columns=columns, min_width=500)
    if args.animation:
        shown = np.insert(start_known, 0, True, axis=1).reshape(-1, *known.shape)
        save_animation(args.animation, rgb, shown, order, columns=columns)
    print(*filter(None, (args.out, args.npz, args.pictures, args.animation)))


def known_pixels(args: argparse.Namespace, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The pixels that --keep, --box or --mask says are known."""
    height, _ = size
    if args.mask is not None:
        return read_mask(args.mask, size)
    if args.box is not None:
        return outside_box("--box", args.box, size)
    return np.broadcast_to(np.arange(height)[:, None] < round(args.keep * height), size)


def note_late_pixels(known: Bool[np.ndarray, "H W"], order: Integer[np.ndarray, "H W"]) -> None:
    """Prints a note if known pixels come after unknown ones."""
    first_unknown = np.min(order[~known], initial=known.size)
    count = int(np.sum(known & (order > first_unknown)))
    if count:
        print(
            f"note: {count} known pixels come after an unknown one in the model's order. They are kept, but cannot influence"
            " what is drawn before them.",
            file=sys.stderr,
        )


if __name__ == "__main__":
    command.run(main)
