#include "kernels/cpu/cpu_backend.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cpu/cpu_attention.h"
#include "kernels/cpu/cpu_isa.h"
#include "kernels/cpu/cpu_matmul.h"
#include "kernels/cpu/cpu_weight.h"
#include "kernels/cpu/kv_cache.h"
#include "kernels/cpu/workspace.h"
#include "kernels/host_memory.h"
#include "kernels/weight_sources.h"

namespace reprise {
namespace {

// Elements that are worth handing to another thread.
constexpr int kParallelElements = 4096;

// Tokens take long to rotate and store: their keys' lines come from memory.
constexpr int kRopePiecesPerThread = 2;

int GrainFor(int columns) {
  return std::max(1, kParallelElements / std::max(1, columns));
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(const KernelTable& kernels, int num_threads)
      : name_(std::string("cpu/") + kernels.name),
        kernels_(kernels),
        threads_(num_threads),
        matmul_(kernels, &threads_),
        attention_(kernels, &threads_) {}

  std::string_view name() const override { return name_; }
  int num_threads() const override { return threads_.num_threads(); }

  Result<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    return HostMemory::Allocate(bytes);
  }
  void Upload(void* destination, const void* host, std::size_t bytes) override {
    std::memcpy(destination, host, bytes);
  }
  void Download(void* host, const void* source, std::size_t bytes) override {
    std::memcpy(host, source, bytes);
  }
  void ParallelFor(int count, int grain, RangeFunction body) override {
    threads_.ParallelFor(count, grain, body);
  }
  Status Synchronize() override { return failure_; }
  PeakRates MeasurePeaks() override {
    return {MeasurePeak(kernels_.peak_integers), MeasurePeak(kernels_.peak_bf16),
            MeasurePeak(kernels_.peak_floats)};
  }

  Result<std::unique_ptr<Weight>> Pack(std::span<const WeightSource> sources) override {
    RETURN_IF_ERROR(CheckWeightSources(sources));
    return CpuWeight::Pack(sources, &arena_, &threads_);
  }

  void Embed(const BatchView& batch, const Weight& table, MatrixView out) override {
    const auto& weight = static_cast<const CpuWeight&>(table);
    threads_.ParallelFor(batch.num_tokens(), 1, [&](int begin, int end, int) {
      for (int t = begin; t < end; ++t) weight.DequantizeRow(batch.token_ids[t], out.row(t));
    });
  }

  void RmsNorm(ConstMatrixView x, const RmsNormSpec& spec, MatrixView out) override {
    threads_.ParallelFor(x.rows, GrainFor(x.columns), [&](int begin, int end, int) {
      for (int t = begin; t < end; ++t)
        kernels_.rms_norm({x.row(t), spec.weight, out.row(t), x.columns, spec.norm_dim, spec.epsilon});
    });
  }

  void LayerNorm(ConstMatrixView x, const LayerNormSpec& spec, MatrixView out) override {
    threads_.ParallelFor(x.rows, GrainFor(x.columns), [&](int begin, int end, int) {
      for (int t = begin; t < end; ++t)
        kernels_.layer_norm({x.row(t), spec.weight, spec.bias, out.row(t), x.columns, spec.epsilon});
    });
  }

  void AddRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    threads_.ParallelFor(static_cast<int>(rows.size()), GrainFor(x.columns), [&](int begin, int end, int) {
      for (int i = begin; i < end; ++i) kernels_.add_row(x.row(rows[i]), x.columns, out.row(i));
    });
  }

  void GatherRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    threads_.ParallelFor(static_cast<int>(rows.size()), GrainFor(x.columns), [&](int begin, int end, int) {
      for (int i = begin; i < end; ++i) std::copy_n(x.row(rows[i]), x.columns, out.row(i));
    });
  }

  void ScatterRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    threads_.ParallelFor(static_cast<int>(rows.size()), GrainFor(x.columns), [&](int begin, int end, int) {
      for (int i = begin; i < end; ++i) std::copy_n(x.row(i), x.columns, out.row(rows[i]));
    });
  }

  void MatMul(const MatMulArgs& args) override { Latch(matmul_.Run(args)); }

  void RopeAndStoreKv(const RopeAndStoreKvArgs& args) override {
    // A rotated key for each thread, whole cache lines apart.
    const int stride = (args.kv.geometry.head_dim + 15) / 16 * 16;
    Latch(keys_.Reserve(sizeof(float) * stride * threads_.num_threads()));
    if (!failure_.ok()) return;
    auto* keys = reinterpret_cast<float*>(keys_.data());
    const int grain = std::max(1, args.qkv.rows / (kRopePiecesPerThread * threads_.num_threads()));
    threads_.ParallelFor(args.qkv.rows, grain, [&](int begin, int end, int thread) {
      FetchSlot(args.kv, args.batch->slots[begin]);
      for (int t = begin; t < end; ++t) {
        if (t + 1 < end) FetchSlot(args.kv, args.batch->slots[t + 1]);
        RopeAndStoreToken(args, t, keys + stride * thread);
      }
    });
  }

  std::unique_ptr<AttentionPlan> NewAttentionPlan(const AttentionShape& shape) override {
    return std::make_unique<CpuAttentionPlan>(shape);
  }
  void PlanAttention(const BatchView& batch, const KvGeometry&, AttentionPlan* plan) override {
    Latch(static_cast<CpuAttentionPlan*>(plan)->Plan(batch, threads_.num_threads()));
  }
  void Attention(const AttentionArgs& args) override {
    if (failure_.ok()) Latch(attention_.Run(args));
  }

  void CopyKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) override {
    CopyCpuKvSlots(src, dst, kv);
  }
  void ReadKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                   std::vector<float>* values) override {
    ReadCpuKvSlots(slots, kv, keys, values);
  }

 private:
  // The first failure stays and shows in Synchronize: without its scratch memory a step's results are void.
  void Latch(Status status) {
    if (failure_.ok()) failure_ = std::move(status);
  }

  // The best of some short runs.
  double MeasurePeak(PeakLoop loop) {
    constexpr int kRuns = 8;
    constexpr int kRounds = 200'000;
    double best = 0;
    for (int run = 0; run < kRuns; ++run) {
      std::atomic<std::int64_t> operations{0};
      const auto start = std::chrono::steady_clock::now();
      threads_.ParallelFor(threads_.num_threads(), 1, [&](int begin, int end, int) {
        for (int i = begin; i < end; ++i) operations += loop(kRounds);
      });
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
      best = std::max(best, static_cast<double>(operations.load()) / seconds.count());
    }
    return best;
  }

  void RopeAndStoreToken(const RopeAndStoreKvArgs& args, int t, float* rotated_key) const {
    const KvGeometry& geometry = args.kv.geometry;
    const int dim = geometry.head_dim;
    RotateHead head;
    head.head_dim = dim;
    if (args.rope.cos != nullptr) {
      head.rotary_dim = args.rope.rotary_dim > 0 ? args.rope.rotary_dim : dim;
      const auto angle = static_cast<std::size_t>(args.batch->positions[t]) * (head.rotary_dim / 2);
      head.cos = args.rope.cos + angle;
      head.sin = args.rope.sin + angle;
    }
    head.epsilon = args.norm_epsilon;
    head.norm_weight = args.query_norm;
    float* row = args.qkv.row(t);
    for (int h = 0; h < args.num_heads; ++h, row += dim) {
      head.x = head.out = row;
      kernels_.rotate_head(head);
    }
    head.norm_weight = args.key_norm;
    head.out = rotated_key;
    const int slot = args.batch->slots[t];
    for (int h = 0; h < geometry.num_kv_heads; ++h, row += dim) {
      head.x = row;
      kernels_.rotate_head(head);
      StoreKey(args.kv, slot, h, rotated_key);
      StoreValue(args.kv, slot, h, row + geometry.num_kv_heads * dim);
    }
  }

  const std::string name_;
  const KernelTable& kernels_;
  ThreadPool threads_;
  WeightArena arena_;
  CpuMatMul matmul_;
  CpuAttention attention_;
  Workspace keys_;
  Status failure_;
};

// Cores this process may use.
int UsableCores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

}  // namespace

std::unique_ptr<Backend> MakeCpuBackendOn(const KernelTable& kernels, int num_threads) {
  return std::make_unique<CpuBackend>(kernels, num_threads > 0 ? num_threads : UsableCores());
}

Result<std::unique_ptr<Backend>> MakeCpuBackend(const CpuBackendOptions& options) {
  const char* environment = std::getenv("REPRISE_ISA");
  const std::string isa = options.isa.empty() && environment != nullptr ? environment : options.isa;
  ASSIGN_OR_RETURN(const KernelTable* kernels, SelectKernels(isa));
  return MakeCpuBackendOn(*kernels, options.num_threads);
}

}  // namespace reprise
