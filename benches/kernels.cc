// Speed of a model's matmuls by weight type and number of rows, on the shape of SmolLM2-135M. Every forward
// pass alternates with a plain reader over the same packed weights, so that both see the same state of the
// machine; a row tells the share of the reader's speed that was reached.
//
//   bench_kernels [--types q4_1,q8_0] [--rows 1,8,512] [--isa avx2] [--threads N] [--seconds S] [--json]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "benches/bench_report.h"
#include "benches/random_weights.h"
#include "kernels/backend.h"
#include "kernels/cpu/cpu_weight.h"

namespace reprise {
namespace {

using bench::RandomBlocks;
using bench::SplitCommas;
using bench::TypeByName;

struct ModelShape {
  int layers = 30;
  int width = 576;
  int qkv = 960;
  int ffn = 1536;
  int vocabulary = 49152;
};

struct Options {
  std::vector<std::string> types = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "BF16"};
  std::vector<std::string> rows = {"1", "2", "4", "8", "16", "32", "128", "512"};
  std::string isa;
  int threads = 0;
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

bool ParseOptions(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--json") {
      options->json = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const std::string value = argv[++i];
    if (flag == "--types") {
      options->types = SplitCommas(value);
    } else if (flag == "--rows") {
      options->rows = SplitCommas(value);
    } else if (flag == "--isa") {
      options->isa = value;
    } else if (flag == "--threads") {
      options->threads = std::atoi(value.c_str());
    } else if (flag == "--seconds") {
      options->seconds = std::atof(value.c_str());
    } else {
      return false;
    }
  }
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  if (!ParseOptions(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: bench_kernels [--types LIST] [--rows LIST] [--isa NAME] [--threads N] [--seconds S] "
                 "[--json]\n");
    return 2;
  }
  CpuBackendOptions cpu;
  cpu.isa = options.isa;
  cpu.num_threads = options.threads;
  Result<std::unique_ptr<Backend>> backend = MakeCpuBackend(cpu);
  if (!backend.ok()) {
    std::fprintf(stderr, "%s\n", backend.status().ToString().c_str());
    return 1;
  }
  for (const std::string& name : options.types) {
    WeightType type;
    if (!TypeByName(name, &type)) {
      std::fprintf(stderr, "unknown weight type %s\n", name.c_str());
      return 2;
    }
    MatMulBench bench(backend->get(), type);
    for (const std::string& rows : options.rows)
      MeasureRows(&bench, **backend, name, std::max(1, std::atoi(rows.c_str())), options);
  }
  return 0;
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  return reprise::Main(argc, argv);
}
