// What slicing does to the time of a decoding step, on a Llama shape with random weights: time does not
// depend on their values. Steps of the dense model and of each sliced one alternate, so that all see the same
// state of the machine; a row sets the ratio of their times beside the ratio of the bytes that they read, its
// ceiling. Those are the weights, and the keys and values, which slicing leaves as they are.
//
//   bench_sliced [--shape 7b|1.3b|135m] [--sparsity 0.1,0.25,0.5] [--shortcuts q4_0|q8_0] [--threads N]
//                [--steps N] [--json]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/float_types.h"
#include "benches/bench_report.h"
#include "models/decoder.h"
#include "models/model_tensors.h"

namespace reprise {
namespace {

constexpr int kBlockSize = 16;
constexpr int kContext = 256;  // positions go up to here
constexpr int kFirstPosition = 128;

struct Options {
  std::string shape = "1.3b";
  std::string sparsities = "0.1,0.25,0.5";
  std::string shortcuts = "q4_0";
  int threads = 0;
  int steps = 200;
  bool json = false;
};

ModelConfig Shape(const std::string& name) {
  ModelConfig config;  // Llama-2-7B
  config.vocab_size = 32000;
  config.hidden_size = 4096;
  config.num_layers = 32;
  config.num_heads = config.num_kv_heads = 32;
  config.head_dim = config.rotary_dim = 128;
  config.intermediate_size = 11008;
  config.max_position = kContext;
  if (name == "1.3b") {
    config.hidden_size = 2048;
    config.num_layers = 24;
    config.num_heads = config.num_kv_heads = 16;
    config.intermediate_size = 5504;
  } else if (name == "135m") {
    config.vocab_size = 49152;
    config.hidden_size = 576;
    config.num_layers = 30;
    config.num_heads = 9;
    config.num_kv_heads = 3;
    config.head_dim = config.rotary_dim = 64;
    config.intermediate_size = 1536;
  }
  return config;
}

ModelConfig Sliced(ModelConfig config, double sparsity) {
  const int width = static_cast<int>((1.0 - sparsity) * config.hidden_size) / 32 * 32;
  config.norm_dim = config.hidden_size;
  config.widths.assign(static_cast<std::size_t>(config.num_layers), {width, width, width});
  config.widths.back().out = config.hidden_size;
  return config;
}

// Blocks of a small scale and arbitrary codes; zeros of a float type.
std::vector<std::byte> RandomBlocks(WeightType type, std::size_t bytes) {
  std::vector<std::byte> data(bytes);
  if (GetWeightTypeInfo(type).block_elements == 1) return data;
  const auto block = static_cast<std::size_t>(GetWeightTypeInfo(type).block_bytes);
  const std::uint16_t scale = FloatToFp16(0.01f);
  std::uint64_t state = 1;
  for (std::size_t i = 0; i < bytes; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    data[i] = static_cast<std::byte>(state >> 56);
  }
  for (std::size_t at = 0; at + block <= bytes; at += block) std::memcpy(data.data() + at, &scale, 2);
  return data;
}

// Every tensor of a configuration; those of one type share their bytes.
class RandomCheckpoint final : public Checkpoint {
 public:
  RandomCheckpoint(const ModelConfig& config, WeightType shortcuts) {
    for (const ModelTensor& tensor : ModelTensors(config)) {
      const bool shortcut =
          tensor.role == TensorRole::kAttentionShortcut || tensor.role == TensorRole::kMlpShortcut;
      TensorInfo info;
      info.name = TensorName(TensorNaming::kHuggingFace, tensor.role, tensor.layer);
      info.type = !tensor.is_matrix() ? WeightType::kF32 : shortcut ? shortcuts : WeightType::kQ4_0;
      info.shape = tensor.shape;
      info.bytes = *WeightBytes(info.type, info.elements());
      largest_[info.type] = std::max(largest_[info.type], info.bytes);
      tensors_.push_back(info);
    }
    for (const auto& [type, bytes] : largest_) data_[type] = RandomBlocks(type, bytes);
    for (TensorInfo& tensor : tensors_) {
      tensor.data = data_[tensor.type].data();
      by_name_[tensor.name] = &tensor;
    }
  }
  std::string_view format() const override { return "safetensors"; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  const TensorInfo* Find(std::string_view name) const override {
    const auto found = by_name_.find(name);
    return found != by_name_.end() ? found->second : nullptr;
  }
  std::string_view UnsupportedType(std::string_view) const override { return {}; }
  Result<std::vector<std::int64_t>> Integers(std::string_view name) const override {
    return NotFound(std::string(name));
  }
  void ReleasePages() const override {}

 private:
  std::map<WeightType, std::size_t> largest_;
  std::map<WeightType, std::vector<std::byte>> data_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, const TensorInfo*, std::less<>> by_name_;
};

[[noreturn]] void Fail(const Status& status) {
  std::fprintf(stderr, "bench_sliced: %s\n", status.message().c_str());
  std::exit(1);
}

// A decoder with one sequence and the times of its steps.
class Contender {
 public:
  Contender(const ModelConfig& config, WeightType shortcuts, Backend& backend) : backend_(backend) {
    const RandomCheckpoint checkpoint(config, shortcuts);
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
        "{\"bench\":\"sliced\",\"shape\":\"%s\",\"shortcuts\":\"%s\",\"sparsity\":%g,\"bytes_ratio\":%.4f,"
        "\"weights_ratio\":%.4f,\"speedup_best\":%.4f,\"speedup_quartile\":%.4f,\"speedup_median\":%.4f,"
        "\"dense_ms\":%.3f,%s}\n",
        options.shape.c_str(), options.shortcuts.c_str(), sparsity, ceiling, weights, best, lower, median,
        1e3 * dense.Quantile(0.5), bench::MachineJson().c_str());
    return;
  }
  std::printf(
      "%s %4.0f %%  bytes %.3fx (weights alone %.3fx)  time best %.3fx  quartile %.3fx  median %.3fx  share "
      "of the ceiling %.0f "
      "%% (quartile)  dense %.2f ms (%.1f GB/s)\n",
      options.shape.c_str(), 100 * sparsity, ceiling, weights, best, lower, median, 100 * lower / ceiling,
      1e3 * dense.Quantile(0.25), 1e-9 * static_cast<double>(dense.bytes_read()) / dense.Quantile(0.25));
}

void Run(const Options& options) {
  auto backend = MakeCpuBackend({options.threads, ""});
  if (!backend.ok()) Fail(backend.status());
  const ModelConfig config = Shape(options.shape);
  const WeightType shortcuts = options.shortcuts == "q8_0" ? WeightType::kQ8_0 : WeightType::kQ4_0;
  Contender dense(config, shortcuts, **backend);
  for (const char* next = options.sparsities.c_str(); *next != '\0';) {
    char* end = nullptr;
    const double sparsity = std::strtod(next, &end);
    if (end == next || sparsity <= 0 || sparsity >= 1) {
      Fail(InvalidArgument("--sparsity takes numbers between 0 and 1 with commas between them"));
    }
    next = *end == ',' ? end + 1 : end;
    Contender sliced(Sliced(config, sparsity), shortcuts, **backend);
    dense.ForgetSteps();
    for (int step = 0; step < options.steps; ++step) {
      const int position = kFirstPosition + step % (kContext - kFirstPosition);
      dense.Step(position);
      sliced.Step(position);
    }
    Print(options, sparsity, dense, sliced);
  }
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--json") {
      options.json = true;
      continue;
    }
    const char* value = i + 1 < argc ? argv[++i] : "";
    if (flag == "--shape" &&
        (!std::strcmp(value, "7b") || !std::strcmp(value, "1.3b") || !std::strcmp(value, "135m"))) {
      options.shape = value;
    } else if (flag == "--sparsity") {
      options.sparsities = value;
    } else if (flag == "--shortcuts" && (!std::strcmp(value, "q4_0") || !std::strcmp(value, "q8_0"))) {
      options.shortcuts = value;
    } else if (flag == "--threads" && std::atoi(value) > 0) {
      options.threads = std::atoi(value);
    } else if (flag == "--steps" && std::atoi(value) > 0) {
      options.steps = std::atoi(value);
    } else {
      std::fprintf(stderr,
                   "usage: bench_sliced [--shape 7b|1.3b|135m] [--sparsity LIST] [--shortcuts q4_0|q8_0] "
                   "[--threads N] [--steps N] [--json]\n");
      return 2;
    }
  }
  Run(options);
  return 0;
}

}  // namespace
}  // namespace reprise

int main(int argc, char** argv) {
  return reprise::Main(argc, argv);
}
