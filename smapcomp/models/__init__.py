"""The networks, as functional Keras models (SPEC section 2; SPEC is docs/spec.md)."""

from smapcomp.models.compnet import build_compnet
from smapcomp.models.discriminator import build_discriminator
from smapcomp.models.finenet import build_finenet
from smapcomp.models.pspnet import build_pspnet, label_map_from_logits
from smapcomp.models.smapnet import build_smapnet
from smapcomp.models.vgg import build_vgg16_features, build_vgg19_features

__all__ = [
    "build_compnet",
    "build_discriminator",
    "build_finenet",
    "build_pspnet",
    "build_smapnet",
    "build_vgg16_features",
    "build_vgg19_features",
    "label_map_from_logits",
]
