"""Networks of one layer each, with the inputs and outputs of the real ones.

The real ones take half a minute to compile; the training job treats both alike.
`python -m tests.helpers.light_networks FLAGS` is `python -m experiments.train FLAGS` with these
networks, on as many logical CPUs as the environment variable LOGICAL_CPUS says.
"""

import os

import keras

layers = keras.layers


def build_compnet(_):
    image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
    compact = layers.AveragePooling2D(8, name="mean")(image)
    compact = layers.Conv2D(3, 1, dtype="float32", name="mix")(compact)
    return keras.Model([image, label_map], compact)


def build_finenet(_, exact=False):
    image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
    detail = layers.Conv2D(3, 3, padding="same", name="detail")(image)
    return keras.Model([image, label_map], detail)


def build_lossy_finenet(*_, exact=False):
    image, label_map = keras.Input((None, None, 3)), keras.Input((None, None), dtype="int32")
    detail = layers.Conv2D(3, 3, padding="same", name="detail")(image)
    return keras.Model([image, label_map, keras.Input(())], detail)


def build_pspnet(backbone, auxiliary=False):
    image = keras.Input((None, None, 3))
    stride = 1 if backbone == "resnet50" else 8
    padding = "same" if stride == 1 else "valid"
    logits = layers.Conv2D(150, 8, strides=stride, padding=padding, name="logits")(image)
    logits = layers.SpatialDropout2D(0.1, name="dropout")(logits)
    side = layers.Conv2D(150, 8, strides=stride, padding=padding, name="auxiliary")(image)
    return keras.Model(image, [logits, side] if auxiliary else logits)


def build_smapnet(representation, channels, exact=False):
    channels = 150 if representation == "classes" else channels or 3
    labels = keras.Input((None, None, channels))
    return keras.Model(labels, layers.Conv2D(channels, 1, name="conv_out")(labels))


BUILDERS = (build_compnet, build_finenet, build_lossy_finenet, build_pspnet, build_smapnet)


def main() -> None:
    import tensorflow as tf
    from absl import app

    from experiments import train
    from smapcomp.training.stages import networks

    for build in BUILDERS:
        setattr(networks, build.__name__, build)
    cpus = int(os.environ.get("LOGICAL_CPUS", "1"))
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * cpus
    )
    app.run(train.main, flags_parser=train.parse)


if __name__ == "__main__":
    main()
