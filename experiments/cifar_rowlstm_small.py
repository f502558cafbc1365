"""Small Row LSTM for a CPU, 4 layers, h = 32, on CIFAR-10.

python -m experiments.train --config=experiments/cifar_rowlstm_small.py --workdir=runs/cifar_rowlstm_small

The trained `cifar_rowlstm_small` that comes with the package has 3.399 bits/dim on test (docs/results.md).
"""

from pixel_rnn_jax.training.config import shipped_config


def get_config():
    """The paper's model with 4 layers, h = 32 and mixtures of logistics; Muon, 2.8 epochs in batches of 8."""
    config = shipped_config("cifar_rowlstm")
    config.model.update(depth=4, features=32, head_features=128, output="logistic_mixture")
    config.optimizer.update(name="muon", learning_rate=1e-2, warmup=0.03, ema_decay=0.999)
    config.update(batch_size=8, num_steps=16_000, eval_every=2_000, checkpoint_every=250, eval_images=1_000)
    config.calm_start = True
    return config
