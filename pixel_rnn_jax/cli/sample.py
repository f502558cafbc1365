"""Draws images from a trained model:  pixel-rnn sample --workdir=runs/digits --num=100 --out=samples.png

A class-conditional model draws a row of each class, or the class that --label names. A model that is conditioned on images
(colour from grey, for example) takes these from its data or from --input; each row of the sheet shows the context image, the
images drawn from it and, if known, the true image.
"""

import argparse
import math
from collections.abc import Sequence

import jax

from pixel_rnn_jax.cli import command, flags, inputs, outputs, pictures
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.generation.batched import generate
from pixel_rnn_jax.generation.sampling import nothing_known
from pixel_rnn_jax.generation.sheet import Plan, lay_out, plan_from_contexts, plan_of_classes
from pixel_rnn_jax.models.conditioning import UNCONDITIONAL, check_conditions
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import pixel_order
from pixel_rnn_jax.parallel.distributed import is_main, tell
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.plots import save_animation, save_sheet
from pixel_rnn_jax.storage.load import load_run
from pixel_rnn_jax.storage.run_record import RunRecord

NUM, NUM_CONTEXTS, OUTPUTS = 100, 8, 6


def main(argv: Sequence[str] | None = None) -> None:
    """Draws images and writes them as a sheet."""
    data_flags = ("--split", "--data_dir", "--skip_bad", "--alpha")
    shared = ("--workdir", "--label", "--seed", *data_flags, *flags.DRAWING, *flags.PROCESSES)
    parser = flags.make_parser("sample", __doc__, *shared)
    parser.add_argument(
        "--num",
        type=flags.positive,
        help=f"number of images (default: about {NUM}); of context images, if the model takes them (default: {NUM_CONTEXTS})",
    )
    parser.add_argument("--input", metavar="PATH|SOURCE", help="context images, for a model that takes them")
    parser.add_argument("--outputs", type=flags.positive, help=f"images drawn from each context image (default: {OUTPUTS})")
    parser.add_argument(
        "--size",
        type=flags.picture_size,
        metavar="H,W|as-is",
        help="height and width, to which context pictures are cut and reduced unless as-is; by default those of the training",
    )
    parser.add_argument("--out", type=outputs.output_file(".png"), default="samples.png", help="PNG file for a sheet")
    npz = "also write the images to this file, as the array `images`, and their `labels` and `context`, if any"
    parser.add_argument("--npz", type=outputs.output_file(".npz"), help=npz)
    parser.add_argument("--pictures", type=pictures.new_folder, metavar="FOLDER", help=pictures.HELP)
    parser.set_defaults(binarization=None)  # as in training
    args = parser.parse_args(argv)
    flags.join_processes(args)
    model, params, run = load_run(args.workdir)
    config = model.config
    plan = (plan_with_contexts if config.context_channels else plan_without_contexts)(args, config, run)
    check_conditions(config, plan.conditions, (plan.num, *plan.size))
    if args.pictures:
        pictures.check_channels(config.channels, "--pictures")
    tell(f"drawing {plan.num} images of {plan.size[0]}x{plan.size[1]} pixels")
    blank, known = nothing_known(config, plan.num, plan.size)
    images = generate(
        model,
        params,
        jax.random.key(args.seed),
        blank,
        known,
        conditions=plan.conditions,
        temperature=args.temperature,
        batch_size=args.batch_size,
        mesh=make_mesh(),
    ).images
    if not is_main():
        return
    if args.npz:
        outputs.write_arrays(args.npz, images=images, **inputs.present(plan.conditions))
    if args.pictures:
        names = pictures.picture_names(plan.num, plan.conditions.labels, run.class_names)
        pictures.write_pictures(args.pictures, images, config.levels, names)
    rgb, known, columns = lay_out(images, plan, config)
    save_sheet(args.out, rgb, columns=columns)
    if args.animation:
        save_animation(args.animation, rgb, known, pixel_order(config, *plan.size), columns=columns)
    print(*filter(None, (args.out, args.npz, args.pictures, args.animation)))


def plan_without_contexts(args: argparse.Namespace, config: ModelConfig, run: RunRecord) -> Plan:
    """Plans --num images, in equal numbers of each class or all of class --label, if there are classes."""
    for name in ("input", "outputs", "split", "data_dir", "alpha", "skip_bad"):
        if getattr(args, name) not in (None, False):
            raise InputError(f"--{name} is only for models that take context images (context_channels > 0).")
    if args.size == flags.AS_IS:
        raise InputError("--size=as-is is only for models that take context images (context_channels > 0).")
    size = args.size or tuple(run.image_shape[:2])
    label = inputs.label_number(args.label, run)
    rows = config.num_classes if label is None else 0
    default = max(NUM // rows, 1) * rows if rows else NUM
    num = default if args.num is None else args.num
    if not rows:
        return Plan(size, inputs.labelled(UNCONDITIONAL, label, num), num, math.ceil(math.sqrt(num)))
    if num % rows:
        raise InputError(f"--num must be a multiple of {rows}, the number of classes, or --label be given; got {num}.")
    return plan_of_classes(rows, num // rows, size)


def plan_with_contexts(args: argparse.Namespace, config: ModelConfig, run: RunRecord) -> Plan:
    """Plans --outputs images from each context image."""
    conditions, truth = inputs.open_contexts(args, run, default_num=NUM_CONTEXTS)
    return plan_from_contexts(conditions, args.outputs or OUTPUTS, config.context_scale, truth)


if __name__ == "__main__":
    command.run(main)
