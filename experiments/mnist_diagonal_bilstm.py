"""Diagonal BiLSTM, 7 layers, h = 16, on binarized MNIST (Larochelle's fixed binarization).

python -m experiments.train --config=experiments/mnist_diagonal_bilstm.py --workdir=runs/mnist_diagonal_bilstm

The paper's Table 4: 79.20 nats on test. docs/results.md has the score of the trained model that comes with the package.
"""

from pixel_rnn_jax.training.config import base_config


def get_config():
    """The base with the paper's sizes (Table 1, §5.2), 12.8 epochs in its batches of 16, and Muon instead of RMSProp."""
    config = base_config()
    config.data.update(source="tfds:binarized_mnist")
    config.model.update(layer="diagonal_bilstm", depth=7, features=16, head_features=32, levels=2, channels=1)
    config.optimizer.update(name="muon", learning_rate=5e-3, warmup=0.02, ema_decay=0.9995)
    config.update(calm_start=True, batch_size=16, num_steps=40_000, eval_every=2_500, checkpoint_every=500, log_every=50)
    return config
