"""Recompute the networks' golden outputs in PyTorch, from the papers' description alone.

This imports nothing of smapcomp. One-hot codes are built and convolved densely, and PyTorch's own
layers are used where its conventions differ from Keras' (padding of strided and transposed
convolutions, pooling, epsilon). From the repository's root:

    python -m venv /tmp/torch && /tmp/torch/bin/pip install -r tests/golden/requirements-torch.txt
    /tmp/torch/bin/python -m tests.golden.make_torch_golden
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tests.golden.cases import SIZES, key
from tests.golden.weights import LABELS, draw, draw_image, draw_label_map


class Net:
    """Random parameters of a network, and its layers on NCHW tensors."""

    def __init__(self, name: str):
        self.name = name

    def draw(self, variable: str, *shape: int) -> torch.Tensor:
        return torch.from_numpy(draw(f"{self.name}/{variable}", shape))

    def kernel(self, layer: str, size: int, inputs: int, outputs: int) -> torch.Tensor:
        """Return the kernel of a convolution, (out, in, height, width)."""
        return self.draw(f"{layer}/kernel", size, size, inputs, outputs).permute(3, 2, 0, 1)

    def conv(self, x, layer: str, size: int, filters: int, stride=1, pad=0, mode="zeros"):
        module = nn.Conv2d(x.shape[1], filters, size, stride, pad, padding_mode=mode)
        module.weight.data = self.kernel(layer, size, x.shape[1], filters)
        module.bias.data = self.draw(f"{layer}/bias", filters)
        return module(x)

    def conv_with_labels(self, x, one_hot, names, size: int, filters: int, **options):
        """Convolve concat(one-hot, x) with a kernel that is drawn in two parts."""
        image_layer, label_layer = names
        module = nn.Conv2d(LABELS + x.shape[1], filters, size, **options)
        parts = [
            self.kernel(label_layer, size, LABELS, filters),
            self.kernel(image_layer, size, x.shape[1], filters),
        ]
        module.weight.data = torch.cat(parts, dim=1)
        module.bias.data = self.draw(f"{image_layer}/bias", filters)
        return module(torch.cat([one_hot, x], dim=1))

    def up(self, x, layer: str, filters: int):
        module = nn.ConvTranspose2d(x.shape[1], filters, 3, stride=2, padding=1, output_padding=1)
        kernel = self.draw(f"{layer}/kernel", 3, 3, filters, x.shape[1])
        module.weight.data = kernel.permute(3, 2, 0, 1)
        module.bias.data = self.draw(f"{layer}/bias", filters)
        return module(x)


def instance_norm(x):
    return nn.InstanceNorm2d(x.shape[1], eps=1e-5)(x)


def norm_relu(x):
    return F.relu(instance_norm(x))


def one_hot(label_map):
    return F.one_hot(label_map.long(), LABELS).permute(0, 3, 1, 2).float()


def encoder(net: Net, image, labels):
    """Apply 7C64, 3C128, 3C256, 3C512: reflection in the first, stride 2 in the others."""
    options = {"padding": 3, "padding_mode": "reflect"}
    x = net.conv_with_labels(image, labels, ("conv0", "labels0"), 7, 64, **options)
    x = norm_relu(x)
    for i, filters in enumerate((128, 256, 512), 1):
        x = norm_relu(net.conv(x, f"conv{i}", 3, filters, stride=2, pad=1))
    return x


def compnet(image, label_map):
    net = Net("compnet")
    x = encoder(net, image, one_hot(label_map))
    return [torch.tanh(net.conv(x, "conv4", 7, 3, pad=3, mode="reflect"))]


def finenet(image, label_map):
    net = Net("finenet")
    x = encoder(net, image, one_hot(label_map))
    for i in range(9):
        y = norm_relu(net.conv(x, f"block{i}_conv1", 3, 512, pad=1, mode="reflect"))
        x = x + instance_norm(net.conv(y, f"block{i}_conv2", 3, 512, pad=1, mode="reflect"))
    for i, filters in enumerate((256, 128, 64), 1):
        x = norm_relu(net.up(x, f"up{i}", filters))
    return [torch.tanh(net.conv(x, "conv4", 7, 3, pad=3, mode="reflect"))]


def smapnet(name: str, x):
    net = Net(name)
    channels = x.shape[1]
    norm = nn.BatchNorm2d(channels)
    norm.weight.data = net.draw("norm/gamma", channels)
    norm.bias.data = net.draw("norm/beta", channels)
    norm.running_mean = net.draw("norm/moving_mean", channels)
    norm.running_var = net.draw("norm/moving_variance", channels)
    first = net.kernel("conv_in", 3, channels, 64)
    shared1, shared2 = (net.kernel(f"conv{i}", 3, 64, 64) for i in (1, 2))
    last = net.kernel("conv_out", 3, 64, channels)
    h = F.relu(F.conv2d(F.relu(norm.eval()(x)), first, padding=1))
    out = h
    for _ in range(9):
        y = F.conv2d(F.relu(out), shared1, padding=1)
        out = F.conv2d(F.relu(y), shared2, padding=1) + h
    return [F.conv2d(F.relu(out), last, padding=1) + x]


def discriminator(image, label_map):
    net = Net("discriminator")
    labels = one_hot(label_map)
    features = []
    for scale in ("full", "half"):
        names = (f"{scale}_conv0", f"{scale}_labels0")
        x = net.conv_with_labels(image, labels, names, 4, 64, stride=2, padding=2)
        x = F.leaky_relu(x, 0.2)
        features.append(x)
        for i, (filters, stride) in enumerate(((128, 2), (256, 2), (512, 1)), 1):
            x = net.conv(x, f"{scale}_conv{i}", 4, filters, stride=stride, pad=2)
            x = F.leaky_relu(instance_norm(x), 0.2)
            features.append(x)
        features.append(net.conv(x, f"{scale}_conv4", 4, 1, pad=2))
        pool = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        image, labels = pool(image), pool(labels)
    return features


def vgg(name: str, convs: tuple[int, ...], image):
    net = Net(name)
    mean = torch.tensor([123.68, 116.779, 103.939])[:, None, None]
    x = ((image + 1) * 127.5 - mean)[:, [2, 1, 0]]
    features = []
    for block, (filters, count) in enumerate(zip((64, 128, 256, 512, 512), convs, strict=True), 1):
        if block > 1:
            x = F.max_pool2d(x, 2)
        for i in range(1, count + 1):
            x = F.relu(net.conv(x, f"block{block}_conv{i}", 3, filters, pad=1))
            if i == 1:
                features.append(x / (0.225 * 255))
    return features


def outputs(network: str, size: tuple[int, int, int]) -> list[torch.Tensor]:
    """Run one case, whose name seeds the inputs."""
    seed = key(network, size)

    def image(channels: int):
        return torch.from_numpy(draw_image(f"{seed}/image", (*size, channels))).permute(0, 3, 1, 2)

    if network.startswith("smapnet"):
        channels = {"smapnet_index3": 3, "smapnet_index1": 1, "smapnet_classes": 150}[network]
        return smapnet(network, image(channels))
    if network.startswith("vgg"):
        convs = {"vgg16": (2, 2, 3, 3, 1), "vgg19": (2, 2, 4, 4, 1)}[network]
        return vgg(network, convs, image(3))
    labelled = {"compnet": compnet, "finenet": finenet, "discriminator": discriminator}
    label_map = torch.from_numpy(draw_label_map(f"{seed}/label_map", size))
    return labelled[network](image(3), label_map)


def main() -> None:
    torch.set_num_threads(2)
    folder = Path(__file__).parent
    for network, sizes in SIZES.items():
        arrays = {}
        for size in sizes:
            with torch.no_grad():
                results = outputs(network, size)
            for i, result in enumerate(results):
                name = f"{key(network, size)}_{i}"
                arrays[name] = np.ascontiguousarray(result.permute(0, 2, 3, 1).numpy())
                print(f"{name}: {arrays[name].shape}, std {arrays[name].std():.3f}")
        np.savez_compressed(folder / f"{network}.npz", **arrays)


if __name__ == "__main__":
    main()
