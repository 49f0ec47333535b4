"""Names and colours of the 150 classes of SceneParse150 (ADE20K).

A label map holds 0 for void (no label) and 1..150 for the classes. Index 0 of the tables is void.
"""

import colorsys

import numpy as np

_NAMES = """
void, wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf,
house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub,
railing, cushion, base, box, column, signboard, chest, counter, sand, sink, skyscraper, fireplace,
refrigerator, grandstand, path, stairs, runway, case, pool table, pillow, screen door, stairway,
river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop,
stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel,
light, truck, tower, chandelier, awning, streetlight, booth, television, airplane, dirt track,
apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship,
fountain, conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket,
waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot,
animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light,
tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass,
clock, flag
"""

CLASS_NAMES: tuple[str, ...] = tuple(" ".join(_NAMES.split()).split(", "))
"""Names of the 151 labels, void included: the first of ADE20K's synonyms for each."""

# Classes without instances in the Places Challenge 2017.
_NO_INSTANCES = """
wall, building, sky, floor, tree, ceiling, road, grass, sidewalk, earth, mountain, plant, water,
house, sea, rug, field, rock, base, sand, skyscraper, grandstand, path, runway, stairway, river,
bridge, blind, hill, bar, hovel, tower, dirt track, land, escalator, buffet, poster, stage,
conveyer belt, canopy, swimming pool, waterfall, tent, cradle, tank, lake, blanket, pier,
crt screen, shower
"""

INSTANCE_LABELS: np.ndarray = np.array(
    [
        label
        for label, name in enumerate(CLASS_NAMES)
        if name not in " ".join(_NO_INSTANCES.split()).split(", ")
    ],
    np.uint8,
)
INSTANCE_LABELS.setflags(write=False)
"""Label of each class of objects of the Places Challenge 2017, uint8 `[101]`. Its 100 classes are
those of the 150 that have instances, in the same order; 0 is void."""


def _palette() -> np.ndarray:
    """Return the palette, uint8 `[151, 3]`: black for void, then 25 hues in each of six shades.

    Consecutive labels are 9/25 of the colour circle apart. In the palette of ADE20K's own tools two
    classes share a colour, so a picture in it cannot be turned back into labels.
    """
    shades = [(s, v) for v in (1.0, 0.75, 0.5) for s in (0.8, 0.4)]
    colours = [(0.0, 0.0, 0.0)]
    for index in range(len(CLASS_NAMES) - 1):
        shade, position = divmod(index, 25)
        # The hues of a shade lie between those of the other shades.
        hue = (9 * position % 25 + shade / len(shades)) / 25
        colours.append(colorsys.hsv_to_rgb(hue, *shades[shade]))
    return np.round(np.array(colours) * 255).astype(np.uint8)


PALETTE: np.ndarray = _palette()
PALETTE.setflags(write=False)
"""RGB colours of the labels, uint8 `[151, 3]`, all of them distinct."""


def colourise(label_map: np.ndarray) -> np.ndarray:
    """Return a label map, integers `[H, W]` in 0..150, as a picture, uint8 `[H, W, 3]`."""
    return PALETTE[label_map]


def label_counts(label_map: np.ndarray) -> np.ndarray:
    """Return the number of pixels of each label in a label map `[H, W]`, int64 `[151]`."""
    return np.bincount(label_map.ravel(), minlength=len(CLASS_NAMES))


def top_labels(pixels: np.ndarray, count: int) -> list[tuple[int, float]]:
    """Return the labels with the most pixels, the largest first.

    Args:
        pixels: Number of pixels of each label, int `[151]`, as `label_counts` returns it.
        count: Largest number of labels to return.

    Returns:
        Pairs of label and its share of all pixels, without labels that have no pixel.
    """
    order = np.argsort(-pixels, kind="stable")[:count]
    return [(int(label), pixels[label] / pixels.sum()) for label in order if pixels[label]]
