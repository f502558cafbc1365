"""The kinds of layer and of output, by the names that a configuration gives them."""

LAYERS: dict[str, type] = {}
OUTPUTS: dict[str, type] = {}


def register_layer(name: str, layer: type) -> None:
    """Makes `ModelConfig(layer=name)` select this `Layer`. The name also names its parameters."""
    LAYERS[name] = layer


def register_output(name: str, output: type) -> None:
    """Makes `ModelConfig(output=name)` select this `Output`."""
    OUTPUTS[name] = output
