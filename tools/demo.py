#!/usr/bin/env python3
"""The daemon on the embedded model: one completion, one stream, one gRPC stream, and what the metrics say.

Usage: demo.py BUILD_DIRECTORY [serve flags]
"""

import pathlib
import re
import sys

from daemon import Daemon

PROMPT = ("Once upon a time, in a far country by the sea, there lived an old king who had three daughters, "
          "and the youngest of them was so fair that")
TOKENS = 48


def show(title, text, metrics):
    print(f"\n--- {title}\n{PROMPT}\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n--- {title}\n{PROMPT}{text}")
    print(f"    {metrics['tokens_per_second']:.0f} tokens/s, first token after "
          f"{metrics['time_to_first_token_ms']:.1f} ms", flush=True)


def completion(daemon):
    status, _, reply = daemon.post("/v1/completions", {"prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0})
    if status != 200:
        raise RuntimeError(f"/v1/completions: {status} {reply}")
    show("POST /v1/completions, greedy", reply["choices"][0]["text"], reply["metrics"])


def stream(daemon):
    body = {"prompt": PROMPT, "max_tokens": TOKENS, "temperature": 0.8, "seed": 7,
            "stream_options": {"include_usage": True}}
    chunks = list(daemon.stream("/v1/completions", body))
    text = "".join(choice["text"] for chunk in chunks for choice in chunk["choices"])
    show(f"POST /v1/completions, streamed in {len(chunks)} events, temperature 0.8, seed 7", text,
         chunks[-1]["metrics"])


def grpc_stream(daemon):
    import grpc
    from reprise.v1 import generation_pb2, generation_pb2_grpc

    options = generation_pb2.GenerationOptions(max_tokens=TOKENS, temperature=0.8, seed=8)
    with grpc.insecure_channel(daemon.grpc_address) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)
        chunks = list(stub.Generate(generation_pb2.GenerateRequest(prompt=PROMPT, options=options)))
    metrics = chunks[-1].metrics
    show(f"gRPC reprise.v1.Generation/Generate, {len(chunks)} messages, temperature 0.8, seed 8",
         "".join(chunk.text for chunk in chunks),
         {"tokens_per_second": metrics.tokens_per_second,
          "time_to_first_token_ms": metrics.time_to_first_token_ms})


def show_moved(before, after):
    print("\n--- GET /metrics: what moved (without histogram buckets, sums and process_*)")
    for sample, value in after.items():
        old = before.get(sample, 0.0)
        if value != old and not re.search(r"^process_|_(bucket|sum|seconds){", sample):
            print(f"{sample} {old:g} -> {value:g}")


def main():
    build = pathlib.Path(sys.argv[1])
    sys.path.insert(0, str(build / "python"))  # the stubs that the build makes of proto/
    with Daemon(build / "reprise", *sys.argv[2:]) as daemon:
        print(f"serving on http://{daemon.host}:{daemon.port} and grpc://{daemon.grpc_address}")
        before = daemon.metrics()
        completion(daemon)
        stream(daemon)
        grpc_stream(daemon)
        show_moved(before, daemon.metrics())
        code = daemon.stop()
    print(f"\nSIGTERM: the daemon drained and exited with {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
