"""The levels that a compact image is rounded to: what the networks and the bitstream agree on."""


def max_level(step: int) -> int:
    """The highest level of a compact image whose levels are `step` apart: that of the value 255.

    Args:
        step: 1..128, in units of 1/255.
    """
    return (255 + step // 2) // step
