"""The configuration that all others are deltas on. Not one to run: it names no layer, levels or channels."""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """The fields of a run and their defaults; locked, so that a mistyped field is an error."""
    config = ConfigDict(
        {
            "seed": 0,
            "batch_size": 64,
            "num_steps": 1000,
            "eval_every": 100,  # steps between validations
            "checkpoint_every": 100,  # steps between checkpoints; the best on validation is saved besides
            "log_every": 10,  # steps between rows of training metrics
            "patience": 0,  # validations without improvement after which training stops; 0: never
            "data": {
                "source": "digits",  # digits | npz:PATH
                "data_dir": config_dict.placeholder(str),  # where relative paths start; the current folder, if none
            },
            "model": {  # see pixel_rnn_jax.ModelConfig
                "layer": config_dict.placeholder(str),
                "depth": 7,
                "features": 16,
                "head_features": 32,
                "levels": config_dict.placeholder(int),
                "channels": config_dict.placeholder(int),
                "residual": True,
                "skip": True,
                "dropout": 0.0,
                "precision": "highest",
            },
            "optimizer": {
                "name": "rmsprop",  # the paper's; or adam
                "learning_rate": 1e-3,
                "schedule": "cosine",  # after the warm-up; or constant
                "warmup_steps": 0,
                "clip_norm": 1.0,
                "ema_decay": 0.99,
            },
        }
    )
    return config.lock()
