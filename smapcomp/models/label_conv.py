"""The convolution over a one-hot label map, computed from the integers."""

import keras
from keras import ops

from smapcomp.design import NUM_LABELS

NO_LABEL = NUM_LABELS
"""Stands for a pixel without any label, whose one-hot code is all zeros."""


@keras.saving.register_keras_serializable(package="smapcomp")
class LabelConv2D(keras.layers.Layer):
    """Equals `Conv2D` without bias over `one_hot(label_map, 151)`; never builds that tensor.

    Each output is the sum of the kernel's rows that the labels of its window select. Under
    TensorFlow, windows that hold a single label, most of them in real maps, take one row of the
    kernel summed over the window; only the others gather their rows one by one. Other backends
    gather everywhere, since a compiled JAX function has no shapes that depend on data.

    Processor time beside the dense convolution's, one-hot code included, in one run (7×7, 64
    filters, four 256×256 label maps of ADE20K with 15 to 37 % of windows mixed): 8 to 13 times
    less forward and 6 to 10 times less with the kernel's gradient; gathering everywhere is 4 to
    6 and 2 times less. Outputs differ from the dense convolution's by 2e-7.

    Args:
        filters: Output channels.
        kernel_size: Side of the square window.
        strides: Step in both directions.
        padding: `kernel_size // 2` on every side; "zero" pads the one-hot code with zeros, and
            "reflect" reflects the map. Then a valid convolution, as in PyTorch.
        initializer: Of the kernel, `[kernel_size, kernel_size, 151, filters]`: laid out as the
            dense convolution's, so that weights move freely between the two.

    Raises:
        ValueError: The padding is unknown.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        padding: str = "zero",
        initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if padding not in ("zero", "reflect"):
            raise ValueError(f"padding {padding!r} is unknown; allowed: zero, reflect")
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, NUM_LABELS, self.filters),
            initializer=self.initializer,
            # Under mixed precision the rows stay float32, and with them their gradients: sums over
            # all pixels of a label, of which bfloat16 loses all but the first few hundred.
            autocast=False,
        )

    def call(self, label_map):
        """Convolves a map of labels.

        Args:
            label_map: int `[batch, height, width]` of 0..150; any other value counts as no
                label, as in `one_hot`. Or `[batch, height, width, n]`: the mean of the one-hot
                codes of the labels that are there (see `LabelPool2D`).

        Returns:
            float `[batch, out_height, out_width, filters]`; with odd windows out_height is
            ceil(height / strides), with even ones height // strides + 1.
        """
        label_map = ops.cast(label_map, "int32")
        outside = ops.logical_or(label_map < 0, label_map >= NUM_LABELS)
        label_map = ops.where(outside, NO_LABEL, label_map)
        if len(label_map.shape) == 3:
            label_map = label_map[..., None]
        label_map = self._pad(label_map)
        rows = ops.pad(ops.convert_to_tensor(self.kernel), [[0, 0], [0, 0], [0, 1], [0, 0]])
        if self.kernel_size == 1:
            result = _mean_row(rows[0, 0], label_map[:, :: self.strides, :: self.strides])
        elif keras.backend.backend() == "tensorflow":
            result = self._convolve_mixed_windows_only(label_map, rows)
        else:
            result = self._convolve_everywhere(label_map, rows)
        return ops.cast(result, self.compute_dtype)

    def _pad(self, label_map):
        half = self.kernel_size // 2
        pads = [[0, 0], [half, half], [half, half], [0, 0]]
        if self.padding == "reflect":
            return ops.pad(label_map, pads, mode="reflect")
        return ops.pad(label_map, pads, mode="constant", constant_values=NO_LABEL)

    def _tap(self, x, offset: int, axis: int):
        """What the window's entry `offset` sees along an axis, for all output positions."""
        last = ops.shape(x)[axis] - self.kernel_size + offset
        seen = slice(offset, last + 1, self.strides)
        return x[:, seen] if axis == 1 else x[:, :, seen]

    def _sum_rows(self, rows, labels_at):
        """Sums rows[i, j, labels_at(i, j)] over the window; averages over the last axis."""
        side = self.kernel_size
        # Unstacked once: the gradient of each rows[i, j] would be as large as the whole kernel.
        tables = ops.unstack(ops.reshape(rows, (side * side, -1, self.filters)), axis=0)
        total = 0.0
        for k, table in enumerate(tables):
            total = total + _mean_row(table, labels_at(*divmod(k, side)))
        return total

    def _convolve_everywhere(self, label_map, rows):
        """A loop over the window, which XLA compiles faster than its terms one by one.

        Stage 1 of the papers at batch 8, 256×256, for the CPU: 33 s instead of 87 s to compile, and
        5.9 GiB instead of 6.4; 5.3 instead of 8.7 where results are computed again.
        """
        side, step = self.kernel_size, self.strides
        batch, height, width, depth = ops.shape(label_map)
        seen = (batch, height - side + 1, width - side + 1, depth)

        def add(total, item):
            table, k = item
            labels = ops.slice(label_map, (0, k // side, k % side, 0), seen)
            return total + _mean_row(table, labels[:, ::step, ::step]), None

        out_height, out_width = (-(-size // step) for size in seen[1:3])
        start = ops.zeros((batch, out_height, out_width, self.filters), rows.dtype)
        tables = ops.reshape(rows, (side * side, -1, self.filters))
        return ops.scan(add, start, (tables, ops.arange(side * side)))[0]

    def _convolve_mixed_windows_only(self, label_map, rows):
        highest = self._over_window(label_map, ops.maximum)
        lowest = self._over_window(label_map, ops.minimum)
        result = ops.take(ops.sum(rows, axis=(0, 1)), highest, axis=0)
        batch, y, x = ops.nonzero(ops.not_equal(highest, lowest))
        _, height, width, depth = ops.shape(label_map)
        corner = (batch * height + y * self.strides) * width + x * self.strides
        flat = ops.reshape(label_map, (-1, depth))
        mixed = self._sum_rows(rows, lambda i, j: ops.take(flat, corner + i * width + j, axis=0))
        return ops.scatter_update(result, ops.stack([batch, y, x], axis=1), mixed)

    def _over_window(self, label_map, choose):
        """Highest or lowest label of each window, `[batch, out_height, out_width]`."""
        x = label_map[..., 0]
        for k in range(1, label_map.shape[-1]):
            x = choose(x, label_map[..., k])
        for axis in (1, 2):
            taps = [self._tap(x, k, axis) for k in range(self.kernel_size)]
            x = taps[0]
            for tap in taps[1:]:
                x = choose(x, tap)
        return x

    def compute_output_shape(self, input_shape):
        grow = 2 * (self.kernel_size // 2) - self.kernel_size

        def side(size):
            return None if size is None else (size + grow) // self.strides + 1

        return (input_shape[0], side(input_shape[1]), side(input_shape[2]), self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "initializer": keras.initializers.serialize(self.initializer),
        }


def _mean_row(rows, labels):
    """Rows `[152, filters]` looked up for int labels `[..., n]`; the mean of those that exist."""
    if labels.shape[-1] == 1:
        return ops.take(rows, labels[..., 0], axis=0)
    count = ops.sum(ops.cast(labels != NO_LABEL, rows.dtype), axis=-1, keepdims=True)
    return ops.sum(ops.take(rows, labels, axis=0), axis=-2) / ops.maximum(count, 1.0)


@keras.saving.register_keras_serializable(package="smapcomp")
class LabelPool2D(keras.layers.Layer):
    """Halves a label map as a 3×3, stride 2 average pool halves its one-hot code.

    The mean of nine one-hot codes is kept as the nine labels themselves: int
    `[batch, height, width]` to int `[batch, ceil(height/2), ceil(width/2), 9]`, for
    `LabelConv2D`. Pixels beyond the border are no label and are not counted.
    """

    def call(self, label_map):
        label_map = ops.cast(label_map, "int32")
        height, width = ops.shape(label_map)[1:]
        pads = [[0, 0], [1, 1], [1, 1]]
        label_map = ops.pad(label_map, pads, mode="constant", constant_values=NO_LABEL)
        taps = [
            label_map[:, i : i + height : 2, j : j + width : 2] for i in range(3) for j in range(3)
        ]
        return ops.stack(taps, axis=-1)

    def compute_output_shape(self, input_shape):
        batch, height, width = input_shape
        half = [None if side is None else -(-side // 2) for side in (height, width)]
        return (batch, *half, 9)

    def compute_output_spec(self, label_map):
        return keras.KerasTensor(self.compute_output_shape(label_map.shape), dtype="int32")
