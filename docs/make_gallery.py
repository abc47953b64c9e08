"""Draw the pictures of ``gallery.md``: run what stands on that page, in the folder ``gallery``.

``python docs/make_gallery.py`` takes some minutes; ``python docs/make_gallery.py compare film`` runs only what contains
one of these words. Where the files of Fashion-MNIST are missing, its pictures stay as they are.
"""

import os
import re
import shlex
import sys
from pathlib import Path

from PIL import Image

from fastopt.cli import main as fastopt

HERE = Path(__file__).parent
REFUSED = 2


def blocks(page: str, words: list[str]) -> list[tuple[str, str]]:
    """Return language and text of the blocks of code that contain one of the words, or of all."""
    found = re.findall(r"^```(sh|python)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [block for block in found if not words or any(word in block[1] for word in words)]


def run(language: str, text: str) -> bool:
    """Run a block; return whether all went well."""
    if language == "python":
        exec(compile(text, "gallery.md", "exec"), {})
        return True
    good = True
    for line in text.replace("\\\n", " ").splitlines():
        program, *arguments = shlex.split(line)
        if program != "fastopt":
            continue
        print(f"$ {line}", flush=True)
        refused = fastopt(arguments) == REFUSED
        good &= not refused or "fashion-mnist" in arguments
    return good


def shrink_picture(path: Path) -> None:
    """Reduce a picture to 256 colours."""
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def shrink_animation(path: Path, *, frames: int = 36, kilobytes: int = 1200) -> None:
    """Reduce an animation to fewer frames, and to as many colours as fit into a size."""
    film = Image.open(path)
    every = -(-film.n_frames // frames)
    kept = []
    for i in sorted({*range(0, film.n_frames, every), film.n_frames - 1}):
        film.seek(i)
        kept.append(film.convert("RGB"))
    pauses = [film.info["duration"] * every] * (len(kept) - 1) + [3000]
    for colours in (128, 96, 64, 48, 32):
        palette = shared_palette(kept[:: len(kept) // 4], colours)
        reduced = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in kept]
        reduced[0].save(path, save_all=True, append_images=reduced[1:], duration=pauses, loop=0, optimize=True)
        if path.stat().st_size <= kilobytes * 1000:
            break


def shared_palette(frames: list[Image.Image], colours: int) -> Image.Image:
    """Return a palette for all frames, with a white that is white and a black that is black."""
    width, height = frames[0].size
    page = Image.new("RGB", (width, height * len(frames)))
    for k, frame in enumerate(frames):
        page.paste(frame, (0, k * height))
    palette = page.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    values = palette.getpalette()[: 3 * colours]
    for choose, level in ((max, 255), (min, 0)):
        at = choose(range(0, len(values), 3), key=lambda i: sum(values[i : i + 3]))
        values[at : at + 3] = 3 * [level]
    palette.putpalette(values)
    return palette


def main(words: list[str]) -> int:
    """Run the page."""
    page = (HERE / "gallery.md").read_text(encoding="utf-8")
    folder = HERE / "gallery"
    folder.mkdir(exist_ok=True)
    os.chdir(folder)
    good = True
    for language, text in blocks(page, words):
        before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        good &= run(language, text)
        for path in sorted(folder.iterdir()):
            if before.get(path) != path.stat().st_mtime_ns:
                shrink_picture(path) if path.suffix == ".png" else shrink_animation(path)
                print(f"-> {path.name}, {path.stat().st_size / 1000:.0f} kB")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
