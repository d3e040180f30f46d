"""What is compared, as a table: files, the work done on each, and how many times llama.cpp's speed is wanted."""

import dataclasses

from model_files import Given, RandomWeights, Requantised
from random_gguf import LLAMA_1B, QWEN2_HALF_B


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    title: str
    prompt: int
    generate: int = 0  # 0: the prompt is what is timed
    streams: int = 1


DECODE = Workload("decode", "decode, 1 stream, 128 tokens", 8, 128)
EIGHT = Workload("8 streams", "decode, 8 streams, prompts of 64, 64 tokens each", 64, 64, 8)
MANY = Workload("32 streams", "decode, 32 streams, prompts of 64, 64 tokens each", 64, 64, 32)
PREFILL = Workload("prefill", "prefill, one prompt of 512", 512)
CONTEXT_512 = Workload("context 512", "decode, 1 stream, 64 tokens after a prompt of 512", 512, 64)
CONTEXT_2048 = Workload("context 2048", "decode, 1 stream, 64 tokens after a prompt of 2,048", 2048, 64)
# Of models with many times the weights.
SHORT_DECODE = Workload("short decode", "decode, 1 stream, 32 tokens", 8, 32)
SHORT_EIGHT = Workload("short 8 streams", "decode, 8 streams, prompts of 16, 16 tokens each", 16, 16, 8)


@dataclasses.dataclass(frozen=True)
class Case:
    workload: Workload
    bar: float | None = None  # times llama.cpp's speed; None: published without one
    bandwidth_bar: float | None = None  # share of what reading the weights alone gets


@dataclasses.dataclass(frozen=True)
class Subject:
    name: str
    title: str
    file: Given | Requantised | RandomWeights
    cases: tuple[Case, ...]
    most_pairs: int = 100
    isa: str = ""          # our instruction set; empty: the best there is
    step_rows: bool = False  # also time steps of 1 to 8 rows
    step_bar: float | None = None  # T(m) over max(T(1), m times the time that a row takes in a large step)


def without_bars(*workloads):
    return tuple(map(Case, workloads))


SUBJECTS = (
    Subject("q4_0", "4 bits (Q4_0)", Requantised("Q4_0"),
            (Case(DECODE, 2.0, 0.75), Case(EIGHT, 4.0), Case(MANY, 3.5), Case(PREFILL, 2.5),
             *without_bars(CONTEXT_512, CONTEXT_2048)), step_rows=True, step_bar=1.25),
    Subject("q8_0", "8 bits (Q8_0)", Requantised("Q8_0"), (Case(DECODE, 1.5), Case(EIGHT, 3.0))),
    Subject("bf16", "bf16", Requantised("BF16"), (Case(DECODE, 1.5), Case(EIGHT, 3.0))),
    Subject("llama-1.1b", "Llama shape of 1.1 B, random weights (Q4_K_M)", RandomWeights(LLAMA_1B, "Q4_K_M"),
            (Case(SHORT_DECODE, 1.5), Case(SHORT_EIGHT, 3.0)), most_pairs=3),
    Subject("qwen2-0.5b", "Qwen2 shape of 0.5 B, random weights (Q4_0)", RandomWeights(QWEN2_HALF_B, "Q4_0"),
            without_bars(SHORT_DECODE, SHORT_EIGHT), most_pairs=3),
    Subject("given", "the file as given", Given(), without_bars(DECODE, EIGHT, PREFILL), most_pairs=3),
    Subject("avx2", "4 bits (Q4_0), our AVX2 kernels beside all that llama.cpp finds here", Requantised("Q4_0"),
            without_bars(DECODE, EIGHT, PREFILL), most_pairs=3, isa="avx2", step_rows=True),
)
