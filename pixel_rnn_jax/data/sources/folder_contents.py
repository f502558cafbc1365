"""Channels and classes of a folder of pictures, for configurations that leave them open."""

from pathlib import Path

from PIL import Image

from pixel_rnn_jax.data.config import DataConfig
from pixel_rnn_jax.data.decode import FORMATS
from pixel_rnn_jax.data.sources.folder_files import files_below, is_picture
from pixel_rnn_jax.data.sources.source import by_split
from pixel_rnn_jax.errors import InputError
from pixel_rnn_jax.paths import in_data_dir, local_copy

GREY = ("1", "L", "LA", "I", "F")  # Pillow's modes of pictures without colour; I;16 and the like are among them


def training_pictures(config: DataConfig) -> tuple[Path, list[Path]]:
    """The folder with the training pictures of a folder source, and their files."""
    kind, _, argument = config.source.partition(":")
    if kind != "folder":
        raise InputError(
            "model.channels and model.num_classes are found for data.source 'folder:PATH' only;"
            f" they must be given for {config.source!r}."
        )
    folder = local_copy(in_data_dir(config.data_dir, argument))
    if not argument or not folder.is_dir():
        raise InputError(f"data.source 'folder:PATH' must name a folder; got {argument!r}.")
    names = [path.name for path in folder.glob("[!.]*") if path.is_dir()]
    root = folder / by_split(names, folder).get("train", "")
    return root, [path for path in files_below(root) if is_picture(path)]


def count_channels(files: list[Path]) -> int:
    """1 if all pictures are grey, else 3."""
    return 1 if files and all(map(_is_grey, files)) else 3


def count_classes(root: Path, files: list[Path]) -> int:
    """The number of folders below `root` with pictures; 0, for no classes, if there are fewer than two."""
    folders = {path.relative_to(root).parts[0] for path in files if path.parent != root}
    loose = [path.name for path in files if path.parent == root]
    if loose and folders:
        raise InputError(
            f"{root} holds pictures ({loose[0]}) beside folders ({', '.join(sorted(folders))}): with model.num_classes=-1, all"
            " must be in folders, one for each class. With 0, the model has no classes."
        )
    return len(folders) if len(folders) > 1 else 0


def _is_grey(path: Path) -> bool:
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.mode.partition(";")[0] in GREY
    except Exception:  # of Pillow; the source says what is wrong with a file
        return True
