"""The notebooks run from their first cell to their last."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[2] / "notebooks"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_of_the_continuum_ends_with_the_curve(tmp_path):
    import jupytext
    from nbclient import NotebookClient

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "flights.json").write_text((FOLDER / "flights.json").read_text())
    notebook = jupytext.read(FOLDER / "continuum.py")
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    shown = outputs[-1][0]["data"]["text/html"]
    assert re.search(r"<svg.*continuous", shown, re.DOTALL)
    said = "".join(
        output["text"] for cell in outputs[:-1] for output in cell if output["output_type"] == "stream"
    )
    assert "a day for each hour sooner" in said
