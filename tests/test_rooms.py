"""Imports run one way: from a room only to rooms below it."""

import ast
from pathlib import Path

import pytest

from pixel_rnn_jax.model import LAYER_TYPES
from pixel_rnn_jax.model_config import LAYERS

ROOT = Path(__file__).parent.parent
FLOORS = [  # the lowest first; rooms of one floor do not import one another
    ["errors", "checksum", "baselines", "neighbours", "step_clock", "summary", "event_log"],
    ["paths"],
    ["images", "model_config", "masks", "skew", "stopping", "progress", "metrics", "prnn_file", "tiles"],
    ["processes", "lock", "step_profile"],
    ["conv", "conditions", "context_network", "plots", "picture_formats", "fingerprint"],
    ["parameters", "lstm", "pixel_cnn", "parts"],
    ["likelihood", "sweep"],
    ["row_lstm", "diagonal_bilstm"],
    ["model"],
    ["multi_scale"],
    ["costs"],
    ["data.config", "data.image_files", "data.image_set"],
    ["data.source", "data.treatment", "data.given", "data.numpy_files"],
    ["data.batches", "data.digits", "data.array_files", "data.image_folder", "data.tfds_sets", "data.inputs"],
    ["data.dataset"],
    ["data"],
    ["incremental"],
    ["sharding", "optimizer", "checkpoint", "sampling", "codec"],
    ["weights_file", "evaluate", "generate"],
    ["loading"],
    ["classify"],
    ["train_step"],
    ["setup"],
    ["resume"],
    ["train"],
    [""],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PACKAGE = ROOT / "pixel_rnn_jax"


def room_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=room_of)
def test_rooms_import_downwards_only(path):
    assert room_of(path) in FLOOR
    for module in imported_modules(path):
        package, _, room = module.partition(".")
        assert package != "experiments"
        if package == "pixel_rnn_jax":
            assert FLOOR[room] < FLOOR[room_of(path)], f"{room_of(path)} imports {room}"
        if package == "matplotlib":
            assert path.stem == "plots"


def test_ln_2_appears_in_one_place():
    users = [path.stem for path in PACKAGE.rglob("*.py") if "log(2)" in path.read_text()]
    assert users == ["likelihood"]


def test_each_kind_of_layer_has_a_module():
    assert tuple(LAYER_TYPES) == LAYERS
