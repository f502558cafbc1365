"""Paths in a local folder or in Google Cloud Storage (gs://BUCKET/PATH), which has no folders and no appending."""

import contextlib
import importlib.util
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
from etils import epath

from pixel_rnn_jax.errors import InputError, one_line

AnyPath = Path | epath.Path
# If TensorFlow is installed, epath would use it for gs://; importing it takes many seconds.
os.environ.setdefault("EPATH_USE_TF", "false")
# With a cache, gcsfs would not see what TensorStore or another process has written to a folder that it has listed.
fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False


def is_remote(path: str | os.PathLike) -> bool:
    """Whether a path is in Google Cloud Storage."""
    return os.fspath(path).startswith("gs://")


def as_path(path: str | os.PathLike) -> AnyPath:
    """The path as a `pathlib.Path`, or, at gs://, as an object with the same methods.

    All paths that users give go through here: `~` becomes the home directory, which shells leave to us in --workdir=~/runs.
    """
    path = os.path.expanduser(path)  # `Path.expanduser` would raise for a file "~x" where there is no user x
    scheme, found, _ = path.partition("://")
    if not found:
        return Path(path)
    if scheme != "gs":
        raise InputError(f"{path} must be a local path or gs://BUCKET/PATH; got {scheme}://.")
    if importlib.util.find_spec("gcsfs") is None:
        raise InputError(f"{path} is in Google Cloud Storage, which needs gcsfs: pip install 'pixel_rnn_jax[gcs]'.")
    return epath.Path(path)


def absolute(path: str | os.PathLike) -> AnyPath:
    """Like `as_path`, but absolute. (The `resolve` of epath takes gs:// for the name of a folder.)"""
    return as_path(path) if is_remote(path) else as_path(path).resolve()


def is_broken_link(path: AnyPath) -> bool:
    """Whether a path is there, but is a link to something that is not."""
    return isinstance(path, Path) and path.is_symlink() and not path.exists()


@contextlib.contextmanager
def reaching(path: AnyPath) -> Iterator[None]:
    """Turns errors about gs:// into `InputError`, except for missing files; errors about local files stay."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except Exception as error:  # of gcsfs, aiohttp or google.auth, about network, names or rights
        if not is_remote(path):
            raise
        raise InputError(f"{path} cannot be reached ({one_line(error)}).") from None


def is_folder(path: AnyPath) -> bool:
    """Whether there is a folder; at gs://, whether there is anything below that name.

    If gs:// cannot be reached, this raises `InputError`. (The `is_dir` and `exists` of epath return False on any error.)
    """
    if not is_remote(path):
        return path.is_dir()
    try:
        with reaching(path):
            return fsspec.filesystem("gs").info(str(path))["type"] == "directory"
    except FileNotFoundError:
        return False


def move_folder(path: AnyPath, to: AnyPath) -> None:
    """Moves a folder; the parent of its new place is created if need be."""
    if not is_remote(path):
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
        return
    with reaching(path):
        fsspec.filesystem("gs").mv(str(path), str(to), recursive=True)


def in_data_dir(data_dir: str | None, path: str) -> AnyPath:
    """A path of a configuration: relative to its data directory, unless it is absolute."""
    return as_path(path) if is_remote(path) else as_path(data_dir or "") / as_path(path)


def cache_folder() -> AnyPath:
    """Where files are kept that can be made again: $PIXEL_RNN_JAX_CACHE, or by default ~/.cache/pixel_rnn_jax."""
    return as_path(os.environ.get("PIXEL_RNN_JAX_CACHE") or "~/.cache/pixel_rnn_jax")


def local_copy(path: AnyPath) -> Path:
    """A local path unchanged; of a file or folder at gs://, a copy in the cache directory.

    Only files that differ in size or time are copied, each under a temporary name, so that processes can share the cache.
    Files that are no longer at gs:// are removed.
    """
    if not is_remote(path):
        return Path(path)
    remote = fsspec.filesystem("gs")
    root = cache_folder()
    with reaching(path):
        found = remote.find(str(path), detail=True, refresh=True)
        for name, info in found.items():  # BUCKET/PATH
            copy, time_there = root / name, info["mtime"].timestamp()
            if name.endswith("/") or (copy.exists() and _is_current(copy.stat(), info["size"], time_there)):
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            new = copy.with_name(f".{copy.name}.{uuid.uuid4().hex}")
            try:
                remote.get_file(name, str(new))
                os.utime(new, (time_there, time_there))
                new.replace(copy)
            finally:
                new.unlink(missing_ok=True)
    if not found:
        raise InputError(f"{path} must be a file or a folder with files; there is nothing.")
    here = root / str(path).removeprefix("gs://")
    for file in here.rglob("[!.]*"):  # temporary files start with a dot
        if file.is_file() and str(file.relative_to(root)) not in found:
            file.unlink(missing_ok=True)
    return here


def _is_current(copy: os.stat_result, size: int, time_there: float) -> bool:
    return copy.st_size == size and abs(copy.st_mtime - time_there) < 1e-3


def write_whole(path: AnyPath, content: bytes) -> None:
    """Writes a file under a temporary name, and renames it when it is complete. A pipe or a device is written directly."""
    # A file at gs:// appears only when it is complete.
    if is_remote(path) or (path.exists() and not path.is_file()):
        with reaching(path):
            path.write_bytes(content)
        return
    path = path.resolve()  # a link stays, and its target is replaced
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


class WritableFolder:
    """A folder with files that grow, in `local`.

    At gs:// a file can only be written as a whole. So `local` is a temporary folder then, and is uploaded now and then.
    """

    def __init__(self, path: AnyPath):
        self._path = path
        self._temporary = tempfile.TemporaryDirectory() if is_remote(path) else None
        self.local = Path(self._temporary.name) if self._temporary else path
        self._time = time.monotonic()

    def upload(self, *, not_within: float = 0.0) -> None:
        """Uploads the files, if the folder is at gs:// and the last attempt was `not_within` seconds ago; raises `OSError`."""
        if self._temporary is None or time.monotonic() - self._time < not_within:
            return
        self._time = time.monotonic()
        try:
            fsspec.filesystem("gs").put(f"{self.local}/", f"{self._path}/", recursive=True)
        except Exception as error:  # of gcsfs, aiohttp or google.auth, about network, names or rights
            raise OSError(f"{self._path} cannot be written ({one_line(error)})") from None

    def close(self) -> None:
        """Uploads all files, and removes the temporary folder."""
        try:
            self.upload()
        finally:
            if self._temporary is not None:
                self._temporary.cleanup()
