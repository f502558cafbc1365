"""What all commands have in common."""

import pytest

from pixel_rnn_jax.cli import command
from pixel_rnn_jax.data import SOURCES
from pixel_rnn_jax.errors import InputError


def test_plugins_run_before_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "stars", None)
    (tmp_path / "stars.py").write_text("from pixel_rnn_jax.data import SOURCES\nSOURCES['stars'] = 3\n")
    assert command._load_plugins(["--num=2", f"--plugin={tmp_path / 'stars.py'}", "--seed=1"]) == ["--num=2", "--seed=1"]
    assert SOURCES["stars"] == 3
    for wrong in ("--plugin", "--plugin=none.py"):
        with pytest.raises(InputError, match=f"--plugin=FILE must name a Python file; got '{wrong}'"):
            command._load_plugins([wrong, "stars.py"])
