"""Row LSTM, 12 layers, h = 128, on CIFAR-10.

python -m experiments.train --config=experiments/cifar_rowlstm.py --workdir=runs/cifar_rowlstm

The paper's Table 5: 3.07 bits/dim on test, 3.00 on train. Validation is on the last 5,000 images of the training set.
cifar_rowlstm_small.py has a model for a CPU.
"""

from pixel_rnn_jax.training.config import base_config


def get_config():
    """The base with the paper's sizes (Table 1, §5.2), 71 epochs in its batches of 16, and Adam instead of RMSProp."""
    config = base_config()
    config.data.update(source="tfds:cifar10")
    config.model.update(layer="row_lstm", depth=12, features=128, head_features=1024, levels=256, channels=3)
    config.optimizer.update(name="adam", learning_rate=5e-3, warmup=0.02, ema_decay=0.9995)
    config.update(batch_size=16, num_steps=200_000, eval_every=2_500, checkpoint_every=1_000, eval_images=2_000)
    return config
