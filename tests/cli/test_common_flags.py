import jax
import pytest

from pixel_rnn_jax.cli import common_flags
from pixel_rnn_jax.errors import InputError

FIELDS = ("jax_compilation_cache_dir", "jax_enable_compilation_cache", "jax_compilation_cache_max_size")


@pytest.fixture(autouse=True)
def settings():
    before = {field: getattr(jax.config, field) for field in FIELDS}
    yield
    for field, value in before.items():
        jax.config.update(field, value)


def test_compiled_programs_are_kept_by_default_for_each_kind_of_processor(tmp_path, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("PIXEL_RNN_JAX_CACHE", str(tmp_path))
    folders = set()
    for kind in ("one", "other", "one"):
        monkeypatch.setattr(common_flags, "processor", lambda kind=kind: kind)
        assert common_flags.apply(["--num=3"]) == ["--num=3"]
        folders.add(jax.config.jax_compilation_cache_dir)
    assert len(folders) == 2 and all(folder.startswith(f"{tmp_path}/compiled/") for folder in folders)


def test_the_cache_is_moved_and_switched_off(tmp_path, monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    common_flags.apply([])  # the tests' own folder, by JAX's environment variable
    assert jax.config.jax_compilation_cache_dir == before
    common_flags.apply([f"--compilation_cache={tmp_path}"])
    assert jax.config.jax_compilation_cache_dir == str(tmp_path)
    common_flags.apply(["--compilation_cache=off"])
    assert not jax.config.jax_enable_compilation_cache


def test_a_plugin_runs_before_the_command(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text("import jax\njax.mine = __name__")
    assert common_flags.apply(["--a", f"--plugin={plugin}", "b"]) == ["--a", "b"]
    assert jax.mine == "mine"
    del jax.mine
    with pytest.raises(InputError, match="--plugin=FILE must name a Python file; got '/nowhere.py'"):
        common_flags.apply(["--plugin=/nowhere.py"])
