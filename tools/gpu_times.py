"""Published figures of GPUs, and the time of a training step that they stand for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """Published figures of a GPU.

    Attributes:
        tflops: Format of the products to the peak in TFLOP/s, of dense matrices with float32 sums.
            "tf32" is what TensorFlow uses for float32 networks if the GPU has it.
        memory_gb: Memory in GB.
    """

    tflops: Mapping[str, float]
    memory_gb: int

    def peak(self, number_format: str) -> tuple[str, float] | None:
        """Return the format in which products are computed, and its peak in TFLOP/s.

        Args:
            number_format: Format of the network, "float32", "bfloat16" or "float16".

        Returns:
            Format and peak, or `None` if the GPU does not have the format.
        """
        names = ("tf32", "float32") if number_format == "float32" else (number_format,)
        return next(((name, self.tflops[name]) for name in names if name in self.tflops), None)


GPUS = {
    # NVIDIA T4 Tensor Core GPU datasheet.
    "t4": Gpu({"float32": 8.1, "float16": 65}, 16),
    # NVIDIA V100 Tensor Core GPU datasheet, SXM2.
    "v100": Gpu({"float32": 15.7, "float16": 125}, 32),
    # NVIDIA Ada GPU architecture whitepaper, GeForce RTX 4090, without sparsity.
    "rtx4090": Gpu({"float32": 82.6, "tf32": 82.6, "bfloat16": 165.2, "float16": 165.2}, 24),
    # NVIDIA A100 Tensor Core GPU datasheet, SXM, without sparsity.
    "a100": Gpu({"float32": 19.5, "tf32": 156, "bfloat16": 312, "float16": 312}, 80),
    # NVIDIA H100 and H200 Tensor Core GPU datasheets, SXM; half of the figures with sparsity.
    "h100": Gpu({"float32": 67, "tf32": 494.7, "bfloat16": 989.4, "float16": 989.4}, 80),
    "h200": Gpu({"float32": 67, "tf32": 494.7, "bfloat16": 989.4, "float16": 989.4}, 141),
}
"""GPUs by name."""

UTILISATION = 0.1
"""Default of --utilisation: what the only measured run on a GPU reached (docs/gpu.md)."""


def step_seconds(flops: Mapping[str, int], gpu: Gpu, utilisation: float) -> float:
    """Return the seconds of a step.

    Args:
        flops: Number format to the floating-point operations of a step in that format.
        gpu: GPU that has all of these formats.
        utilisation: Share of the peak that is reached, above 0.
    """
    at_peak = 0.0
    for number_format, count in flops.items():
        peak = gpu.peak(number_format)
        assert peak is not None
        at_peak += count / (peak[1] * 1e12)
    return at_peak / utilisation


def gpu_table(steps: int, flops: Mapping[str, int], names: Sequence[str], share: float) -> str:
    """Return the estimated hours on GPUs as a table in Markdown.

    Args:
        steps: Number of steps.
        flops: Number format to the floating-point operations of a step in that format.
        names: Keys of `GPUS`.
        share: Share of the peak that is reached, above 0.
    """
    lines = ["| GPU | Memory | Peak, TFLOP/s | ms a step | Hours |", "|---|---|---|---|---|"]
    for name in names:
        gpu = GPUS[name]
        missing = [number_format for number_format in flops if not gpu.peak(number_format)]
        cells = [name, f"{gpu.memory_gb} GB", f"has no {', '.join(missing)}", "", ""]
        if not missing:
            seconds = step_seconds(flops, gpu, share)
            peaks = (gpu.peak(number_format) for number_format in sorted(flops))
            cells[2] = ", ".join(f"{peak[0]} {peak[1]:g}" for peak in peaks if peak)
            cells[3:] = _short(1000 * seconds), _short(steps * seconds / 3600)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    """Return a number with two or three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
