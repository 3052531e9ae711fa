"""The snippets of the documentation run."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.filterwarnings("ignore:.*Setting shape on a NumPy array")
def test_snippets_on_extending_run_in_order(capsys):
    torch.set_default_dtype(torch.float32)
    namespace: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "extending.md").read_text(), flags=re.DOTALL):
        assert len(block.splitlines()) <= 12
        exec(block, namespace)
    torch.set_default_dtype(torch.float64)
    assert namespace["stops"].shape == (len(namespace["data"].test[0]),)
    assert 0 <= namespace["saving"] < 1
    assert namespace["decay"].shape == (1, 100)
    assert "Poisson(rate=" in capsys.readouterr().out
