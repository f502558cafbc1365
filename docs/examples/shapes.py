"""Draws pictures to try the software on: three hundred coloured shapes in three classes, and five odd ones.

    python shapes.py

makes the folders `pictures` (240 shapes), `new` (60 others) and `mixed` (the same 60, and odd_0.png to odd_4.png).
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

COLOURS = ["crimson", "darkorange", "gold", "seagreen", "teal", "royalblue", "purple", "black"]
GROUND = (235, 235, 225)
CORNERS = {"square": 4, "triangle": 3}


def draw_shape(kind: str, rng: np.random.Generator) -> Image.Image:
    """Draws a circle, square or triangle of one colour on a light ground."""
    picture = Image.new("RGB", (32, 32), GROUND)
    radius = int(rng.integers(7, 12))
    x, y = rng.integers(radius + 1, 31 - radius, 2).tolist()
    colour = COLOURS[rng.integers(len(COLOURS))]
    draw = ImageDraw.Draw(picture)
    if kind == "circle":
        draw.circle((x, y), radius, fill=colour)
    else:
        draw.regular_polygon((x, y, radius), CORNERS[kind], fill=colour)
    return picture


def draw_odd_ones(rng: np.random.Generator) -> list[Image.Image]:
    """Draws noise, a chessboard, a spectrum, a word and, hard to tell from the others, a circle that lacks a slice."""
    y, x = np.mgrid[:32, :32]
    noise = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    chessboard = np.where(((x // 4 + y // 4) % 2)[..., None], 20, [240, 220, 180]).astype(np.uint8)
    spectrum = np.stack([8 * x, 8 * y, 255 - 8 * x], -1).astype(np.uint8)
    word = Image.new("RGB", (32, 32), "white")
    ImageDraw.Draw(word).multiline_text((1, 2), "hello\nworld", fill="black", spacing=2)
    sliced = Image.new("RGB", (32, 32), GROUND)
    ImageDraw.Draw(sliced).pieslice((6, 7, 26, 27), 30, 330, fill="teal")
    return [*map(Image.fromarray, (noise, chessboard, spectrum)), word, sliced]


def main() -> None:
    """Writes the three folders."""
    rng = np.random.default_rng(0)
    for folder, count in (("pictures", 80), ("new", 20)):
        for kind in ("circle", "square", "triangle"):
            for number in range(count):
                picture = draw_shape(kind, rng)
                for path in [Path(folder, kind)] + [Path("mixed")] * (folder == "new"):
                    path.mkdir(parents=True, exist_ok=True)
                    picture.save(path / f"{kind}_{number:02}.png")
    for number, picture in enumerate(draw_odd_ones(rng)):
        picture.save(Path("mixed", f"odd_{number}.png"))


if __name__ == "__main__":
    main()
