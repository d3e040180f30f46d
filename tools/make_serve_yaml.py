#!/usr/bin/env python3
"""Prints configs/serve.yaml: every setting of `reprise serve` with its default, from what --help says.

Usage: make_serve_yaml.py build/release/reprise > configs/serve.yaml
"""

import re
import subprocess
import sys
import textwrap

HEADER = """\
# Every setting of `reprise serve`, with its default: serving with this file is serving without one.
#
#   reprise serve --config serve.yaml
#
# A flag (--port 80) or an environment variable (REPRISE_PORT=80) beats the file.
# Made by tools/make_serve_yaml.py from `reprise serve --help`; a test holds the two equal.
"""
FLAG = re.compile(r"  --(?P<name>[a-z0-9-]+)(?: (?P<value>.+))?\n {8}(?P<help>.+)\n")
DEFAULT = re.compile(r" \(default: (?P<text>[^()]*)\)$")
NOT_SETTINGS = {"help", "config"}


def entry(flag):
    default = DEFAULT.search(flag["help"])
    description = DEFAULT.sub("", flag["help"])
    if flag["value"] is None:
        value = "false"
    else:
        value = default["text"] if default else '""'
        description += f" [{flag['value']}]"
    comment = textwrap.fill(description, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    return f"\n{comment}\n{flag['name']}: {value}\n"


def main():
    text = subprocess.run([sys.argv[1], "serve", "--help"], check=True, capture_output=True, text=True).stdout
    flags = [flag for flag in FLAG.finditer(text) if flag["name"] not in NOT_SETTINGS]
    sys.stdout.write(HEADER + "".join(map(entry, flags)))


if __name__ == "__main__":
    main()
