"""What a configuration costs, before any data is there:  python -m experiments.costs --config=cifar_rowlstm --size=32,32

Counts parameters, bytes and floating-point operations, and asks XLA how much memory a training step takes on this kind of
device: what each image of the batch adds, and the rest; on one device, without gradient accumulation. The step is compiled,
for two batch sizes, and not run.
"""

import functools
import math
import time
from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from pixel_rnn_jax.cli import command, configuration, outputs
from pixel_rnn_jax.evaluation.flops import forward_flops, training_flops
from pixel_rnn_jax.models.config import ModelConfig
from pixel_rnn_jax.models.multi_scale import make_model
from pixel_rnn_jax.training.config import TrainConfig
from pixel_rnn_jax.training.optimizer import make_optimizer
from pixel_rnn_jax.training.run import check_image_shape
from pixel_rnn_jax.training.step import blank_batch, init_state, train_step

BATCHES = (8, 16)


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the figures, and writes them as JSON too."""
    parser = command.make_parser("costs", __doc__, workdir=None)
    command.add_config_flag(parser)
    parser.add_argument("--size", type=command.image_size, required=True, metavar="H,W", help="height and width of the images")
    command.add_json_flag(parser)
    args, overrides = parser.parse_known_args(argv)
    costs = measure(configuration.read_config(args.config, overrides), args.size)
    print(f"{costs['parameters']:,} parameters; {costs['state_mib']:.1f} MiB with average and optimizer state")
    print(f"{costs['forward_gflop']:.4g} GFLOP for an image's likelihood, {costs['training_gflop']:.4g} in a training step")
    print(
        f"a training step on one {costs['platform']} takes {costs['image_mib']:.4g} MiB for each image, and"
        f" {costs['fixed_mib']:.4g} MiB beside it (state included); it compiles in {costs['compile_seconds']:.0f} s"
    )
    if args.json:
        outputs.write_json(args.json, costs)


def measure(config: ConfigDict, size: tuple[int, int]) -> dict[str, Any]:
    """The figures of a configuration, for images of a height and width."""
    model = make_model(ModelConfig(**config.model))
    check_image_shape(model.config, (*size, model.config.channels))
    optimizer = make_optimizer(TrainConfig.from_config_dict(config).optimizer, config.num_steps)
    init = functools.partial(init_state, model=model, optimizer=optimizer, image_shape=(*size, model.config.channels))
    state = jax.eval_shape(init, jax.random.key(0))
    step = functools.partial(train_step, model=model, optimizer=optimizer, ema_decay=config.optimizer.ema_decay)
    step = jax.jit(step, donate_argnums=0)
    temporary = []
    for batch_size in BATCHES:
        batch = blank_batch(model.config, (batch_size, *size))
        begin = time.perf_counter()
        compiled = step.lower(state, batch, jax.random.key(0)).compile()
        seconds = time.perf_counter() - begin
        temporary.append(compiled.memory_analysis().temp_size_in_bytes)
    per_image = (temporary[1] - temporary[0]) / (BATCHES[1] - BATCHES[0])
    state_shardings = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return {
        "parameters": sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state.params)),
        "state_mib": state_shardings / 2**20,
        "forward_gflop": forward_flops(model.config, *size).total / 1e9,
        "training_gflop": training_flops(model.config, *size).total / 1e9,
        "platform": jax.devices()[0].device_kind,
        "image_mib": per_image / 2**20,
        "fixed_mib": (state_shardings + max(temporary[0] - BATCHES[0] * per_image, 0)) / 2**20,
        "compile_seconds": seconds,
    }


if __name__ == "__main__":
    command.run(main)
