"""The Apache Beam pipeline of the data jobs, and the work of one worker."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import apache_beam as beam

from data.coded.compact import CodedSource
from data.errors import raise_data_error
from data.preparation import shards
from data.preparation.labeller import build_labeller
from data.sources.registry import open_source
from smapcomp.jobs.beam_options import pipeline_options
from smapcomp.jobs.notices import collect_notices

_build_lock = threading.Lock()


def run_pipeline(
    tasks: Sequence[shards.ShardTask], write: WriteShard, arguments: Sequence[str], workers: int
) -> None:
    """Run a pipeline that writes shards, and wait until it ends.

    Args:
        tasks: The shards.
        write: Writes a shard.
        arguments: Flags of Beam, such as `--runner=FlinkRunner`; without a runner among them, the
            local one is used.
        workers: Number of threads of the local runner. Decoding and resizing release Python's lock.

    Raises:
        DataError: A worker raised it.
    """
    pipeline = beam.Pipeline(options=pipeline_options(arguments, workers))
    # Without a reshuffle, Beam would fuse the list and the work, and one worker would get it all.
    _ = pipeline | beam.Create(list(tasks)) | beam.Reshuffle() | beam.ParDo(write)
    try:
        pipeline.run().wait_until_finish()
    except Exception as error:  # each runner wraps the error of a worker in its own way
        raise_data_error(str(error))
        raise


class WriteShard(beam.DoFn):
    """Writes the shards of the tasks that it receives.

    Args:
        spec: Spec of the source, as `data.load` takes it.
        split: Split of the source.
        labels: As `data.load` takes it.
        settings: How examples become records; with `compact`, compact images are coded.
        segmenter: Variant and folder of weights of the segmenter that makes the label maps;
            `None` for the label maps of the source.
    """

    def __init__(
        self,
        spec: str,
        split: str | None,
        labels: bool | None,
        settings: shards.RecordSettings,
        segmenter: tuple[str, str | None] | None = None,
    ):
        self.spec = spec
        self.split = split
        self.settings = settings
        self._labels = labels
        self._segmenter = segmenter

    def setup(self) -> None:
        """Open the source and build the segmenter."""
        with collect_notices():
            self._source = open_source(self.spec, self.split, labels=self._labels, missing_ok=True)
        if self.settings.compact:
            self._source = CodedSource(self._source, self.settings.compact)
        self._labeller = None
        if self._segmenter:
            with _build_lock:  # the workers of the local runner are threads
                self._labeller = build_labeller(*self._segmenter)

    def process(self, task: shards.ShardTask) -> None:
        """Write one shard."""
        with collect_notices():  # the manifest has these notices
            shards.write_shard(task, self._source, self.settings, self._labeller)
