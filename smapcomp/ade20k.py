"""The 150 classes of SceneParse150 (ADE20K) and a colour for each.

Label maps hold 0 for void (nothing labelled) and 1..150 for the classes; index 0 of both tables
below is void.
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

# str [151]: index is the label id. The first of the synonyms that ADE20K gives.
CLASS_NAMES: tuple[str, ...] = tuple(" ".join(_NAMES.split()).split(", "))

# Of the 150, those that the Places Challenge 2017 has no instances of.
_NO_INSTANCES = """
wall, building, sky, floor, tree, ceiling, road, grass, sidewalk, earth, mountain, plant, water,
house, sea, rug, field, rock, base, sand, skyscraper, grandstand, path, runway, stairway, river,
bridge, blind, hill, bar, hovel, tower, dirt track, land, escalator, buffet, poster, stage,
conveyer belt, canopy, swimming pool, waterfall, tent, cradle, tank, lake, blanket, pier,
crt screen, shower
"""

# uint8 [101]: id of each of the challenge's 100 kinds of objects, which are the others in the
# same order; 0 stays void.
INSTANCE_LABELS: np.ndarray = np.array(
    [
        label
        for label, name in enumerate(CLASS_NAMES)
        if name not in " ".join(_NO_INSTANCES.split()).split(", ")
    ],
    np.uint8,
)
INSTANCE_LABELS.setflags(write=False)


def _palette() -> np.ndarray:
    """Returns uint8 [151, 3]: black for void, then 25 hues in each of six shades.

    Ids that follow each other are 9/25 of the colour circle apart. The palette that ADE20K's own
    tools use is not taken: two of its classes share a colour, so that a picture in it cannot be
    turned back into labels.
    """
    shades = [(s, v) for v in (1.0, 0.75, 0.5) for s in (0.8, 0.4)]
    colours = [(0.0, 0.0, 0.0)]
    for index in range(len(CLASS_NAMES) - 1):
        shade, position = divmod(index, 25)
        # A shade's hues stand between those of the others.
        hue = (9 * position % 25 + shade / len(shades)) / 25
        colours.append(colorsys.hsv_to_rgb(hue, *shades[shade]))
    return np.round(np.array(colours) * 255).astype(np.uint8)


# uint8 [151, 3], RGB; all colours distinct.
PALETTE: np.ndarray = _palette()
PALETTE.setflags(write=False)


def colourise(label_map: np.ndarray) -> np.ndarray:
    """Returns the picture, uint8 [H, W, 3], of an integer label map [H, W] with values 0..150."""
    return PALETTE[label_map]


def label_counts(label_map: np.ndarray) -> np.ndarray:
    """How many pixels of an integer label map [H, W] each label has, int64 [151]."""
    return np.bincount(label_map.ravel(), minlength=len(CLASS_NAMES))


def commonest(pixels: np.ndarray, count: int) -> list[tuple[int, float]]:
    """The labels with most pixels, the largest first.

    Args:
        pixels: how many each label has, int [151].
        count: how many labels at most.

    Returns:
        Label and its share of all pixels; none without pixels.
    """
    order = np.argsort(-pixels, kind="stable")[:count]
    return [(int(label), pixels[label] / pixels.sum()) for label in order if pixels[label]]
