// Speed of attention over the paged cache on SmolLM2-135M's heads (9 over 3 of 64, 30 layers): decode of one
// and of several sequences at various contexts, and prefill, with keys and values in each type. A row tells
// the time of all layers, the rate at which keys and values were read, and the time as a multiple of a plain
// reader's over the same cache, interleaved: the cost of attention in units of reading the cache once.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "benches/bench_flags.h"
#include "benches/bench_report.h"
#include "kernels/backend.h"

namespace reprise {
namespace {

constexpr int kLayers = 30;
constexpr int kHeads = 9;
constexpr int kKvHeads = 3;
constexpr int kHeadDim = 64;
constexpr int kBlock = 16;

struct Case {
  int sequences;
  int context;  // already in the cache
  int tokens;   // of each sequence in this step
};
constexpr Case kCases[] = {{1, 128, 1},  {1, 512, 1}, {1, 2048, 1}, {1, 8000, 1},  {8, 256, 1},
                           {8, 2048, 1}, {8, 256, 5}, {1, 0, 512},  {1, 1536, 512}};

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// One step's arrays; sequence s owns blocks [s * blocks_each, (s + 1) * blocks_each).
struct StepArrays {
  explicit StepArrays(const Case& shape) : blocks_each((shape.context + shape.tokens - 1) / kBlock + 1) {
    query_start.push_back(0);
    block_start.push_back(0);
    for (int s = 0; s < shape.sequences; ++s) {
      for (int t = 0; t < shape.tokens; ++t) {
        const int position = shape.context + t;
        token_ids.push_back(0);
        positions.push_back(position);
        slots.push_back((s * blocks_each + position / kBlock) * kBlock + position % kBlock);
      }
      for (int b = 0; b < blocks_each; ++b) block_ids.push_back(s * blocks_each + b);
      query_start.push_back(static_cast<int>(token_ids.size()));
      block_start.push_back(static_cast<int>(block_ids.size()));
      context_len.push_back(shape.context);
    }
  }
  BatchView View() const {
    return {token_ids, positions, slots, query_start, context_len, block_start, block_ids, {}};
  }

  int blocks_each;
  std::vector<TokenId> token_ids;
  std::vector<int> positions, slots, query_start, context_len, block_start;
  std::vector<BlockId> block_ids;
};

struct Cache {
  Cache(Backend* backend, const KvGeometry& geometry)
      : layer_bytes(geometry.block_bytes() * geometry.num_blocks),
        memory(std::move(*backend->Allocate(2 * kLayers * layer_bytes))) {
    // Numbers of ordinary size in every type, the scales of int8 included: halves of a float are alike.
    auto* half = static_cast<std::uint16_t*>(memory->data());
    for (std::size_t i = 0; i < kLayers * layer_bytes; ++i)
      half[i] = static_cast<std::uint16_t>(0x3c00 + i / 2 * 7 % 512);
  }
  KvLayer Layer(const KvGeometry& geometry, int layer) const {
    auto* base = static_cast<std::byte*>(memory->data()) + 2 * layer_bytes * layer;
    return {geometry, base, base + layer_bytes};
  }

  std::size_t layer_bytes;  // of keys, and of values
  std::unique_ptr<DeviceMemory> memory;
};

double ReadAll(Backend* backend, const Cache& cache) {
  const int threads = backend->num_threads();
  const std::size_t lines = 2 * kLayers * cache.layer_bytes / 64;
  const double begin = Now();
  backend->ParallelFor(threads, 1, [&](int first, int last, int) {
    for (int t = first; t < last; ++t) {
      const auto* line = static_cast<const std::uint64_t*>(cache.memory->data()) + lines * t / threads * 8;
      const auto* end =
          static_cast<const std::uint64_t*>(cache.memory->data()) + lines * (t + 1) / threads * 8;
      std::uint64_t sum = 0;
      for (; line < end; line += 8) {
        __builtin_prefetch(line + 512);
        sum += line[0] + line[1] + line[2] + line[3] + line[4] + line[5] + line[6] + line[7];
      }
      volatile std::uint64_t keep = sum;
      static_cast<void>(keep);
    }
  });
  return 1e3 * (Now() - begin);
}

constexpr struct {
  KvType type;
  const char* name;
} kTypes[] = {{KvType::kBF16, "bf16"}, {KvType::kInt8, "int8"}, {KvType::kF32, "f32"}};

void Measure(Backend* backend, const Case& shape, KvType type, const char* type_name, bool json) {
  const StepArrays step(shape);
  const BatchView batch = step.View();
  const KvGeometry geometry{step.blocks_each * shape.sequences, kBlock, kKvHeads, kHeadDim, type};
  const Cache cache(backend, geometry);
  const int rows = batch.num_tokens();
  const int width = kHeads * kHeadDim;
  std::vector<float> queries(static_cast<std::size_t>(rows) * width, 0.1f), out(queries.size());
  const std::unique_ptr<AttentionPlan> plan = backend->NewAttentionPlan({kHeads, kKvHeads, kHeadDim});
  std::vector<double> times, reads;
  const double end = Now() + 0.5;
  while (times.size() < 5 || Now() < end) {
    const double begin = Now();
    backend->PlanAttention(batch, geometry, plan.get());
    for (int l = 0; l < kLayers; ++l) {
      AttentionArgs args;
      args.queries = {queries.data(), rows, width, width};
      args.out = {out.data(), rows, width, width};
      args.kv = cache.Layer(geometry, l);
      args.batch = &batch;
      args.plan = plan.get();
      args.scale = 0.125f;
      backend->Attention(args);
    }
    times.push_back(1e3 * (Now() - begin));
    reads.push_back(ReadAll(backend, cache));
  }
  const double best = *std::min_element(times.begin(), times.end());
  const double reader = *std::min_element(reads.begin(), reads.end());
  const double bytes = 2.0 * kLayers * cache.layer_bytes;
  // Two multiply-adds for each query head, visible position and dimension.
  const double seen = shape.sequences * (shape.tokens * (shape.context + (shape.tokens + 1) / 2.0));
  const double gflops = 4.0 * kLayers * width * seen / best / 1e6;
  if (json) {
    std::printf(
        "{\"bench\":\"attention\",\"kv\":\"%s\",\"sequences\":%d,\"context\":%d,\"tokens\":%d,"
        "\"backend\":\"%s\",\"threads\":%d,"
        "\"ms_best\":%.4f,\"reader_ms_best\":%.4f,\"gb_per_s\":%.2f,\"times_reading\":%.3f,"
        "\"gflop_per_s\":%.1f,%s}\n",
        type_name, shape.sequences, shape.context, shape.tokens, std::string(backend->name()).c_str(),
        backend->num_threads(), best, reader, bytes / best / 1e6, best / reader, gflops,
        bench::MachineJson().c_str());
  } else {
    std::printf(
        "%-4s sequences %d, context %4d, tokens %3d: %8.3f ms  %6.1f GB/s  %5.2f times reading  %5.0f "
        "GFLOP/s\n",
        type_name, shape.sequences, shape.context, shape.tokens, best, bytes / best / 1e6, best / reader,
        gflops);
  }
}

int Main(int argc, char** argv) {
  CpuBackendOptions options;
  bool json = false;
  std::string only = "all";
  Flags flags("bench_attention", "Time attention over the paged cache");
  flags.Text("isa", "NAME", "Kernels to use; empty takes the best that runs", &options.isa);
  flags.Integer("threads", "Compute threads; 0 takes one per core", &options.num_threads, 0, 1024);
  flags.Choice("kv-cache-dtype", "Element type of keys and values", &only, {"all", "bf16", "f32", "int8"});
  flags.Switch("json", "Print JSON rows", &json);
  return bench::RunBench(&flags, argc, argv, [&]() -> Status {
    ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeCpuBackend(options));
    for (const auto& [type, name] : kTypes) {
      if (only != "all" && only != name) continue;
      for (const Case& shape : kCases) Measure(backend.get(), shape, type, name, json);
    }
    return OkStatus();
  });
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  return reprise::Main(argc, argv);
}
