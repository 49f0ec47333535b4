"""Recompute the segmenters' golden logits in PyTorch, from their published descriptions alone.

This imports nothing of smapcomp. Dilation, "same" padding, adaptive pooling, interpolation and
batch normalisation are PyTorch's own. From the repository's root:

    python -m venv /tmp/torch && /tmp/torch/bin/pip install -r tests/golden/requirements-torch.txt
    /tmp/torch/bin/python -m tests.golden.make_torch_golden_pspnet
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.golden.pspnet_cases import SIZES, gain, kept
from tests.golden.weights import draw, draw_image


class Net:
    """Random parameters of a network, and its layers on NCHW tensors."""

    def __init__(self, name: str, epsilon: float):
        self.name = name
        self.epsilon = epsilon
        self.sizes = {}

    def draw(self, variable: str, *shape: int) -> torch.Tensor:
        layer, kind = variable.split("/")
        self.sizes[variable] = int(np.prod(shape))
        scale = gain(layer, shape) if kind == "kernel" else 1.0
        return torch.from_numpy(draw(f"{self.name}/{variable}", shape, scale))

    def conv(self, x, layer: str, size: int, filters: int, **options):
        kernel = self.draw(f"{layer}/kernel", size, size, x.shape[1], filters)
        return F.conv2d(x, kernel.permute(3, 2, 0, 1), **options)

    def depthwise(self, x, layer: str, size: int, **options):
        channels = x.shape[1]
        kernel = self.draw(f"{layer}/kernel", size, size, channels, 1).permute(2, 3, 0, 1)
        return F.conv2d(x, kernel, groups=channels, **options)

    def norm(self, x, layer: str):
        module = nn.BatchNorm2d(x.shape[1], eps=self.epsilon)
        module.weight.data = self.draw(f"{layer}_bn/gamma", x.shape[1])
        module.bias.data = self.draw(f"{layer}_bn/beta", x.shape[1])
        module.running_mean = self.draw(f"{layer}_bn/moving_mean", x.shape[1])
        module.running_var = self.draw(f"{layer}_bn/moving_variance", x.shape[1])
        return module.eval()(x)

    def head(self, x, layer: str, filters: int):
        """Apply a 3x3 convolution, batch normalisation, ReLU and the 1x1 convolution to logits."""
        x = F.relu(self.norm(self.conv(x, layer, 3, filters, padding=1), layer))
        return self.conv(x, f"{layer}_logits", 1, 150, bias=self.draw(f"{layer}_logits/bias", 150))

    def pyramid_head(self, x, branch_filters: int, filters: int):
        parts = [x]
        for bins in (1, 2, 3, 6):
            y = F.adaptive_avg_pool2d(x, bins)
            y = F.relu(
                self.norm(self.conv(y, f"pyramid{bins}", 1, branch_filters), f"pyramid{bins}")
            )
            parts.append(resize(y, x.shape[2:]))
        return self.head(torch.cat(parts, dim=1), "head", filters)


def resize(x, size):
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def resnet_stages(net: Net, blocks: tuple[int, ...], image):
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    x = ((image + 1) / 2 - mean) / std
    for i, (filters, stride) in enumerate(((64, 2), (64, 1), (128, 1)), 1):
        name = f"stem_conv{i}"
        x = F.relu(net.norm(net.conv(x, name, 3, filters, stride=stride, padding=1), name))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    stages = []
    # Stage -> stride, dilation of its first 3x3 convolution, dilation of the others.
    for s, (stride, first, others) in enumerate(((1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)), 1):
        filters = 64 * 2 ** (s - 1)
        for b in range(1, blocks[s - 1] + 1):
            name, dilation = f"stage{s}_block{b}", first if b == 1 else others
            step = stride if b == 1 else 1
            shortcut = x
            if b == 1:
                shortcut = net.conv(x, f"{name}_shortcut", 1, 4 * filters, stride=step)
                shortcut = net.norm(shortcut, f"{name}_shortcut")
            y = F.relu(net.norm(net.conv(x, f"{name}_conv1", 1, filters), f"{name}_conv1"))
            options = {"stride": step, "padding": dilation, "dilation": dilation}
            y = net.conv(y, f"{name}_conv2", 3, filters, **options)
            y = F.relu(net.norm(y, f"{name}_conv2"))
            y = net.norm(net.conv(y, f"{name}_conv3", 1, 4 * filters), f"{name}_conv3")
            x = F.relu(y + shortcut)
        stages.append(x)
    return stages


def paper(name: str, blocks: tuple[int, ...], image):
    net = Net(f"pspnet_{name}", epsilon=1e-5)
    stages = resnet_stages(net, blocks, image)
    logits = net.pyramid_head(stages[3], 512, 512)
    auxiliary = net.head(stages[2], "auxiliary", 512)
    return net, [resize(y, image.shape[2:]) for y in (logits, auxiliary)]


def lite0_block(net: Net, x, name: str, expansion: int, filters: int, size: int, pads, **options):
    y = x
    if expansion > 1:
        y = net.conv(y, f"{name}_expand", 1, expansion * x.shape[1])
        y = F.relu6(net.norm(y, f"{name}_expand"))
    before, after = pads
    y = F.pad(y, (before, after, before, after))
    y = F.relu6(
        net.norm(net.depthwise(y, f"{name}_depthwise", size, **options), f"{name}_depthwise")
    )
    y = net.norm(net.conv(y, f"{name}_project", 1, filters), f"{name}_project")
    return x + y if x.shape == y.shape else y


def lite0_stages(net: Net, image):
    x = ((image + 1) * 127.5 - 127) / 128
    # TensorFlow's "same" at stride 2 and even size has all of the padding at the end.
    x = net.conv(F.pad(x, (0, 1, 0, 1)), "stem", 3, 32, stride=2)
    x = F.relu6(net.norm(x, "stem"))
    # Filters, blocks, expansion, kernel; stride, padding and dilation of the first block; padding
    # and dilation of the others. Stages 4 and 6 dilate instead of striding. The stride of stage 3
    # is centred to the upper left.
    table = (
        (16, 1, 1, 3, (1, (1, 1), 1), None),
        (24, 2, 6, 3, (2, (0, 1), 1), ((1, 1), 1)),
        (40, 2, 6, 5, (2, (2, 1), 1), ((2, 2), 1)),
        (80, 3, 6, 3, (1, (1, 1), 1), ((2, 2), 2)),
        (112, 3, 6, 5, (1, (4, 4), 2), ((4, 4), 2)),
        (192, 4, 6, 5, (1, (4, 4), 2), ((8, 8), 4)),
    )
    stages = []
    for s, (filters, blocks, expansion, size, first, others) in enumerate(table, 1):
        for b in range(1, blocks + 1):
            stride, pads, dilation = first if b == 1 else (1, *others)
            name, options = f"stage{s}_block{b}", {"stride": stride, "dilation": dilation}
            x = lite0_block(net, x, name, expansion, filters, size, pads, **options)
        stages.append(x)
    return stages


def lite(image):
    net = Net("pspnet_efficientnet_lite0", epsilon=1e-3)
    height, width = image.shape[2:]
    padded = F.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
    stages = lite0_stages(net, F.avg_pool2d(padded, 2))
    outputs = [net.pyramid_head(stages[5], 64, 128), net.head(stages[4], "auxiliary", 64)]
    rows, columns = -(-height // 8), -(-width // 8)
    return net, [
        F.interpolate(y, scale_factor=2, mode="bilinear")[..., :rows, :columns] for y in outputs
    ]


NETWORKS = {
    "resnet50": lambda image: paper("resnet50", (3, 4, 6, 3), image),
    "resnet101": lambda image: paper("resnet101", (3, 4, 23, 3), image),
    "efficientnet_lite0": lite,
}


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(2)
    for backbone, network in NETWORKS.items():
        results = {}
        for size in SIZES[backbone]:
            seed = f"{backbone}_{'x'.join(map(str, size))}"
            image = torch.from_numpy(draw_image(f"{seed}/image", (*size, 3))).permute(0, 3, 1, 2)
            net, outputs = network(image)
            for i, output in enumerate(outputs):
                results[f"{seed}_{i}"] = kept(backbone, output.permute(0, 2, 3, 1)).numpy()
            print(seed, [(float(y.std()), float(y.abs().max())) for y in outputs])
        results["variables"] = np.array(sorted(f"{k} {v}" for k, v in net.sizes.items()))
        np.savez_compressed(Path(__file__).with_name(f"pspnet_{backbone}.npz"), **results)


if __name__ == "__main__":
    main()
