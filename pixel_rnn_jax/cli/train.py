"""Trains a model:  python -m experiments.train --config=experiments/digits_diagonal_bilstm.py --workdir=runs/digits

The same command again goes on with a run that was interrupted. --config.FIELD=VALUE overrides a field of the configuration.
"""

from collections.abc import Sequence

from pixel_rnn_jax.cli import command, configuration
from pixel_rnn_jax.data import DataConfig
from pixel_rnn_jax.parallel.distributed import is_main
from pixel_rnn_jax.training.trainer import train


def main(argv: Sequence[str] | None = None) -> None:
    """Trains, and prints the score of the best checkpoint."""
    parser = command.make_parser("train", __doc__, workdir=command.TO_TRAIN)
    command.add_config_flag(parser)
    command.add_allow_config_change_flag(parser)
    parser.add_argument(
        "--init_from",
        metavar="DIR",
        help="work directory of another run, with whose last parameters, optimizer state and step this one starts, unless"
        " WORKDIR holds a run already, which then goes on",
    )
    parser.add_argument(
        "--fall_back", action="store_true", help="go on from the checkpoint before, if the latest one is damaged"
    )
    parser.add_argument("--profile", action="store_true", help="write a trace of a few steps to WORKDIR/profile")
    command.add_process_flags(parser)
    command.add_json_flag(parser)
    args, overrides = parser.parse_known_args(argv)
    config = configuration.read_config(args.config, overrides)
    if not command.is_one_of_several(args):
        command.share_training_among_cores(config)
    command.join_processes(args, stop_together=True)
    score = train(
        config,
        args.workdir,
        init_from=args.init_from,
        allow_config_change=args.allow_config_change,
        fall_back=args.fall_back,
        profile=args.profile,
    )
    if is_main():
        print(f"checkpoints, metrics.jsonl, tensorboard and curves.png are in {args.workdir}")
        command.report(score, DataConfig(**config.data), args.json)


if __name__ == "__main__":
    command.run(main)
