"""Imports run one way: from a room only to rooms below it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [  # the lowest first; rooms of one floor do not import one another
    ["errors"],
    ["images", "masks", "skew", "stopping", "progress", "metrics", "plots"],
    ["likelihood", "conv"],
    ["lstm", "pixel_cnn"],
    ["row_lstm", "diagonal_bilstm"],
    ["model"],
    ["data", "sharding", "optimizer", "checkpoint", "sampling"],
    ["evaluate"],
    ["train"],
    ["__init__"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", sorted((ROOT / "pixel_rnn_jax").glob("*.py")), ids=lambda path: path.stem)
def test_rooms_import_downwards_only(path):
    for module in imported_modules(path):
        package, _, room = module.partition(".")
        assert package != "experiments"
        if package == "pixel_rnn_jax":
            assert FLOOR[room] < FLOOR[path.stem], f"{path.stem} imports {room}"
        if package == "matplotlib":
            assert path.stem == "plots"


def test_ln_2_appears_in_one_place():
    users = [path.stem for path in (ROOT / "pixel_rnn_jax").glob("*.py") if "log(2)" in path.read_text()]
    assert users == ["likelihood"]
