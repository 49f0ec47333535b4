"""A synthetic copy of the full ADE20K distribution, in its published format."""

import json

import numpy as np

from tests.helpers.pictures import encode_image, smooth_picture

WALL, CAR, CLOSET, DOUBLE_DOOR = 2978, 401, 533, 783  # from convertFromADE/mapFromADE.txt
HOUSING, WINDOW = 1279, 3050  # from ADE_train_00016869.json; none of the 150
NAMES = {
    WALL: "wall",
    CAR: "car, auto, automobile, machine, motorcar",
    CLOSET: "closet",
    DOUBLE_DOOR: "double door",
    HOUSING: "housing",
    WINDOW: "window",
}
LABELS = {0: 0, WALL: 1, CAR: 21, CLOSET: 36, DOUBLE_DOOR: 15, HOUSING: 0, WINDOW: 0}


def index_map(indices, height, width):
    """Return class indices, int [height, width], in vertical stripes."""
    return np.broadcast_to(np.resize(np.repeat(indices, 3), width), (height, width))


def segmentation(indices):
    """Code class indices as the distribution does, with instances in the blue channel.

    The tens of red count 256 indices each; its units are free.
    """
    blue = np.arange(indices.size).reshape(indices.shape) % 7
    red = indices // 256 * 10 + blue
    return np.stack([red, indices % 256, blue], -1).astype(np.uint8)


def entry(number, index, level=0):
    return {
        "id": number,
        "name": NAMES[index],
        "name_ndx": index,
        "hypernym": [],
        "raw_name": NAMES[index].split(",")[0],
        "attributes": [],
        "occluded": "no",
        "crop": "0",
        "parts": {"hasparts": [], "ispartof": [], "part_level": level},
        "instance_mask": f"x/instance_{number:03}_x.png",
        "polygon": {"x": [1, 2, 2], "y": [1, 1, 2], "click_date": []},
    }


def write_json(stem, objects):
    facts = {"filename": f"{stem.name}.jpg", "scene": ["outdoor", "street"], "object": objects}
    stem.with_name(f"{stem.name}.json").write_text(json.dumps({"annotation": facts}))


def write_picture(folder, name, seed, indices, height=24, width=40):
    """Write a picture with everything that lies beside it; return path without extension."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / name
    image = encode_image(smooth_picture(seed, height, width), "JPEG")
    stem.with_name(f"{name}.jpg").write_bytes(image)
    seg = encode_image(segmentation(index_map(indices, height, width)))
    stem.with_name(f"{name}_seg.png").write_bytes(seg)
    stem.with_name(f"{name}_parts_1.png").write_bytes(seg)
    write_json(stem, [entry(n, i) for n, i in enumerate(indices) if i])
    stem.mkdir()
    (stem / f"instance_000_{name}.png").write_bytes(encode_image(np.zeros((4, 4), np.uint8)))
    return stem


def write_full_ade20k(root):
    """Write the distribution with three pictures for training and one for validation."""
    training = root / "images/ADE/training"
    write_picture(training / "urban/street", "ADE_train_00000002", 1, [WALL, CAR, HOUSING], 32)
    write_picture(training / "home_or_hotel/attic", "ADE_train_00000003", 2, [0, CLOSET, WINDOW])
    write_picture(training / "urban/alley/narrow", "ADE_train_00000001", 3, [DOUBLE_DOOR, WALL])
    write_picture(root / "images/ADE/validation/misc", "ADE_val_00000001", 4, [CAR])
    # A pickle that must not be opened: opening it would fail.
    (root / "index_ade20k.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    (root / "objects.txt").write_text("wall")
