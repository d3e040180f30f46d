"""llama.cpp as the other side of a comparison: fetched as source, built for this machine, run with its own tools.

The source is the copy inside the source package of llama-cpp-python on PyPI, so that pip is all it takes to get it.
"""

import os
import pathlib
import subprocess
import sys

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
TARGETS = ["llama-bench", "llama-batched-bench", "llama-quantize", "llama-server"]
# For this machine's own instruction set, as its users build it; no GPU, no network, no pages for a browser.
FLAGS = ["-DGGML_NATIVE=ON", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_TOOLS=ON", "-DLLAMA_BUILD_SERVER=ON",
         "-DLLAMA_BUILD_APP=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF", "-DLLAMA_OPENSSL=OFF"]


def cache_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return (pathlib.Path(cache) / "reprise" / "llama_cpp").resolve()


def declare_flags(parser):
    """What programs() reads from the options."""
    parser.add_argument("--llama-cpp-bin", default=os.environ.get("LLAMA_CPP_BIN"), type=pathlib.Path,
                        help="folder of a llama.cpp that is built already; default: fetch and build it")
    parser.add_argument("--pip", default=f"{sys.executable} -m pip", help="command that runs pip")
    parser.add_argument("--jobs", default=os.cpu_count(), type=int, help="parallel compilations of llama.cpp")


def programs(options):
    """The folder with llama.cpp's programs; made on the first call."""
    if options.llama_cpp_bin:
        return options.llama_cpp_bin
    return build(fetch(cache_folder(), options.pip.split()), cache_folder() / "build", options.jobs)


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


def build(source, build_folder, jobs):
    """The folder of the programs."""
    programs_folder = build_folder / "bin"
    if all((programs_folder / target).exists() for target in TARGETS):
        return programs_folder
    subprocess.run(["cmake", "-S", str(source), "-B", str(build_folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
                    *FLAGS], check=True)
    subprocess.run(["cmake", "--build", str(build_folder), "--parallel", str(jobs), "--target", *TARGETS],
                   check=True)
    return programs_folder


def quantize(programs_folder, source, target, kind):
    """A GGUF file with its matrices in `kind`, by llama.cpp's own rule; nothing is left of one that fails."""
    part = target.with_suffix(".part")
    done = subprocess.run([str(programs_folder / "llama-quantize"), "--allow-requantize", str(source), str(part), kind],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        part.unlink(missing_ok=True)
        raise SystemExit(f"llama-quantize cannot make {kind} of {source}:\n{done.stderr[-2000:]}")
    part.rename(target)
