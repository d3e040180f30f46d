#!/usr/bin/env python3
"""Compiles the files named on the command line without running or writing anything."""

import ast
import pathlib
import sys

for name in sys.argv[1:]:
    try:
        ast.parse(pathlib.Path(name).read_bytes(), name)
    except SyntaxError as error:
        sys.exit(f"{name}:{error.lineno}: {error.msg}")
