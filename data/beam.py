"""The Apache Beam side of the data jobs: options of the runner, and the work of one worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions

from data import shards
from data.compact import CodedSource
from data.errors import raise_data_error
from data.sources import open_source

_building = threading.Lock()


def pipeline_options(arguments: Sequence[str], workers: int) -> PipelineOptions:
    """Options from a command line.

    Args:
      arguments: Beam's own, such as `--runner=FlinkRunner`. Without a runner: the local one.
      workers: threads of the local runner. Decoding and resizing release Python's lock.
    """
    arguments = list(arguments)
    if not any(argument.startswith("--runner") for argument in arguments):
        local = ["--runner=DirectRunner", "--direct_running_mode=multi_threading"]
        arguments = [*local, f"--direct_num_workers={workers}", *arguments]
    options = PipelineOptions(arguments)
    # The jobs' modules are importable on every worker; what is in __main__ isn't needed.
    options.view_as(SetupOptions).save_main_session = False
    return options


def run_pipeline(
    tasks: Sequence[shards.Task], write: beam.DoFn, arguments: Sequence[str], workers: int
) -> None:
    """Runs a pipeline that writes the shards, and waits for its end.

    Args:
      tasks: the shards.
      write: a `WriteShard`.
      arguments, workers: as `pipeline_options` takes them.

    Raises:
      DataError: what a worker could not do.
    """
    pipeline = beam.Pipeline(options=pipeline_options(arguments, workers))
    # A fusion break between the list and the work, which else would all go to one worker.
    _ = pipeline | beam.Create(list(tasks)) | beam.Reshuffle() | beam.ParDo(write)
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:  # runners wrap what a worker raises, each in its own way
        raise_data_error(str(error))
        raise


class WriteShard(beam.DoFn):
    """Writes the shards of the tasks that come.

    Args:
      spec, split, labels: of the source, as `data.load` takes them.
      settings: of the records; with `compact`, the source's pictures are coded.
      segmenter: variant and folder of weights whose segmenter makes the labels, or None.
    """

    def __init__(
        self,
        spec: str,
        split: str | None,
        labels: bool | None,
        settings: shards.Settings,
        segmenter: tuple[str, str | None] | None = None,
    ):
        self.spec = spec
        self.split = split
        self.settings = settings
        self._labels = labels
        self._segmenter = segmenter

    def setup(self) -> None:
        # The manifest says what these notices say.
        logging.getLogger("smapcomp").setLevel(logging.ERROR)
        self._source = open_source(self.spec, self.split, labels=self._labels, missing_ok=True)
        if self.settings.compact:
            self._source = CodedSource(self._source, self.settings.compact)
        self._labeller = None
        if self._segmenter:
            from data.labeller import build_labeller

            with _building:  # the local runner's workers are threads
                self._labeller = build_labeller(*self._segmenter)

    def process(self, task: shards.Task) -> None:
        shards.write_shard(task, self._source, self.settings, self._labeller)
