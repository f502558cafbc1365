"""The configuration that all others are deltas on. Not one to run: it names no layer, levels or channels."""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    """The fields of a run and their defaults; locked, so that a mistyped field is an error."""
    config = ConfigDict(
        {
            "seed": 0,
            "calm_start": False,  # start from the values' frequencies and, with pixel_cnn, blocks that add nothing
            "batch_size": 64,  # of all devices together
            "gradient_accumulation": 0,  # parts of a batch, one after the other; 0: as many as are fast
            "num_steps": 1000,
            "eval_every": 100,  # steps between validations
            "checkpoint_every": 100,  # steps between checkpoints; the best on validation is saved besides
            "log_every": 10,  # steps between rows of training metrics
            "patience": 0,  # validations without improvement after which training stops; 0: never
            "eval_images": 0,  # validation images that are scored during training, drawn at random; 0: all
            "test_images": 0,  # the same, of the images that are scored at the end
            "mesh": {  # how devices share the work, see pixel_rnn_jax.sharding
                "data": -1,  # devices, or groups of them, that hold whole parameters; -1: as many as there are
                "fsdp": 1,  # devices in such a group, each with a piece of parameters, average and optimizer state
            },
            "data": {  # see pixel_rnn_jax.data.DataConfig
                "source": "digits",  # digits | npz:PATH | npy:PATH | folder:PATH | tfds:NAME
                "data_dir": config_dict.placeholder(str),  # where relative paths start; TFDS's directory of prepared sets
                "size": config_dict.placeholder(tuple),  # height and width to which images are cut and reduced
                "source_levels": config_dict.placeholder(int),  # values in npz and npy files, if they are to be reduced
                "binarization": "none",  # none | threshold | stochastic
                "quantize": False,  # reduce the source's levels to the model's
                "flip": False,  # mirror images at random in training
                "context": "paired",  # what is given: paired (train_context in npz files) | grey (the image itself in grey)
                "seed": 0,  # of the stochastic binarization in evaluation
                "skip_bad": False,  # leave out files of a folder that cannot be used
                "memory_gib": 4.0,  # splits up to this size are decoded once and kept
                "num_threads": 2,
                "num_workers": 0,  # processes that decode what is not kept in memory
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
                "remat": False,
                "precision": "highest",
                "dtype": "float32",  # or bfloat16
                "num_classes": 0,  # of a class-conditional model
                "context_channels": 0,  # of the image that is given, if images are drawn from others
                "context_levels": 256,
                "context_scale": 1,  # how many times smaller that image is
                "context_features": 16,
                "context_depth": 2,
                "sizes": (),  # of a Multi-Scale PixelRNN, the smallest first
            },
            "optimizer": {
                "name": "rmsprop",  # the paper's; or adam, or muon
                "learning_rate": 1e-3,
                "schedule": "cosine",  # after the warm-up; or constant
                "warmup": 0.0,  # share of the steps
                "clip_norm": 1.0,
                "ema_decay": 0.99,
                "muon": {  # of Muon alone, whose own rate is learning_rate
                    "adam_learning_rate": 1e-3,  # of Adam, which takes the head, biases and initial states
                    "momentum": 0.95,
                    "weight_decay": 0.1,
                    "consistent_rms": 0.2,  # root mean square of an update before the rate; 0.2 is Adam's
                },
            },
        }
    )
    return config.lock()
