"""The notebook is stored with its outputs, and runs from start to end."""

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "pixel_rnn.ipynb"


def test_the_notebook_is_stored_with_its_outputs():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert not any(output["output_type"] == "error" for output in outputs)
    assert sum("image/png" in output.get("data", {}) or "image/gif" in output.get("data", {}) for output in outputs) >= 10


def printed_figures(notebook):
    """The numbers that its cells print beside their units, in their order."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    text = "".join("".join(output["text"]) for output in outputs if output["output_type"] == "stream")
    lines = [line for line in text.splitlines() if re.search("nats|bytes|parameters", line)]
    return [float(number) for line in lines for number in re.findall(r"\d+\.?\d*", line)]


@pytest.mark.slow
def test_the_notebook_runs_from_start_to_end_in_five_minutes(tmp_path, monkeypatch):
    import nbformat  # heavy, and for this test only
    from nbclient import NotebookClient

    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.delenv("XLA_FLAGS")  # eight simulated devices are for the tests
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = printed_figures(notebook)
    begin = time.monotonic()
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert time.monotonic() - begin < 300
    np.testing.assert_allclose(printed_figures(notebook), stored, rtol=0.2)  # another JAX may draw other digits
    assert list(tmp_path.glob("runs/pictures_*/curves.png"))
