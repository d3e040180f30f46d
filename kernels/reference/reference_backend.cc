// Scalar kernels in one fixed order (ascending index, every multiply-add fused): the oracle. A kernel here
// reads like the formula it stands for; nothing is blocked, vectorised or threaded.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/host_memory.h"
#include "kernels/reference/reference_attention.h"
#include "kernels/reference/reference_weight.h"
#include "kernels/weight_sources.h"

namespace reprise {
namespace {

class EmptyPlan final : public AttentionPlan {};

// sqrt(2 / pi) (x + 0.044715 x^3)
float GeluArgument(float x) {
  return 0.7978845608f * std::fma(0.044715f * x * x, x, x);
}

// input[t] = prologue(x[t]) for all rows, [T, K].
std::vector<float> ApplyPrologue(const MatMulArgs& args) {
  const int columns = args.weight->columns();
  std::vector<float> input(static_cast<std::size_t>(args.x.rows) * columns);
  for (int t = 0; t < args.x.rows; ++t) {
    const float* x = args.x.row(t);
    float* out = input.data() + static_cast<std::size_t>(t) * columns;
    switch (args.prologue) {
      case Prologue::kNone:
        std::copy_n(x, columns, out);
        break;
      case Prologue::kRmsNorm:
        ReferenceRmsNorm(x, columns, args.norm, out);
        break;
      case Prologue::kLayerNorm:
        ReferenceLayerNorm(x, columns, args.layer_norm, out);
        break;
      case Prologue::kSiluMul:
        for (int k = 0; k < columns; ++k) out[k] = x[k] / (1.0f + std::exp(-x[k])) * x[columns + k];
        break;
      case Prologue::kRelu:
        for (int k = 0; k < columns; ++k) out[k] = std::max(x[k], 0.0f);
        break;
      case Prologue::kGeluTanh:
        for (int k = 0; k < columns; ++k) out[k] = x[k] / (1.0f + std::exp(-2.0f * GeluArgument(x[k])));
        break;
    }
  }
  return input;
}

// sum + a . b
float Dot(const float* a, const float* b, int n, float sum = 0.0f) {
  for (int i = 0; i < n; ++i) sum = std::fma(a[i], b[i], sum);
  return sum;
}

class ReferenceBackend final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  int num_threads() const override { return 1; }

  Result<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    return HostMemory::Allocate(bytes);
  }
  void Upload(void* destination, const void* host, std::size_t bytes) override {
    std::memcpy(destination, host, bytes);
  }
  void Download(void* host, const void* source, std::size_t bytes) override {
    std::memcpy(host, source, bytes);
  }
  Status Synchronize() override { return OkStatus(); }

  Result<std::unique_ptr<Weight>> Pack(std::span<const WeightSource> sources) override {
    RETURN_IF_ERROR(CheckWeightSources(sources));
    return ReferenceWeight::Pack(sources);
  }

  void Embed(const BatchView& batch, const Weight& table, MatrixView out) override {
    for (int t = 0; t < batch.num_tokens(); ++t)
      static_cast<const ReferenceWeight&>(table).DequantizeRow(batch.token_ids[t], out.row(t));
  }

  void RmsNorm(ConstMatrixView x, const RmsNormSpec& spec, MatrixView out) override {
    for (int t = 0; t < x.rows; ++t) ReferenceRmsNorm(x.row(t), x.columns, spec, out.row(t));
  }

  void LayerNorm(ConstMatrixView x, const LayerNormSpec& spec, MatrixView out) override {
    for (int t = 0; t < x.rows; ++t) ReferenceLayerNorm(x.row(t), x.columns, spec, out.row(t));
  }

  void GatherRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    for (std::size_t i = 0; i < rows.size(); ++i)
      std::copy_n(x.row(rows[i]), x.columns, out.row(static_cast<int>(i)));
  }

  void ScatterRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    for (std::size_t i = 0; i < rows.size(); ++i)
      std::copy_n(x.row(static_cast<int>(i)), x.columns, out.row(rows[i]));
  }

  void AddRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (int k = 0; k < x.columns; ++k) out.row(static_cast<int>(i))[k] += x.row(rows[i])[k];
    }
  }

  void MatMul(const MatMulArgs& args) override {
    const auto& weight = static_cast<const ReferenceWeight&>(*args.weight);
    const int columns = weight.columns();
    const std::vector<float> input = ApplyPrologue(args);
    const auto* second = static_cast<const ReferenceWeight*>(args.second.weight);
    const int second_columns = second != nullptr ? second->columns() : 0;
    std::vector<float> weight_row(columns), second_row(second_columns);
    for (int n = 0; n < weight.rows(); ++n) {
      weight.DequantizeRow(n, weight_row.data());
      if (second != nullptr) second->DequantizeRow(n, second_row.data());
      for (int t = 0; t < args.x.rows; ++t) {
        float sum = Dot(input.data() + static_cast<std::size_t>(t) * columns, weight_row.data(), columns);
        if (second != nullptr) sum = Dot(args.second.x.row(t), second_row.data(), second_columns, sum);
        if (args.bias != nullptr) sum += args.bias[n];
        float& out = args.out.row(t)[n];
        out = args.accumulate ? out + sum : sum;
      }
    }
  }

  void RopeAndStoreKv(const RopeAndStoreKvArgs& args) override { ReferenceRopeAndStoreKv(args); }
  std::unique_ptr<AttentionPlan> NewAttentionPlan(const AttentionShape&) override {
    return std::make_unique<EmptyPlan>();
  }
  void PlanAttention(const BatchView&, const KvGeometry&, AttentionPlan*) override {}
  void Attention(const AttentionArgs& args) override { ReferenceAttention(args); }
  void CopyKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) override {
    ReferenceCopyKvSlots(src, dst, kv);
  }
  void ReadKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                   std::vector<float>* values) override {
    ReferenceReadKvSlots(slots, kv, keys, values);
  }
};

}  // namespace

std::unique_ptr<Backend> MakeReferenceBackend() {
  return std::make_unique<ReferenceBackend>();
}

}  // namespace reprise
