"""Each folder imports only folders before it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pixel_rnn_jax"
FOLDERS = (
    "models",
    "parallel",
    "data",
    "generation",
    "compression",
    "evaluation",
    "storage",
    "pretrained",  # a module at the root
    "testing",
    "training",
    "demo",
    "cli",
)
ROOT_MODULES = ("errors", "paths", "images", "progress", "plots", "platforms")  # beside the folders, and before them


def rank(module):
    """The place of a module in the order; module: the parts of its name below the package."""
    name = module[0] if module else "__init__"
    order = (*ROOT_MODULES, *FOLDERS, "__init__")
    assert name in order, f"{name} must be one of {order}"
    return order.index(name)


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module.split(".")
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".") for name in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_folder_imports_only_folders_before_it(path):
    module = path.relative_to(PACKAGE).with_suffix("").parts
    for package, *imported in imported_modules(path):
        assert package != "experiments"
        if package == "pixel_rnn_jax" and imported != ["__version__"] and imported[:1] != list(module[:1]):
            assert not imported or rank(imported) < rank(module), f"{'/'.join(module)} imports {'.'.join(imported)}"
