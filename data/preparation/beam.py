"""The Apache Beam side of the data jobs: the pipeline, and the work of one worker."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import apache_beam as beam

from data.coded.compact import CodedSource
from data.errors import raise_data_error
from data.preparation import shards
from data.sources.registry import open_source
from smapcomp.jobs.beam_options import pipeline_options
from smapcomp.jobs.notices import listening

_building = threading.Lock()


def run_pipeline(
    tasks: Sequence[shards.Task], write: beam.DoFn, arguments: Sequence[str], workers: int
) -> None:
    """Runs a pipeline that writes the shards, and waits for its end.

    Args:
      tasks: the shards.
      write: a `WriteShard`.
      arguments: Beam's own, such as `--runner=FlinkRunner`. Without a runner: the local one.
      workers: threads of the local runner. Decoding and resizing release Python's lock.

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
        with listening():
            self._source = open_source(self.spec, self.split, labels=self._labels, missing_ok=True)
        if self.settings.compact:
            self._source = CodedSource(self._source, self.settings.compact)
        self._labeller = None
        if self._segmenter:
            from data.preparation.labeller import build_labeller

            with _building:  # the local runner's workers are threads
                self._labeller = build_labeller(*self._segmenter)

    def process(self, task: shards.Task) -> None:
        with listening():  # the manifest says what these notices say
            shards.write_shard(task, self._source, self.settings, self._labeller)
