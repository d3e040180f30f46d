#include "kernels/profiling_backend.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace reprise {
namespace {

std::int64_t Bytes(ConstMatrixView x) {
  return std::int64_t{4} * x.rows * x.columns;
}
std::int64_t Bytes(const MatrixView& x) {
  return Bytes(ConstMatrixView(x));
}

std::int64_t ProductBytes(const MatMulArgs& args) {
  const std::int64_t out = Bytes(args.out) * (args.accumulate ? 2 : 1);
  const std::int64_t first = Bytes(args.x) + static_cast<std::int64_t>(args.weight->bytes());
  if (args.second.weight == nullptr) return first + out;
  return first + out + Bytes(args.second.x) + static_cast<std::int64_t>(args.second.weight->bytes());
}
std::int64_t ProductOperations(const MatMulArgs& args) {
  const std::int64_t columns =
      args.weight->columns() + (args.second.weight != nullptr ? args.second.weight->columns() : 0);
  return 2 * args.x.rows * columns * args.weight->rows();
}

// Positions that a step's tokens see: of each sequence once, and summed over its tokens.
struct Visible {
  std::int64_t positions = 0;
  std::int64_t pairs = 0;
};
Visible CountVisible(const BatchView& batch, int sliding_window) {
  Visible visible;
  for (int s = 0; s < batch.num_sequences(); ++s) {
    const int tokens = batch.query_start[s + 1] - batch.query_start[s];
    const int end = batch.context_len[s] + tokens;
    const int window = sliding_window > 0 ? sliding_window : end;
    visible.positions += std::min(end, window + tokens - 1);
    for (int position = batch.context_len[s]; position < end; ++position)
      visible.pairs += std::min(position + 1, window);
  }
  return visible;
}

}  // namespace

OpProfile& ProfilingBackend::ProfileOf(const Call& call) {
  const int rows = call.weight != nullptr ? call.weight->rows() : 0;
  const int columns = call.weight != nullptr ? call.weight->columns() : 0;
  const std::string_view form = call.weight != nullptr ? call.weight->form() : std::string_view();
  for (Entry& entry : entries_) {
    if (entry.op == call.op && entry.rows == rows && entry.columns == columns && entry.form == form)
      return entry.profile;
  }
  Entry entry{call.op, rows, columns, form, {}};
  entry.profile.op = call.op;
  if (call.weight != nullptr) {
    entry.profile.op += " " + std::to_string(rows) + "x" + std::to_string(columns) + " " + std::string(form);
    if (form == "bf16") entry.profile.peak = &PeakRates::bf16;
    if (form.find('q') != std::string_view::npos) entry.profile.peak = &PeakRates::integers;
  }
  return entries_.emplace_back(std::move(entry)).profile;
}

template <typename Function>
void ProfilingBackend::Timed(const Call& call, Function&& function) {
  OpProfile& profile = ProfileOf(call);
  const auto start = std::chrono::steady_clock::now();
  function();
  profile.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  profile.calls += 1;
  profile.bytes += call.bytes;
  profile.operations += call.operations;
}

std::vector<OpProfile> ProfilingBackend::Take() {
  std::vector<OpProfile> profiles;
  for (Entry& entry : entries_) profiles.push_back(std::move(entry.profile));
  entries_.clear();
  return profiles;
}

void ProfilingBackend::ParallelFor(int count, int grain, RangeFunction body) {
  Timed({"host loops (sampling)"}, [&] { inner_->ParallelFor(count, grain, body); });
}

void ProfilingBackend::Embed(const BatchView& batch, const Weight& table, MatrixView out) {
  const std::int64_t rows = static_cast<std::int64_t>(table.bytes()) / table.rows() * out.rows;
  Timed({"embed", nullptr, rows + Bytes(out)}, [&] { inner_->Embed(batch, table, out); });
}

void ProfilingBackend::RmsNorm(ConstMatrixView x, const RmsNormSpec& spec, MatrixView out) {
  Timed({"norm", nullptr, 2 * Bytes(x)}, [&] { inner_->RmsNorm(x, spec, out); });
}

void ProfilingBackend::LayerNorm(ConstMatrixView x, const LayerNormSpec& spec, MatrixView out) {
  Timed({"norm", nullptr, 2 * Bytes(x)}, [&] { inner_->LayerNorm(x, spec, out); });
}

void ProfilingBackend::GatherRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) {
  Timed({"gather rows", nullptr, 2 * Bytes(out)}, [&] { inner_->GatherRows(x, rows, out); });
}

void ProfilingBackend::ScatterRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) {
  Timed({"scatter rows", nullptr, 2 * Bytes(x)}, [&] { inner_->ScatterRows(x, rows, out); });
}

void ProfilingBackend::AddRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) {
  Timed({"add rows", nullptr, 3 * Bytes(out)}, [&] { inner_->AddRows(x, rows, out); });
}

void ProfilingBackend::MatMul(const MatMulArgs& args) {
  Timed({"matmul", args.weight, ProductBytes(args), ProductOperations(args)}, [&] { inner_->MatMul(args); });
}

void ProfilingBackend::RopeAndStoreKv(const RopeAndStoreKvArgs& args) {
  const KvGeometry& kv = args.kv.geometry;
  const std::int64_t stored = std::int64_t{2} * args.qkv.rows * kv.num_kv_heads * kv.head_bytes();
  const std::int64_t rotated = std::int64_t{4} * args.qkv.rows * args.num_heads * kv.head_dim;
  Timed({"rope, store keys and values", nullptr, Bytes(args.qkv) + rotated + stored},
        [&] { inner_->RopeAndStoreKv(args); });
}

void ProfilingBackend::PlanAttention(const BatchView& batch, const KvGeometry& geometry,
                                     AttentionPlan* plan) {
  Timed({"plan attention"}, [&] { inner_->PlanAttention(batch, geometry, plan); });
}

void ProfilingBackend::Attention(const AttentionArgs& args) {
  const KvGeometry& kv = args.kv.geometry;
  const Visible visible = CountVisible(*args.batch, args.sliding_window);
  const std::int64_t cache = 2 * visible.positions * kv.num_kv_heads * kv.head_bytes();
  // A multiply-add for each dimension of a score, and one of a weighted value.
  const std::int64_t operations = 4 * visible.pairs * args.queries.columns;
  Timed({"attention", nullptr, cache + Bytes(args.queries) + Bytes(args.out), operations},
        [&] { inner_->Attention(args); });
}

void ProfilingBackend::CopyKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) {
  const std::int64_t slot = std::int64_t{2} * kv.geometry.num_kv_heads * kv.geometry.head_bytes();
  Timed({"copy keys and values", nullptr, 2 * slot * static_cast<std::int64_t>(src.size())},
        [&] { inner_->CopyKvSlots(src, dst, kv); });
}

}  // namespace reprise
