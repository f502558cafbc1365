"""Row LSTM for a folder of pictures of your own: 32x32 pixels, 8 levels, a class for each subfolder.

python -m experiments.train --config=experiments/pictures.py --workdir=runs/pictures --config.data.source=folder:PATH

Grey or colour, and the classes, are those of the pictures. --config.model.levels=256 keeps all levels, and takes longer.

docs/tutorial.md trains it on 240 drawings of circles, squares and triangles, in two minutes.
"""

from pixel_rnn_jax.training.config import base_config


def get_config():
    """The base with a small model, of as many channels and classes as the folder has."""
    config = base_config()
    config.data.update(source="folder:pictures", size=(32, 32), quantize=True)
    config.model.update(layer="row_lstm", depth=3, features=32, head_features=64, levels=8, num_classes=-1, dropout=0.1)
    config.optimizer.update(name="muon", learning_rate=2e-2, warmup=0.1, ema_decay=0.98)
    config.optimizer.muon.update(adam_learning_rate=4e-3)
    config.update(calm_start=True, batch_size=16, num_steps=500, eval_every=50, checkpoint_every=50)
    return config
