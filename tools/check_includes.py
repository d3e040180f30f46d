#!/usr/bin/env python3
"""Holds the include arrows of docs/architecture.md: who may include whom, and where a library may be named.

Prints one line per offence and exits 1 if there is any.
"""

import pathlib
import re
import sys

# A folder may include itself and these.
ARROWS = {
    "base": set(),
    "kernels": {"base"},
    "models": {"base", "kernels"},
    "scheduler": {"base"},
    "engine": {"base", "kernels", "models", "scheduler"},
    "proto": set(),
    "server": {"base", "engine", "models", "proto", "scheduler"},
    "compress": {"base", "kernels", "models"},
    "cli": {"base", "kernels", "models", "engine", "server", "compress"},
}

# Of these folders, only the named parts are open to the includer.
NARROW = {
    ("server", "models"): ("models/chat_template/", "models/config.h", "models/model.h", "models/tokenizer/"),
    ("server", "scheduler"): ("scheduler/request.h",),
}

# A third-party header, and the only places that may include it.
LIBRARIES = {
    r"nlohmann/": ("models/", "server/"),
    r"(grpc|grpcpp|google/protobuf)/": ("server/",),
    r"boost/": ("server/",),
    r"prometheus/": ("server/metrics/",),
    r"openssl/": ("server/",),
    r"oniguruma\.h": ("models/",),
    r"yaml-cpp/": ("cli/",),
    r"CLI/": ("cli/",),
    r"spdlog/": ("cli/", "server/"),
    r"(cblas|lapacke?)\.h": ("compress/",),
    r"cuda": ("kernels/cuda/",),
}

INCLUDE = re.compile(r'\s*#\s*include\s*(["<])([^">]+)[">]')
SUFFIXES = {".h", ".cc", ".inc", ".cu", ".cuh"}


def own_header_offence(path, target):
    folder = path.split("/")[0]
    target_folder = target.split("/")[0]
    if target_folder not in ARROWS or target_folder == folder:
        return None
    if target_folder not in ARROWS[folder]:
        allowed = ", ".join(sorted(ARROWS[folder])) or "nothing"
        return f"{folder}/ may include {allowed}, not {target_folder}/"
    narrow = NARROW.get((folder, target_folder))
    if narrow and not target.startswith(narrow):
        return f"of {target_folder}/, {folder}/ may include {', '.join(narrow)} only"
    return None


def library_offence(path, target):
    for pattern, places in LIBRARIES.items():
        if re.match(pattern, target) and not path.startswith(places):
            return f"<{target}> belongs to {', '.join(places)}"
    return None


def offences(root):
    for folder in ARROWS:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix not in SUFFIXES:
                continue
            path = file.relative_to(root).as_posix()
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                quote, target = match.groups()
                check = own_header_offence if quote == '"' else library_offence
                problem = check(path, target)
                if problem:
                    yield f'{path}:{number}: includes "{target}": {problem}'


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    problems = list(offences(root))
    print("\n".join(problems) if problems else "every include follows the arrows")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
