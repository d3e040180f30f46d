"""What a run says about itself: a JSONL log, a progress line, a plot of the loss."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from reprise_train.errors import TrainError
from reprise_train.files import write_atomically

LOG_NAME = "log.jsonl"
PLOT_NAME = "loss.svg"


class Log:
    """A JSONL file, one object an event; `base.py` lists the kinds and their fields."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME

    def add(self, kind: str, **fields: object) -> None:
        """Raises TrainError when it cannot be written."""
        record = {"kind": kind, "time": round(time.time(), 1), **fields}
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise TrainError(f"cannot write {self.path}: {error.strerror}") from None

    def read(self) -> list[dict]:
        """All whole records; a last line cut short by a kill is left out."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def rewind(self, step: int) -> None:
        """Drops what was logged after `step`: the resumed run will do those steps again."""
        kept = [record for record in self.read() if record.get("step", 0) <= step]
        write_atomically(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())


def duration(seconds: float) -> str:
    """1 h 05 min, 4 min 10 s or 7 s."""
    seconds = max(0, round(seconds))
    if seconds >= 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 60} min {seconds % 60:02d} s" if seconds >= 60 else f"{seconds} s"


def show_progress(line: str) -> None:
    """One line on standard error, rewritten in place on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


def write_plot(path: Path, records: list[dict], quantity: str = "Cross-entropy") -> None:
    """An SVG of training loss (smoothed) and held-out loss (dots) over tokens; no file when there is none."""
    train = _smooth([(r["tokens"], r["loss"]) for r in records if r["kind"] == "step"], 0.9)
    held_out = [(r["tokens"], r["loss"]) for r in records if r["kind"] == "eval"]
    points = train + held_out
    if len(points) < 2:
        return
    width, height, left, top, right, bottom = 720, 400, 60, 30, 20, 45
    max_tokens = max(x for x, _ in points) or 1
    low = min(y for _, y in points)
    high = max(
        low + 0.1, sorted(y for _, y in points)[int(0.98 * (len(points) - 1))]
    )  # the first steps may leave the frame

    def at(x: float, y: float) -> tuple[float, float]:
        y = min(y, high)
        return left + x / max_tokens * (width - left - right), top + (high - y) / (high - low) * (
            height - top - bottom
        )

    def path_of(series: list[tuple[float, float]]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in series))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="12" fill="#333">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{left}" y="18">{quantity}, nats a token: <tspan fill="#7a9cc6">training</tspan>,'
        ' <tspan fill="#b5432a">held out</tspan></text>',
    ]
    for tick in range(6):
        value, tokens = low + (high - low) * tick / 5, max_tokens * tick / 5
        x, y = at(tokens, value)
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.2f}</text>')
        parts.append(
            f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{tokens / 1e6:.1f} M</text>'
        )
    parts.append(
        f'<text x="{(left + width - right) / 2}" y="{height - 8}" text-anchor="middle">tokens</text>'
    )
    parts.append(f'<polyline points="{path_of(train)}" fill="none" stroke="#7a9cc6" stroke-width="1.2"/>')
    parts.append(f'<polyline points="{path_of(held_out)}" fill="none" stroke="#b5432a" stroke-width="1.5"/>')
    parts.extend(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="#b5432a"/>'
        for x, y in (at(*point) for point in held_out)
    )
    parts.append("</svg>")
    write_atomically(path, "\n".join(parts).encode())


def _smooth(series: list[tuple[float, float]], keep: float) -> list[tuple[float, float]]:
    smoothed, mean = [], None
    for x, y in series:
        mean = y if mean is None else keep * mean + (1 - keep) * y
        smoothed.append((x, mean))
    return smoothed
