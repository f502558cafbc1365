"""PixelCNN, 4 layers, h = 16, as a prior over maps of 7x7 codes, of 512 values, that docs/codes.md makes of MNIST.

python -m experiments.train --config=experiments/mnist_codes.py --workdir=runs/mnist_codes
"""

from pixel_rnn_jax.training.config import base_config


def get_config():
    """The base with codes that enter as learned vectors, and Muon instead of RMSProp; 1.2 epochs in batches of 32."""
    config = base_config()
    config.data.update(source="npz:codes.npz")
    config.model.update(layer="pixel_cnn", depth=4, features=16, head_features=64, levels=512, channels=1)
    config.model.update(input="embedding", embedding_features=16)
    config.optimizer.update(name="muon", learning_rate=5e-3, warmup=0.05, ema_decay=0.995)
    config.update(calm_start=True, batch_size=32, num_steps=2_000, eval_every=500, eval_images=1_000, log_every=50)
    return config
