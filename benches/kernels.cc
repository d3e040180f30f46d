// Speed of a model's matmuls by weight type and number of rows, on the shape of SmolLM2-135M. Every forward
// pass alternates with a plain reader over the same packed weights, so that both see the same state of the
// machine; a row tells the share of the reader's speed that was reached.
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
#include "benches/random_weights.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_weight.h"

namespace reprise {
namespace {

using bench::RandomBlocks;

struct ModelShape {
  int layers = 30;
  int width = 576;
  int qkv = 960;
  int ffn = 1536;
  int vocabulary = 49152;
};

struct Options {
  std::vector<WeightType> types = {WeightType::kQ4_0, WeightType::kQ4_1, WeightType::kQ5_0,
                                   WeightType::kQ5_1, WeightType::kQ8_0, WeightType::kBF16};
  std::vector<int> rows = {1, 2, 4, 8, 16, 32, 128, 512};
  CpuBackendOptions cpu;
  double seconds = 1.0;  // per row
  bool json = false;
};

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class MatMulBench {
 public:
  MatMulBench(Backend* backend, WeightType type) : backend_(*backend) {
    const ModelShape shape;
    for (int l = 0; l < shape.layers; ++l) {
      Add(type, shape.qkv, shape.width, Prologue::kRmsNorm, false);
      Add(type, shape.width, shape.width, Prologue::kNone, true);
      Add(type, 2 * shape.ffn, shape.width, Prologue::kRmsNorm, false);
      Add(type, shape.width, shape.ffn, Prologue::kSiluMul, true);
    }
    Add(type, shape.vocabulary, shape.width, Prologue::kRmsNorm, false);
    norm_.assign(2 * shape.ffn, 1.0f);
  }

  // Milliseconds of one pass of `rows` rows; prefill (64 and more) wants logits for one.
  double Forward(int rows) {
    input_.resize(static_cast<std::size_t>(rows) * 2 * ModelShape().ffn, 0.5f);
    output_.resize(static_cast<std::size_t>(rows) * ModelShape().vocabulary);
    const double begin = Now();
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      const Op& op = ops_[i];
      const int m = i + 1 == ops_.size() && rows >= 64 ? 1 : rows;
      const int inputs = op.prologue == Prologue::kSiluMul ? 2 * op.weight->columns() : op.weight->columns();
      MatMulArgs args;
      args.x = {input_.data(), m, inputs, inputs};
      args.weight = op.weight.get();
      args.out = {output_.data(), m, op.weight->rows(), op.weight->rows()};
      args.prologue = op.prologue;
      args.norm = {norm_.data(), 1e-5f, op.weight->columns()};
      args.accumulate = op.accumulate;
      backend_.MatMul(args);
    }
    return 1e3 * (Now() - begin);
  }

  // Milliseconds to read the same bytes with the same threads.
  double Read() {
    const int threads = backend_.num_threads();
    const double begin = Now();
    backend_.ParallelFor(threads, 1, [&](int first, int last, int) {
      for (int t = first; t < last; ++t) {
        for (const Op& op : ops_) ReadShare(*op.weight, t, threads);
      }
    });
    return 1e3 * (Now() - begin);
  }

  std::size_t bytes() const { return bytes_; }
  double Operations(int rows) const {
    double operations = 0.0;
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      const int m = i + 1 == ops_.size() && rows >= 64 ? 1 : rows;
      operations += 2.0 * m * ops_[i].weight->rows() * ops_[i].weight->columns();
    }
    return operations;
  }

 private:
  struct Op {
    std::unique_ptr<Weight> weight;
    Prologue prologue;
    bool accumulate;
  };

  void Add(WeightType type, int rows, int columns, Prologue prologue, bool accumulate) {
    const std::vector<std::byte> blocks = RandomBlocks(type, std::int64_t{rows} * columns);
    const WeightSource source{type, blocks.data(), rows, columns, {}};
    Result<std::unique_ptr<Weight>> weight = backend_.Pack({&source, 1});
    if (!weight.ok()) {
      std::fprintf(stderr, "%s\n", weight.status().ToString().c_str());
      std::exit(1);
    }
    bytes_ += (*weight)->bytes();
    ops_.push_back({std::move(*weight), prologue, accumulate});
  }

  void ReadShare(const Weight& weight, int thread, int threads) const {
    const CpuWeight::Part& part = static_cast<const CpuWeight&>(weight).parts()[0];
    const std::size_t lines = part.group_bytes * part.groups / 64;
    const std::byte* line = part.data + lines * thread / threads * 64;
    const std::byte* end = part.data + lines * (thread + 1) / threads * 64;
    std::uint64_t sum[8] = {};
    for (; line < end; line += 64) {
      __builtin_prefetch(line + 4096);
      for (int i = 0; i < 8; ++i) sum[i] += reinterpret_cast<const std::uint64_t*>(line)[i];
    }
    volatile std::uint64_t keep = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
    static_cast<void>(keep);
  }

  Backend& backend_;
  std::vector<Op> ops_;
  std::vector<float> norm_, input_, output_;
  std::size_t bytes_ = 0;
};

struct Timing {
  double best;
  double median;
};
Timing Summarise(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

void MeasureRows(MatMulBench* bench, const Backend& backend, const std::string& type, int rows,
                 const Options& options) {
  std::vector<double> forward, reader;
  bench->Forward(rows);
  const double end = Now() + options.seconds;
  while (forward.size() < 5 || Now() < end) {
    forward.push_back(bench->Forward(rows));
    reader.push_back(bench->Read());
  }
  const Timing pass = Summarise(forward);
  const Timing read = Summarise(reader);
  const double bandwidth = static_cast<double>(bench->bytes()) / pass.best / 1e6;
  const double gops = bench->Operations(rows) / pass.best / 1e6;
  if (options.json) {
    std::printf(
        "{\"bench\":\"matmul\",\"model\":\"135M\",\"type\":\"%s\",\"rows\":%d,\"backend\":\"%s\",\"threads\":"
        "%d,"
        "\"ms_best\":%.4f,\"ms_median\":%.4f,\"reader_ms_best\":%.4f,\"reader_ms_median\":%.4f,"
        "\"bytes\":%zu,\"gb_per_s\":%.2f,\"reader_share_best\":%.3f,\"reader_share_median\":%.3f,"
        "\"gop_per_s\":%.1f,%s}\n",
        type.c_str(), rows, std::string(backend.name()).c_str(), backend.num_threads(), pass.best,
        pass.median, read.best, read.median, bench->bytes(), bandwidth, read.best / pass.best,
        read.median / pass.median, gops, bench::MachineJson().c_str());
  } else {
    std::printf(
        "%-5s m=%3d  best %8.3f median %8.3f ms  %6.1f GB/s  reader %6.3f/%6.3f ms  share %3.0f/%3.0f %%  "
        "%6.0f "
        "GOP/s\n",
        type.c_str(), rows, pass.best, pass.median, bandwidth, read.best, read.median,
        100 * read.best / pass.best, 100 * read.median / pass.median, gops);
  }
  std::fflush(stdout);
}

Status Run(const Options& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend, MakeCpuBackend(options.cpu));
  for (const WeightType type : options.types) {
    MatMulBench bench(backend.get(), type);
    const std::string name(GetWeightTypeInfo(type).name);
    for (const int rows : options.rows) MeasureRows(&bench, *backend, name, rows, options);
  }
  return OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  Flags flags("bench_kernels", "Time a model's products by weight type and number of rows");
  bench::TypeList(&flags, "types", "Weight types", &options.types);
  bench::IntegerList(&flags, "rows", "Rows multiplied together", &options.rows, 1, 1 << 16);
  flags.Text("isa", "NAME", "Kernels to use; empty takes the best that runs", &options.cpu.isa);
  flags.Integer("threads", "Compute threads; 0 takes one per core", &options.cpu.num_threads, 0, 1024);
  flags.Real("seconds", "Of each row", &options.seconds, 0, 3600);
  flags.Switch("json", "Print JSON rows", &options.json);
  return bench::RunBench(&flags, argc, argv, [&options] { return Run(options); });
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  return reprise::Main(argc, argv);
}
