"""The Apache Beam pipeline: the plan, the work, the manifest."""

from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics, MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from smapcomp.bulk import files, manifest, plan
from smapcomp.bulk.manifest import Row
from smapcomp.bulk.plan import Task
from smapcomp.bulk.work import Work
from smapcomp.errors import SmapcompError

NAMESPACE = "bulk_compress"
"""Of the counters `read`, `written`, `skipped` and `failed`."""


def build(options: PipelineOptions) -> beam.Pipeline:
    """An empty pipeline.

    Raises:
        ValueError: The runner is unknown or not installed, or misses options.
    """
    try:
        return beam.Pipeline(options=options)
    except (ImportError, AttributeError, TypeError, RuntimeError) as error:
        raise ValueError(str(error)) from error


def run(pipeline: beam.Pipeline, plan_path: str, work: Work, manifest_path: str) -> dict[str, int]:
    """Does the work, writes the manifest and waits for the end.

    Args:
        pipeline: An empty one.
        plan_path: Of `plan.dumps`' text. Runners limit what a pipeline itself can hold.
        work: What is done.
        manifest_path: Where to write the manifest.

    Returns:
        The counters; empty if the runner has none.

    Raises:
        SmapcompError: The pipeline failed as a whole.
    """
    rows = (
        pipeline
        | "Plan" >> beam.Create([plan_path])
        | "Tasks" >> beam.FlatMap(_tasks)
        # A fusion break: what follows would all go to the worker that read the plan.
        | "Spread" >> beam.Reshuffle()
        | "Work" >> beam.ParDo(_Do(work))
    )
    _ = (
        rows
        | "One" >> beam.Map(lambda row: (None, row))
        | "Collect" >> beam.GroupByKey()
        | "Manifest" >> beam.MapTuple(lambda _, found: manifest.write(manifest_path, found))
    )
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:  # runners wrap what a worker raises, each in its own way
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
        raise SmapcompError(f"the pipeline failed: {reason}; the same command goes on") from error
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))
    totals: dict[str, int] = {}
    for counter in found["counters"]:
        name = counter.key.metric.name
        totals[name] = totals.get(name, 0) + counter.result
    return totals


def _tasks(plan_path: str) -> Iterator[Task]:
    tasks: Sequence[Task] = plan.loads(files.read_text(plan_path))
    _count("read", len(tasks))
    yield from tasks


class _Do(beam.DoFn):
    def __init__(self, work: Work):
        self._work = work

    def process(self, task: Task) -> Iterator[Row]:
        row = self._work.do(task)
        _count(row.status)
        yield row


def _count(name: str, number: int = 1) -> None:
    Metrics.counter(NAMESPACE, name).inc(number)
