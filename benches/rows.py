"""Measured rows that outlive a run, and the flags of scripts that add to them. Standard library only."""

import json
import pathlib

import machine

MACHINE = ("cpu", "cores", "threads")  # fields that tell machines apart


def declare_flags(parser):
    parser.add_argument("--minutes", default=1e9, type=float, help="start nothing after this time")
    parser.add_argument("--results", default=machine.ROOT / "docs/results", type=pathlib.Path,
                        help="folder of the rows and the page (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="forget this machine's rows first")
    parser.add_argument("--page-only", action="store_true", help="measure nothing")


def machine_key(threads):
    """The fields that this machine's rows have in common."""
    fields = {**machine.description(), "threads": threads}
    return {name: fields[name] for name in MACHINE}


class Rows:
    """What a file of JSON lines holds, and what is added to it."""

    def __init__(self, path):
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text().splitlines() if path.exists() else []
        self._rows = [json.loads(line) for line in lines]

    def add(self, row):
        self._rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def select(self, **fields):
        """Those that have all these values, in the order they were added."""
        return [row for row in self._rows if fields.items() <= row.items()]

    def machines(self):
        """The machine_key of each machine that has rows."""
        keys = dict.fromkeys(tuple(row[name] for name in MACHINE) for row in self._rows)
        return [dict(zip(MACHINE, key)) for key in keys]

    def drop(self, **fields):
        """Forgets the rows that select() gives."""
        dropped = self.select(**fields)
        self._rows = [row for row in self._rows if row not in dropped]
        if dropped:
            self._path.write_text("".join(json.dumps(row) + "\n" for row in self._rows))
