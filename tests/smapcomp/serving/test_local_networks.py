"""A server, or a predictor, together with options that choose networks of this process."""

import os

import pytest

import smapcomp
from smapcomp.cli import main
from smapcomp.codec import api
from smapcomp.errors import SmapcompError
from smapcomp.files import compress_file, decompress_file
from smapcomp.pictures.image_files import write_picture
from smapcomp.pictures.picture import Picture
from tests.helpers.bulk_job import bulk
from tests.helpers.pictures import smooth_picture

PHOTO = smooth_picture(1, 24, 40)


def command(capsys, *words) -> tuple[int, str]:
    """Run the command line; return exit status and the one line of standard error."""
    status = main(["smapcomp", *map(str, words)])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return status, captured.err


@pytest.mark.parametrize("name", ["compress", "decompress"])
@pytest.mark.parametrize("flag", ["--weights_dir=weights", "--weights_dir=", "--engine=tensorflow"])
def test_a_server_and_networks_of_this_process_contradict_each_other(
    name, flag, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for words in (["a", "b.png"], ["a", "--out_dir=out"]):
        status, error = command(capsys, name, *words, flag, "--server=localhost:1")
        assert status == 2
        chosen = flag.partition("=")[0]
        expected = f"smapcomp {name}: --server and {chosen} together; the server has its own"
        assert error.startswith(expected)
    assert os.listdir() == []


@pytest.mark.parametrize("name", ["info", "compare"])
def test_commands_without_networks_know_neither_flag(name, capsys):
    for flag in ("--weights_dir=weights", "--server=localhost:1"):
        words = ["a", "b"][: 1 if name == "info" else 2]
        status, error = command(capsys, name, *words, flag)
        assert (status, "Unknown command line flag" in error) == (2, True)


def test_a_predictor_and_networks_of_this_process_contradict_each_other(light_model, tmp_path):
    data = smapcomp.compress(PHOTO, speed=9)
    (tmp_path / "a.smc").write_bytes(data)
    write_picture(tmp_path / "a.png", Picture(PHOTO))
    back = tmp_path / "back.png"
    for option in ({"weights_dir": "weights"}, {"engine": "tensorflow"}):
        both = {"predictor": light_model.predictor, **option}
        for call in (
            lambda both=both: smapcomp.compress(PHOTO, **both),
            lambda both=both: smapcomp.decode(data, **both),
            lambda both=both: smapcomp.decompress(data, **both),
            lambda both=both: api.decode_stages(data, **both),
            lambda both=both: compress_file(tmp_path / "a.png", tmp_path / "b.smc", **both),
            lambda both=both: decompress_file(tmp_path / "a.smc", back, **both),
        ):
            with pytest.raises(SmapcompError, match="with a predictor, which has its own networks"):
                call()
    assert sorted(os.listdir(tmp_path)) == ["a.png", "a.smc"]


def test_the_bulk_job_has_no_server(tmp_path):
    words = (f"--input={tmp_path}/*", f"--output={tmp_path}/out", "--server=localhost:1")
    status, printed, error = bulk(*words, "--weights_dir=weights")
    assert (status, printed, error.count("\n")) == (2, "", 0)
    assert "--server" in error
