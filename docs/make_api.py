"""Writes docs/api.md from the docstrings of what `import pixel_rnn_jax` offers:  python docs/make_api.py"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

import pixel_rnn_jax as prnn

PAGE = Path(__file__).parent / "api.md"
TITLE = """# What `import pixel_rnn_jax as prnn` offers

Made from the docstrings by `python docs/make_api.py`. `Images` are integers [B, H, W, C] in [0, levels),
`AnyPath` is a path on this machine or at gs://. All modules can be imported too; their docstrings have the same form.
"""
WORDS = {"parameters": "Arguments", "attributes": "Fields"}  # of a docstring's sections; the others are called as they are


def page() -> str:
    """The whole page, as Markdown."""
    options = {"returns_multiple_items": False, "returns_named_value": False}
    package = griffe.load("pixel_rnn_jax", docstring_parser="google", docstring_options=options)
    entries = [entry(package[name].final_target) for name in sorted(prnn.__all__, key=str.lower)]
    return "\n".join([TITLE, *(line for lines in entries for line in lines)])


def entry(thing: griffe.Object) -> Iterator[str]:
    """The lines about a class or function; and about `__call__`, which is what a model computes."""
    source = thing.relative_package_filepath
    yield f"## {thing.name}\n"
    yield f"{'Class' if thing.is_class else 'Function'}, [`{source}`](../{source})\n"
    yield from signature(thing)
    yield from sections(thing)
    if thing.is_class and "__call__" in thing.members:
        yield f"`model.apply(variables, …)` of a {thing.name} takes and returns what its `__call__` does:\n"
        yield from signature(thing["__call__"])
        yield from sections(thing["__call__"])


def signature(thing: griffe.Object) -> Iterator[str]:
    """How it is called, a parameter to a line; nothing, if it takes none."""
    parameters = [parameter for parameter in thing.parameters if parameter.name != "self"]
    if not parameters:
        return
    keyword_only = griffe.ParameterKind.keyword_only
    yield f"```python\n{thing.name}("
    for number, parameter in enumerate(parameters):
        if parameter.kind is keyword_only and (number == 0 or parameters[number - 1].kind is not keyword_only):
            yield "    *,"
        default = "" if parameter.default is None else f" = {value(thing, parameter.default)}"
        yield f"    {parameter.name}: {parameter.annotation}{default},"
    yield f"){'' if thing.is_class else f' -> {thing.returns}'}\n```\n"


def value(thing: griffe.Object, default: Any) -> Any:
    """A default value as a reader can use it: that of a constant instead of its name."""
    return getattr(sys.modules[thing.module.path], str(default), default)


def sections(thing: griffe.Object) -> Iterator[str]:
    """Its docstring."""
    for section in thing.docstring.parsed:
        kind = section.kind.value
        if kind == "text":
            yield f"{section.value}\n"
            continue
        yield f"**{WORDS.get(kind, kind.capitalize())}**\n"
        for item in section.value:
            name = getattr(item, "name", "") or (str(item.annotation) if kind == "raises" else "")
            yield f"- {f'`{name}`: ' if name else ''}{' '.join(item.description.split())}"
        yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
