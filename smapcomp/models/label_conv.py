"""Convolution over a one-hot label map, computed from the integer labels."""

import keras
from keras import ops

from smapcomp.design import NUM_LABELS

NO_LABEL = NUM_LABELS
"""Value of a pixel without a label; its one-hot code is all zeros."""


@keras.saving.register_keras_serializable(package="smapcomp")
class LabelConv2D(keras.layers.Layer):
    """`Conv2D` without bias over `one_hot(label_map, 151)`, without building that tensor.

    Each output is the sum of the rows of the kernel that the labels in its window select. In real
    label maps most windows hold a single label. Under TensorFlow these take one row of the kernel
    that is summed over the window, and only the others gather a row for each position. Other
    backends gather for all windows, since shapes in a compiled JAX function cannot depend on data.

    Measured in one run with a 7×7 window, 64 filters and four 256×256 label maps of ADE20K, in
    which 15 to 37 % of the windows hold several labels: compared with the dense convolution,
    one-hot code included, this takes 8 to 13 times less processor time forward and 6 to 10 times
    less with the gradient of the kernel. Gathering for all windows takes 4 to 6 times and 2 times
    less. Outputs differ from those of the dense convolution by 2e-7.

    Args:
        filters: Output channels.
        kernel_size: Side of the square window.
        strides: Step in both directions.
        padding: Padding by `kernel_size // 2` on every side, as in PyTorch: "zero" pads the one-hot
            code with zeros, "reflect" reflects the map.
        initializer: Initializer of the kernel, `[kernel_size, kernel_size, 151, filters]`, which
            has the layout of the dense convolution's kernel.

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
            # Under mixed precision the rows stay float32, and with them their gradients. These are
            # sums over all pixels of a label, which in bfloat16 stop growing after a few hundred.
            autocast=False,
        )

    def rows(self, training: bool):
        """Return the kernel as the convolution uses it; `training` says if gradients are needed."""
        del training
        return ops.convert_to_tensor(self.kernel)

    def call(self, label_map, training=False):
        """Convolve a label map.

        Args:
            label_map: int `[batch, height, width]` in 0..150; any other value is no label, as in
                `one_hot`. Or `[batch, height, width, n]` as of `LabelPool2D`, which stands for the
                mean of the one-hot codes of those of the n values that are labels.
            training: Whether gradients are needed; the values are the same.

        Returns:
            float `[batch, out_height, out_width, filters]`. out_height is ceil(height / strides)
            for odd windows and height // strides + 1 for even ones.
        """
        label_map = ops.cast(label_map, "int32")
        outside = ops.logical_or(label_map < 0, label_map >= NUM_LABELS)
        label_map = ops.where(outside, NO_LABEL, label_map)
        if len(label_map.shape) == 3:
            label_map = label_map[..., None]
        label_map = self._pad(label_map)
        rows = ops.pad(self.rows(training), [[0, 0], [0, 0], [0, 1], [0, 0]])
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
        """Return the inputs of the window's position `offset` along an axis, for all outputs."""
        last = ops.shape(x)[axis] - self.kernel_size + offset
        seen = slice(offset, last + 1, self.strides)
        return x[:, seen] if axis == 1 else x[:, :, seen]

    def _sum_rows(self, rows, labels_at):
        """Sum rows[i, j, labels_at(i, j)] over the window and average over the last axis."""
        side = self.kernel_size
        # Unstacked once, since the gradient of each rows[i, j] is as large as the whole kernel.
        tables = ops.unstack(ops.reshape(rows, (side * side, -1, self.filters)), axis=0)
        total = 0.0
        for k, table in enumerate(tables):
            total = total + _mean_row(table, labels_at(*divmod(k, side)))
        return total

    def _convolve_everywhere(self, label_map, rows):
        """Convolve in a loop over the window, which XLA compiles faster than an unrolled one.

        Measured for stage 1 of the papers at batch 8 and 256×256 on a CPU: 33 s instead of 87 s to
        compile, and 5.9 instead of 6.4 GiB of memory; with recomputation of activations 5.3 instead
        of 8.7 GiB.
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
        """Return the highest or lowest label of each window, `[batch, out_height, out_width]`."""
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
    """Return the mean of the rows that labels select, `[..., filters]`.

    Args:
        rows: `[152, filters]`; the last row, that of `NO_LABEL`, is zero.
        labels: int `[..., n]` in 0..151; `NO_LABEL` does not count.
    """
    if labels.shape[-1] == 1:
        return ops.take(rows, labels[..., 0], axis=0)
    count = ops.sum(ops.cast(labels != NO_LABEL, rows.dtype), axis=-1, keepdims=True)
    return ops.sum(ops.take(rows, labels, axis=0), axis=-2) / ops.maximum(count, 1.0)


@keras.saving.register_keras_serializable(package="smapcomp")
class LabelPool2D(keras.layers.Layer):
    """Average pooling of a one-hot label map with a 3×3 window and stride 2, for `LabelConv2D`.

    The mean of nine one-hot codes is represented by the nine labels: int `[batch, height, width]`
    to int `[batch, ceil(height/2), ceil(width/2), 9]`. Pixels beyond the border have no label and
    do not count.
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
