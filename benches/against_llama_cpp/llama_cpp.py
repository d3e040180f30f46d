"""llama.cpp as the other side of a comparison: fetched as source, built for this machine, run with its own tools.

The source is the copy inside the source package of llama-cpp-python on PyPI, so that pip is all it takes to get it.
"""

import os
import pathlib
import subprocess

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
TARGETS = ["llama-bench", "llama-batched-bench"]


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "reprise" / "llama_cpp"


def fetch(folder, pip):
    """Downloads and unpacks the source package, once; the folder of llama.cpp in it."""
    source = folder / f"llama_cpp_python-{VERSION}" / "vendor" / "llama.cpp"
    if source.is_dir():
        return source
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([*pip, "download", "--no-deps", "--no-binary", PACKAGE, "--dest", str(folder),
                    f"{PACKAGE}=={VERSION}"], check=True)
    subprocess.run(["tar", "-xf", str(folder / f"llama_cpp_python-{VERSION}.tar.gz"), "-C", str(folder)], check=True)
    return source


def configure(source, build):
    """For this machine's own instruction set, as its users build it; no GPU, no network."""
    subprocess.run(["cmake", "-S", str(source), "-B", str(build), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                    "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_TOOLS=ON",
                    "-DLLAMA_BUILD_SERVER=OFF"], check=True)


def build(source, build_folder, jobs):
    """The folder of the programs."""
    if not (build_folder / "build.ninja").exists():
        configure(source, build_folder)
    subprocess.run(["cmake", "--build", str(build_folder), "--parallel", str(jobs), "--target", *TARGETS],
                   check=True)
    return build_folder / "bin"
