// What slicing does to the time of a decoding step, on a Llama shape with random weights: time does not
// depend on their values. Steps of the dense model and of each sliced one alternate, so that all see the same
// state of the machine; a row sets the ratio of their times beside the ratio of the bytes that they read, its
// ceiling. Those are the weights, and the keys and values, which slicing leaves as they are.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "benches/bench_flags.h"
#include "benches/bench_report.h"
#include "benches/device.h"
#include "benches/random_checkpoint.h"
#include "models/decoder.h"

namespace reprise {
namespace {

constexpr int kBlockSize = 16;
constexpr int kContext = 256;  // positions go up to here
constexpr int kFirstPosition = 128;

struct Options {
  std::string device = "cpu";
  std::string shape = "1.3b";
  WeightType matrices = WeightType::kQ4_0;
  WeightType shortcuts = WeightType::kQ4_0;
  std::vector<double> sparsities = {0.1, 0.25, 0.5};
  int threads = 0;
  int steps = 200;
  bool json = false;
};

ModelConfig Sliced(ModelConfig config, double sparsity) {
  const int width = static_cast<int>((1.0 - sparsity) * config.hidden_size) / 32 * 32;
  config.norm_dim = config.hidden_size;
  config.widths.assign(static_cast<std::size_t>(config.num_layers), {width, width, width});
  config.widths.back().out = config.hidden_size;
  return config;
}

[[noreturn]] void Fail(const Status& status) {
  std::fprintf(stderr, "bench_sliced: %s\n", status.message().c_str());
  std::exit(1);
}

// A decoder with one sequence and the times of its steps.
class Contender {
 public:
  Contender(const ModelConfig& config, WeightType matrices, WeightType shortcuts, Backend& backend)
      : backend_(backend) {
    const bench::RandomCheckpoint checkpoint(config, matrices, shortcuts);
    auto decoder = Decoder::Load(checkpoint, config, backend, kContext);
    if (!decoder.ok()) Fail(decoder.status());
    decoder_ = std::move(decoder).value();
    if (const Status status = decoder_->Reserve(1, 1); !status.ok()) Fail(status);
    KvGeometry geometry = decoder_->kv_geometry();
    geometry.num_blocks = kContext / kBlockSize;
    for (int layer = 0; layer < config.num_layers; ++layer) {
      KvLayer kv{geometry, nullptr, nullptr};
      for (std::byte** pointer : {&kv.keys, &kv.values}) {
        auto memory =
            backend.Allocate(geometry.block_bytes() * static_cast<std::size_t>(geometry.num_blocks));
        if (!memory.ok()) Fail(memory.status());
        *pointer = static_cast<std::byte*>((*memory)->data());
        memory_.push_back(std::move(memory).value());
      }
      kv_.push_back(kv);
    }
    for (int b = 0; b < geometry.num_blocks; ++b) blocks_.push_back(b);
  }

  std::string_view backend_name() const { return backend_.name(); }
  void ForgetSteps() { seconds_.clear(); }

  void Step(int position) {
    const TokenId token = position % 97;
    const int query_start[] = {0, 1};
    const int block_start[] = {0, static_cast<int>(blocks_.size())};
    const int row = 0;
    const BatchView batch{{&token, 1},    {&position, 1}, {&position, 1}, query_start,
                          {&position, 1}, block_start,    blocks_,        {&row, 1}};
    const auto start = std::chrono::steady_clock::now();
    decoder_->Forward(batch, kv_);
    if (const Status status = backend_.Synchronize(); !status.ok()) Fail(status);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    seconds_.push_back(elapsed.count());
  }

  // The embedding is not read: one row of it is.
  std::size_t weight_bytes() const {
    return decoder_->weight_bytes() - decoder_->vocabulary().embedding->bytes();
  }
  // Of a step in the middle of those that are timed.
  std::size_t bytes_read() const {
    const KvGeometry geometry = decoder_->kv_geometry();
    const std::size_t token_bytes =
        2 * geometry.block_bytes() / static_cast<std::size_t>(geometry.block_size);
    return weight_bytes() + kv_.size() * token_bytes * (kFirstPosition + kContext) / 2;
  }
  double Quantile(double share) const {
    std::vector<double> sorted = seconds_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
  }

 private:
  Backend& backend_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
  std::vector<KvLayer> kv_;
  std::vector<BlockId> blocks_;
  std::vector<double> seconds_;
};

void Print(const Options& options, double sparsity, const Contender& dense, const Contender& sliced) {
  const double ceiling = static_cast<double>(dense.bytes_read()) / static_cast<double>(sliced.bytes_read());
  const double weights =
      static_cast<double>(dense.weight_bytes()) / static_cast<double>(sliced.weight_bytes());
  const double best = dense.Quantile(0.0) / sliced.Quantile(0.0);
  const double lower = dense.Quantile(0.25) / sliced.Quantile(0.25);
  const double median = dense.Quantile(0.5) / sliced.Quantile(0.5);
  if (options.json) {
    std::printf(
        "{\"bench\":\"sliced\",\"backend\":\"%s\",\"shape\":\"%s\",\"type\":\"%s\",\"shortcuts\":\"%s\","
        "\"sparsity\":%g,\"bytes_ratio\":%.4f,\"share_of_ceiling\":%.4f,\"weights_ratio\":%.4f,\"speedup_"
        "best\":%.4f,\"speedup_quartile\":%.4f,\"speedup_median\":%.4f,"
        "\"dense_ms\":%.3f,%s}\n",
        std::string(dense.backend_name()).c_str(), options.shape.c_str(),
        GetWeightTypeInfo(options.matrices).name.data(), GetWeightTypeInfo(options.shortcuts).name.data(),
        sparsity, ceiling, median / ceiling, weights, best, lower, median, 1e3 * dense.Quantile(0.5),
        bench::MachineJson().c_str());
    return;
  }
  std::printf(
      "%s %4.0f %%  bytes %.3fx (weights alone %.3fx)  time best %.3fx  quartile %.3fx  median %.3fx  share "
      "of the ceiling %.0f "
      "%% (quartile)  dense %.2f ms (%.1f GB/s)\n",
      options.shape.c_str(), 100 * sparsity, ceiling, weights, best, lower, median, 100 * lower / ceiling,
      1e3 * dense.Quantile(0.25), 1e-9 * static_cast<double>(dense.bytes_read()) / dense.Quantile(0.25));
}

Status Run(const Options& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                   bench::MakeDevice(options.device, options.threads));
  const std::optional<ModelConfig> shape = bench::LlamaShape(options.shape, kContext);
  if (!shape) return InvalidArgument("--shape: there is no shape '" + options.shape + "'");
  Contender dense(*shape, options.matrices, options.shortcuts, *backend);
  for (const double sparsity : options.sparsities) {
    Contender sliced(Sliced(*shape, sparsity), options.matrices, options.shortcuts, *backend);
    dense.ForgetSteps();
    for (int step = 0; step < options.steps; ++step) {
      const int position = kFirstPosition + step % (kContext - kFirstPosition);
      dense.Step(position);
      sliced.Step(position);
    }
    Print(options, sparsity, dense, sliced);
  }
  return OkStatus();
}

int Main(int argc, char** argv) {
  Options options;
  Flags flags("bench_sliced", "Time steps of a dense Llama shape and of sliced ones in turns");
  flags.Text("device", bench::kDevices, "What computes", &options.device);
  flags.Text("shape", "135m|1.3b|7b|13b", "Of the Llama family", &options.shape);
  bench::TypeFlag(&flags, "type", "Of the weight matrices", &options.matrices);
  bench::TypeFlag(&flags, "shortcuts", "Of the matrices between two widths", &options.shortcuts);
  bench::RealList(&flags, "sparsity", "Shares of the width to delete", &options.sparsities, 0.01, 0.9);
  flags.Integer("threads", "Compute threads; 0 takes one per core", &options.threads, 0, 1024);
  flags.Integer("steps", "Of each model", &options.steps, 1, 1 << 20);
  flags.Switch("json", "Print JSON rows", &options.json);
  return bench::RunBench(&flags, argc, argv, [&options] { return Run(options); });
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  return reprise::Main(argc, argv);
}
