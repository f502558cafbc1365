"""Folders of the user's own project with the names of ours, in the current folder and on the path, are not imported."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

from pixel_rnn_jax.cli.__main__ import COMMANDS

SHOW_HELP = """
import sys
from pixel_rnn_jax.cli.__main__ import main
for name in sys.argv[1:]:
    sys.argv = ["pixel-rnn", name, "--help"]
    try:
        main()
    except SystemExit as stop:
        assert stop.code in (0, None), stop.code
"""


@pytest.mark.slow
def test_each_command_starts_beside_folders_with_its_folders_names(tmp_path):
    """As installed: `experiments` is a configuration's folder, the others are folders of the package."""
    names = {"experiments", *(path.parent.name for path in (ROOT / "pixel_rnn_jax").glob("*/__init__.py"))}
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('the {name} of the user was imported')")
    env = {**os.environ, "PYTHONPATH": f".{os.pathsep}{ROOT}"}
    command = [sys.executable, "-c", SHOW_HELP, *COMMANDS]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [name for name in COMMANDS if f"usage: pixel-rnn {name} " not in done.stdout] == []
