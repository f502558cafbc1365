"""Row LSTM, 4 layers, h = 512, no residual connections, on 64x64 ImageNet.

python -m experiments.train --config=experiments/imagenet64_rowlstm.py --workdir=runs/imagenet64_rowlstm

The paper's Table 6: 3.63 bits/dim on validation, 3.57 on train.
A step needs 22 GiB of memory, 9 GiB with --config.model.remat=True (XLA's plan for one H100; docs/experiments.md).
docs/data.md says where the images come from. There is no test split; scores are on the validation split.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The 32x32 images' configuration with fewer and wider layers, in the paper's batches of 32 (§5.2): 5 epochs."""
    config = shipped_config("imagenet32_rowlstm")
    config.data.update(source="tfds:downsampled_imagenet/64x64", size=(64, 64))
    config.model.update(depth=4, features=512, residual=False)
    config.update(batch_size=32)
    return config
