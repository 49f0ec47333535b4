"""The benchmark of data sources: what its figures count, not how high they are."""

import itertools
import math
import time

import pytest
from absl import flags

from tests.helpers.jobs import run_job
from tests.helpers.pictures import write_labelled_pictures
from tools import data_benchmark


def _run(*arguments):
    run_job(data_benchmark, *arguments)


def test_rate_is_pictures_divided_by_seconds(monkeypatch):
    clock = itertools.count(0, 2.0)  # each call returns two seconds more
    monkeypatch.setattr(data_benchmark.time, "perf_counter", lambda: next(clock))
    measure = data_benchmark.rate_measurement(
        itertools.count(), pictures=100, pictures_per_element=8
    )
    assert measure() == 12 * 8 / 2.0


def test_time_of_a_step_includes_the_wait_for_its_batch(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(data_benchmark.time, "perf_counter", lambda: clock[0])

    def batches():
        while True:
            clock[0] += 1.0
            yield None

    def step(_):
        clock[0] += 3.0

    assert data_benchmark.seconds_per_step(step, batches(), 5) == 4.0


def test_measurement_ends_at_its_limit_and_counts_what_was_done(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(data_benchmark.time, "perf_counter", lambda: clock[0])
    calls = []

    def action():
        clock[0] += 2.0
        calls.append(None)

    assert data_benchmark.seconds_per_call(action, 100, limit=5.0) == 2.0
    assert len(calls) == 3
    assert data_benchmark.seconds_per_call(action, 100, limit=0.0) == 2.0
    assert len(calls) == 4


def test_job_says_how_long_it_takes_and_keeps_to_it(tmp_path, capsys):
    write_labelled_pictures(tmp_path, count=4)
    assert data_benchmark.TimeBudget(0.0).share(3) == math.inf
    arguments = [f"--source={tmp_path}", "--split=training", "--steps=0", "--size=16"]
    start = time.monotonic()
    _run(*arguments, "--pictures=100000000", "--seconds=4")
    assert time.monotonic() - start < 30
    assert capsys.readouterr().err.startswith("1 source, 5 rounds: at most about 4 s (--seconds)\n")
    _run(*arguments, "--pictures=8", "--rounds=1", "--seconds=0")
    expected = "1 source, 1 round: no limit of time (--seconds=0); each round reads 8 pictures"
    assert capsys.readouterr().err.startswith(expected)
    values = flags.FlagValues()
    data_benchmark.define_flags(values)
    assert values["seconds"].default == 60


def test_rates_of_every_source_are_printed(tmp_path, capsys):
    write_labelled_pictures(tmp_path, count=4)
    arguments = ["--split=training", "--steps=0", "--rounds=1", "--pictures=8", "--size=16"]
    _run(f"--source={tmp_path}", f"--source={tmp_path}", *arguments)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| source | examples/s |")
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {tmp_path}"] * 2
    assert lines[2].split(" | ")[2] == "1.00"


def test_missing_source_ends_in_one_line_that_names_it(capsys):
    with pytest.raises(SystemExit) as caught:
        _run("--source=nowhere", "--split=training")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "data_benchmark: nowhere: no such folder\n"
