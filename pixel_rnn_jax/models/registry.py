"""The kinds of layer and of output, by the names that a configuration gives them."""

import jax

LAYERS: dict[str, type] = {}
OUTPUTS: dict[str, type] = {}


def register_layer(name: str, layer: type) -> None:
    """Makes `ModelConfig(layer=name)` select this `Layer`. The name also names its parameters."""
    _register(LAYERS, name, layer)


def register_output(name: str, output: type) -> None:
    """Makes `ModelConfig(output=name)` select this `Output`."""
    _register(OUTPUTS, name, output)


def _register(kinds: dict[str, type], name: str, kind: type) -> None:
    if kinds.get(name, kind) is not kind:
        jax.clear_caches()  # equal configurations have been traced with the class that had this name before
    kinds[name] = kind
