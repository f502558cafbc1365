"""Trains a model:  pixel-rnn train --config=digits_diagonal_bilstm --workdir=runs/digits

A run that was interrupted goes on with the same command, or with --workdir alone.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import command, configuration, flags, outputs
from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.parallel.distributed import is_main
from pixel_rnn_jax.training.config import shipped_configs
from pixel_rnn_jax.training.trainer import train


def main(argv: Sequence[str] | None = None) -> None:
    """Trains, and prints the score of the best checkpoint."""
    parser = flags.make_parser("train", __doc__)
    parser.epilog = (
        f"configurations: {', '.join(shipped_configs())}\n\n"
        f"fields of --config.FIELD=VALUE: {configuration.describe_fields()}\n\n"
        "--print_config shows their values, pixel_rnn_jax/training/config.py what they mean."
    )
    parser.add_argument(
        "--config",
        help="configuration file or name of a shipped one, of which --config.FIELD=VALUE changes a field; by default that of"
        " the run in WORKDIR, which goes on",
    )
    parser.add_argument("--workdir", help="folder for checkpoints, metrics and samples; a run in it is continued")
    parser.add_argument("--print_config", action="store_true", help="print the fields and their values, and do nothing else")
    parser.add_argument(
        "--init_from",
        metavar="DIR",
        help="go on with another run in a new WORKDIR: start with the last parameters, optimizer state and step in that work"
        " directory",
    )
    parser.add_argument(
        "--init_params",
        metavar="NAME|FILE|DIR",
        help="fine-tune: start a new run in a new WORKDIR with the parameters of a shipped model, an exported file, or a work"
        " directory",
    )
    parser.add_argument(
        "--init_missing",
        action="store_true",
        help="with --init_params, initialize parameters that it lacks, or has in another shape",
    )
    parser.add_argument(
        "--fall_back", action="store_true", help="continue from the checkpoint before, if the latest one is damaged"
    )
    parser.add_argument("--profile", action="store_true", help="write a trace of a few steps to WORKDIR/profile")
    flags.add_shared(parser, "--json", "--allow_config_change", *flags.PROCESSES)
    args, overrides = parser.parse_known_args(argv)
    if args.config is None and not args.workdir:
        raise InputError(
            "--config=NAME --workdir=FOLDER starts a training, --workdir=FOLDER alone goes on with one; the configurations are"
            f" {', '.join(shipped_configs())}, or a file."
        )
    if args.config is None:
        config = configuration.config_of_run(args.workdir, overrides)
    else:
        config = configuration.read_config(args.config, overrides)
    if args.print_config:
        configuration.print_config(config)
        return
    if not args.workdir:
        raise InputError("--workdir must name a folder for checkpoints, metrics and samples; got none.")
    if not flags.has_processes(args):
        configuration.share_training_among_cores(config)
    flags.join_processes(args, stop_together=True)
    score = train(
        config,
        args.workdir,
        init_from=args.init_from,
        init_params=args.init_params,
        init_missing=args.init_missing,
        allow_config_change=args.allow_config_change,
        fall_back=args.fall_back,
        profile=args.profile,
    )
    if is_main():
        print(f"checkpoints, metrics.jsonl, tensorboard, samples and curves.png are in {args.workdir}")
        outputs.report(score, DataConfig(**config.data), args.json)


if __name__ == "__main__":
    command.run(main)
