"""Scores a trained model on a whole split:  python -m experiments.evaluate --workdir=runs/digits --split=test"""

from collections.abc import Sequence

from experiments import command
from pixel_rnn_jax.checkpoint import load_run
from pixel_rnn_jax.evaluate import evaluate
from pixel_rnn_jax.sharding import check_batch_size, make_mesh


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the mean negative log-likelihood of the best checkpoint."""
    parser = command.make_parser("evaluate", __doc__)
    command.add_split_flag(parser)
    parser.add_argument("--batch_size", type=int, help="images at a time; that of the training, if not given")
    command.add_data_dir_flag(parser)
    command.add_json_flag(parser)
    args = parser.parse_args(argv)
    model, params, run = load_run(args.workdir)
    dataset = command.open_dataset(run["config"], args.data_dir)
    images = dataset.images(args.split)
    batch_size = run["config"]["batch_size"] if args.batch_size is None else args.batch_size
    mesh = make_mesh()
    check_batch_size(batch_size, mesh)
    score = evaluate(
        model, params, args.split, images, batch_size=batch_size, mesh=mesh, num_threads=dataset.config.num_threads
    )
    command.report(score, dataset.config, args.json)


if __name__ == "__main__":
    command.run(main)
