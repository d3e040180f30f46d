// A backend that does what another does and keeps account of it: `reprise bench --profile`. Who does not ask
// for it runs on the other backend alone and pays nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace reprise {

// All calls of one operation on operands of one shape.
struct OpProfile {
  std::string op;  // "matmul 960x576 q4_1": of weights [960, 576]
  std::int64_t calls = 0;
  double seconds = 0;
  // What it has to read and write, each byte once: weights, keys and values that are visible, activations.
  std::int64_t bytes = 0;
  std::int64_t operations = 0;  // of products and attention, a multiply-add being two; 0 for the rest
  double PeakRates::*peak = &PeakRates::floats;  // what bounds them
};

// For backends whose operations are over when they return, which those on the host are.
class ProfilingBackend final : public Backend {
 public:
  explicit ProfilingBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  // What was done since the last call of Take, in the order of first use. Only while nothing runs.
  std::vector<OpProfile> Take();

  std::string_view name() const override { return inner_->name(); }
  int num_threads() const override { return inner_->num_threads(); }
  Result<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override {
    return inner_->Allocate(bytes);
  }
  void Upload(void* destination, const void* host, std::size_t bytes) override {
    inner_->Upload(destination, host, bytes);
  }
  void Download(void* host, const void* source, std::size_t bytes) override {
    inner_->Download(host, source, bytes);
  }
  ConstMatrixView ToHost(ConstMatrixView x) override { return inner_->ToHost(x); }
  void ParallelFor(int count, int grain, RangeFunction body) override;
  Status Synchronize() override { return inner_->Synchronize(); }
  MemoryUse memory() const override { return inner_->memory(); }
  Result<std::size_t> Reserve(const StepLimits& limits) override { return inner_->Reserve(limits); }
  Status CheckKvType(KvType type) const override { return inner_->CheckKvType(type); }
  PeakRates MeasurePeaks() override { return inner_->MeasurePeaks(); }
  Result<std::unique_ptr<Weight>> Pack(std::span<const WeightSource> sources) override {
    return inner_->Pack(sources);
  }
  void Embed(const BatchView& batch, const Weight& table, MatrixView out) override;
  void RmsNorm(ConstMatrixView x, const RmsNormSpec& spec, MatrixView out) override;
  void LayerNorm(ConstMatrixView x, const LayerNormSpec& spec, MatrixView out) override;
  void GatherRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override;
  void ScatterRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override;
  void AddRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override;
  void MatMul(const MatMulArgs& args) override;
  bool draws_tokens() const override { return inner_->draws_tokens(); }
  void DrawRows(const DrawArgs& args) override { inner_->DrawRows(args); }
  Result<std::unique_ptr<Readback>> NewReadback(std::size_t bytes) override {
    return inner_->NewReadback(bytes);
  }
  void RopeAndStoreKv(const RopeAndStoreKvArgs& args) override;
  std::unique_ptr<AttentionPlan> NewAttentionPlan(const AttentionShape& shape) override {
    return inner_->NewAttentionPlan(shape);
  }
  void PlanAttention(const BatchView& batch, const KvGeometry& geometry, AttentionPlan* plan) override;
  void Attention(const AttentionArgs& args) override;
  void CopyKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) override;
  void ReadKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                   std::vector<float>* values) override {
    inner_->ReadKvSlots(slots, kv, keys, values);
  }

 private:
  // What one call is, apart from its time.
  struct Call {
    const char* op;
    const Weight* weight = nullptr;  // products: distinguished by its shape and form
    std::int64_t bytes = 0;
    std::int64_t operations = 0;
  };
  struct Entry {
    const char* op;
    int rows;
    int columns;
    std::string_view form;  // of the weights, which outlive the entry
    OpProfile profile;
  };

  template <typename Function>
  void Timed(const Call& call, Function&& function);
  OpProfile& ProfileOf(const Call& call);

  std::unique_ptr<Backend> inner_;
  std::vector<Entry> entries_;
};

}  // namespace reprise
