"""The progress bar of the bulk job, of which standard error shows the last state."""

import re

import pytest

from smapcomp.errors import SmapcompError
from smapcomp.jobs.progress import file_progress
from tests.helpers.bulk_job import THREADS, bulk_with_bar
from tests.helpers.pictures import encode_image, smooth_picture


def last_state(errors: str) -> tuple[int, int, int]:
    """Return percent, count and total of a bar when it was drawn for the last time."""
    found = [re.search(r" (\d+)%\|.*\| (\d+)/(\d+) ", line) for line in errors.splitlines()]
    percent, count, total = [match for match in found if match][-1].groups()
    return int(percent), int(count), int(total)


def test_the_bar_ends_full_with_files_that_fail_and_files_that_are_kept(tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    whole = encode_image(smooth_picture(1, 24, 40), "JPEG")
    (source / "a.jpg").write_bytes(whole)
    (source / "broken.jpg").write_bytes(whole[:-200])
    arguments = (*THREADS, f"--input={source}/*", f"--output={tmp_path / 'out'}", "--speed=10")
    status, printed, errors = bulk_with_bar(*arguments)
    assert status == 1
    assert printed.startswith("read 2 = written 1 + skipped 0 + failed 1; ")
    assert last_state(errors) == (100, 2, 2)
    # Again: the bar counts what is to be made, without the output that is kept.
    (source / "c.jpg").write_bytes(whole)
    _, printed, errors = bulk_with_bar(*arguments)
    assert printed.startswith("read 3 = written 1 + skipped 1 + failed 1; ")
    assert last_state(errors) == (100, 2, 2)


def test_the_bar_stays_where_an_error_has_ended_the_work(capsys):
    def work():
        with file_progress({"a": 1, "b": 3}, "work", lambda path: path == "a"):
            raise SmapcompError("lost")

    with pytest.raises(SmapcompError):
        work()
    assert last_state(capsys.readouterr().err) == (25, 1, 4)
