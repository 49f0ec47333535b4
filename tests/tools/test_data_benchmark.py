"""The benchmark: it counts what it says it counts; how long that takes is not tested."""

import itertools

import pytest

from tests.helpers.jobs import run_job
from tests.helpers.pictures import write_pairs
from tools import data_benchmark as benchmark


def _run(*arguments):
    run_job(benchmark, *arguments)


def test_a_rate_is_pictures_over_seconds(monkeypatch):
    clock = itertools.count(0, 2.0)  # each look at it is two seconds later
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    measure = benchmark.rate(itertools.count(), pictures=100, each=8)
    assert measure() == 12 * 8 / 2.0


def test_a_step_takes_the_time_of_the_wait_and_the_work(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: clock[0])

    def batches():
        while True:
            clock[0] += 1.0
            yield None

    def step(_):
        clock[0] += 3.0

    assert benchmark.seconds_a_step(step, batches(), 5) == 4.0


def test_rates_of_every_source_are_printed(tmp_path, capsys):
    write_pairs(tmp_path, count=4)
    arguments = ["--split=training", "--steps=0", "--rounds=1", "--pictures=8", "--size=16"]
    _run(f"--source={tmp_path}", f"--source={tmp_path}", *arguments)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| source | examples/s |")
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {tmp_path}"] * 2
    assert lines[2].split(" | ")[2] == "1.00"


def test_sources_that_are_not_there_are_named(capsys):
    with pytest.raises(SystemExit) as caught:
        _run("--source=nowhere", "--split=training")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "benchmark: nowhere: no such folder\n"
