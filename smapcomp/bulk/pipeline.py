"""The Apache Beam pipeline: it reads the plan, converts the files and writes the manifest."""

import os
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from smapcomp.bulk import files
from smapcomp.bulk.converter import FileConverter
from smapcomp.bulk.manifest import ManifestEntry, write_manifest
from smapcomp.bulk.plan import Task, tasks_from_json
from smapcomp.errors import SmapcompError

NAMESPACE = "smapcomp.bulk"
"""Namespace of the counters `read`, `written`, `skipped` and `failed`."""


def make_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """Return an empty pipeline.

    Raises:
        ValueError: The runner is unknown or not installed, or options that it needs are missing.
    """
    try:
        return beam.Pipeline(options=options)
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def run_pipeline(
    pipeline: beam.Pipeline, plan_path: str, converter: FileConverter, manifest_path: str
) -> dict[str, int]:
    """Convert the files of a plan, write the manifest and wait for the end.

    Args:
        pipeline: An empty pipeline.
        plan_path: File of `tasks_to_json`. Runners limit how much a pipeline itself can contain.
        converter: Converts one file.
        manifest_path: Path of the manifest.

    Returns:
        The counters; empty if the runner has none.

    Raises:
        SmapcompError: The pipeline failed as a whole.
    """
    entries = (
        pipeline
        # Beam encodes texts in UTF-8, which cannot stand for every path.
        | "Plan path" >> beam.Create([os.fsencode(plan_path)])
        | "Read plan" >> beam.FlatMap(_read_tasks)
        # Without a break here, the worker that read the plan would do all that follows.
        | "Distribute" >> beam.Reshuffle()
        | "Convert" >> beam.ParDo(_Convert(converter))
    )
    _ = (
        entries
        | "Give one key" >> beam.Map(lambda entry: (None, entry))
        | "Collect" >> beam.GroupByKey()
        | "Write manifest" >> beam.MapTuple(lambda _, found: write_manifest(manifest_path, found))
    )
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:  # Each runner wraps the exception of a worker in its own way.
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise SmapcompError(f"the pipeline failed: {reason}; the same command continues") from error
    metrics = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    totals: dict[str, int] = {}
    for counter in metrics["counters"]:
        name = counter.key.metric.name
        totals[name] = totals.get(name, 0) + counter.result
    return totals


def _read_tasks(plan_path: bytes) -> Iterator[Task]:
    tasks = tasks_from_json(files.read_text(os.fsdecode(plan_path)))
    _count("read", len(tasks))
    yield from tasks


class _Convert(beam.DoFn):
    """Step of the pipeline that converts one file."""

    def __init__(self, converter: FileConverter):
        self._converter = converter

    def process(self, task: Task) -> Iterator[ManifestEntry]:
        entry = self._converter.convert(task)
        _count(entry.status)
        yield entry


def _count(name: str, number: int = 1) -> None:
    Metrics.counter(NAMESPACE, name).inc(number)
