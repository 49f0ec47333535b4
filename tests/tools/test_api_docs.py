"""tools.api_docs: pages from the docstrings."""

import subprocess
import sys

from tests.helpers.paths import ROOT
from tools.api_docs import module_names


def test_the_reference_is_of_every_module_that_is_no_command():
    names = module_names()
    assert {"smapcomp.codec.api", "smapcomp.models.smapnet", "data.sources.folder"} <= set(names)
    assert not [name for name in names if "__main__" in name]


def test_the_pages_show_functions_and_arguments_and_need_no_network(tmp_path):
    command = [sys.executable, "-m", "tools.api_docs", f"--out={tmp_path}"]
    modules = "--modules=smapcomp.codec.api,smapcomp.errors"
    result = subprocess.run([*command, modules], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    page = (tmp_path / "smapcomp/codec/api.html").read_text()
    assert "Compress a picture." in page
    assert "predictor" in page
    assert 'src="http' not in page
    assert "smapcomp/errors.html" in (tmp_path / "index.html").read_text()
