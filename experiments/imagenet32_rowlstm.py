"""Row LSTM, 12 layers, h = 384, on 32x32 ImageNet.

python -m experiments.train --config=experiments/imagenet32_rowlstm.py --workdir=runs/imagenet32_rowlstm

The paper's Table 6: 3.86 bits/dim on validation, 3.83 on train.
A step needs 22 GiB of memory, 6 GiB with --config.model.remat=True (XLA's plan for one H100; docs/experiments.md).
docs/data.md says where the images come from. There is no test split; scores are on the validation split.
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """CIFAR-10's configuration, wider, in the paper's batches of 64 (§5.2): 10 epochs of 1,281,149 images."""
    config = shipped_config("cifar_rowlstm")
    config.data.update(source="tfds:downsampled_imagenet/32x32", size=(32, 32))
    config.model.update(features=384)
    config.optimizer.update(learning_rate=1e-3)
    config.update(batch_size=64, eval_every=5_000, eval_images=5_000)
    return config
