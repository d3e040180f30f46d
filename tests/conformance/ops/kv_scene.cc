#include "tests/conformance/ops/kv_scene.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <utility>

#include "tests/conformance/ops/op_data.h"

namespace reprise::test {
namespace {

constexpr double kNormEpsilon = 1e-6;

std::unique_ptr<DeviceMemory> Poisoned(Backend* backend, std::size_t bytes) {
  Result<std::unique_ptr<DeviceMemory>> memory = backend->Allocate(bytes);
  REQUIRE(memory.ok());
  const std::vector<std::byte> nan(bytes, std::byte{0xff});
  backend->Upload((*memory)->data(), nan.data(), bytes);
  return std::move(*memory);
}

}  // namespace

KvScene::KvScene(Backend* backend, const SceneShape& shape, int num_sequences, std::uint64_t table_seed)
    : backend_(*backend), shape_(shape), lengths_(num_sequences, 0), output_(num_sequences) {
  const int blocks_each = (kMaxPositions + shape.block_size - 1) / shape.block_size;
  kv_.geometry = {blocks_each * num_sequences + 3, shape.block_size, shape.num_kv_heads, shape.head_dim,
                  shape.type};
  const std::size_t bytes = kv_.geometry.block_bytes() * kv_.geometry.num_blocks;
  keys_ = Poisoned(backend, bytes);
  values_ = Poisoned(backend, bytes);
  kv_.keys = static_cast<std::byte*>(keys_->data());
  kv_.values = static_cast<std::byte*>(values_->data());

  std::vector<BlockId> free(kv_.geometry.num_blocks);
  for (int b = 0; b < kv_.geometry.num_blocks; ++b) free[b] = b;
  Random random(table_seed);
  for (std::size_t i = free.size() - 1; i > 0; --i) std::swap(free[i], free[random.Next() % (i + 1)]);
  for (int s = 0; s < num_sequences; ++s)
    tables_.emplace_back(free.begin() + s * blocks_each, free.begin() + (s + 1) * blocks_each);

  const int half = shape.head_dim / 2;
  for (int p = 0; p < kMaxPositions; ++p) {
    for (int i = 0; i < half; ++i) {
      const double angle = p * std::pow(10000.0, -2.0 * i / shape.head_dim);
      cos_.push_back(static_cast<float>(std::cos(angle)));
      sin_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  norm_ = RandomRows(1, shape.head_dim, 77);
  std::vector<float> tables = cos_;
  tables.insert(tables.end(), sin_.begin(), sin_.end());
  rope_ = OnDevice(backend, tables);
  norm_memory_ = OnDevice(backend, norm_);
  plan_ = backend->NewAttentionPlan({shape.num_heads, shape.num_kv_heads, shape.head_dim});
}

int KvScene::SlotOf(int sequence, int position) const {
  return tables_[sequence][position / shape_.block_size] * shape_.block_size + position % shape_.block_size;
}

std::vector<float> KvScene::Qkv(int sequence, int position) const {
  const int columns = (shape_.num_heads + 2 * shape_.num_kv_heads) * shape_.head_dim;
  std::vector<float> row(columns);
  Random random(static_cast<std::uint64_t>(sequence) * 100000 + position);
  for (float& x : row) x = 2.0f * random.Uniform();
  return row;
}

std::vector<double> KvScene::ExactKey(int sequence, int position, int kv_head) const {
  const int dim = shape_.head_dim;
  const std::vector<float> row = Qkv(sequence, position);
  const float* raw = row.data() + (shape_.num_heads + kv_head) * dim;
  std::vector<double> key(raw, raw + dim);
  if (shape_.head_norm) {
    double sum = 0.0;
    for (double x : key) sum += x * x;
    const double scale = 1.0 / std::sqrt(sum / dim + kNormEpsilon);
    for (int d = 0; d < dim; ++d) key[d] *= scale * norm_[d];
  }
  std::vector<double> rotated(dim);
  for (int i = 0; i < dim / 2; ++i) {
    const double c = cos_[position * (dim / 2) + i];
    const double s = sin_[position * (dim / 2) + i];
    rotated[i] = key[i] * c - key[i + dim / 2] * s;
    rotated[i + dim / 2] = key[i + dim / 2] * c + key[i] * s;
  }
  return rotated;
}

void KvScene::BuildBatch(const Step& step) {
  for (auto* list : {&positions_, &slots_, &query_start_, &context_len_, &block_start_}) list->clear();
  token_ids_.clear();
  block_ids_.clear();
  query_start_.push_back(0);
  block_start_.push_back(0);
  for (const Query& query : step) {
    const int context = lengths_[query.sequence];
    REQUIRE(context + query.tokens <= kMaxPositions);
    for (int i = 0; i < query.tokens; ++i) {
      token_ids_.push_back(0);
      positions_.push_back(context + i);
      slots_.push_back(SlotOf(query.sequence, context + i));
    }
    query_start_.push_back(static_cast<int>(token_ids_.size()));
    context_len_.push_back(context);
    // Only the blocks in use: attention must not look for more.
    const int blocks = (context + query.tokens - 1) / shape_.block_size + 1;
    block_ids_.insert(block_ids_.end(), tables_[query.sequence].begin(),
                      tables_[query.sequence].begin() + blocks);
    block_start_.push_back(static_cast<int>(block_ids_.size()));
  }
}

void KvScene::Run(const Step& step) {
  BuildBatch(step);
  const BatchView batch{token_ids_,   positions_,   slots_,     query_start_,
                        context_len_, block_start_, block_ids_, {}};
  const int rows = batch.num_tokens();
  const int columns = (shape_.num_heads + 2 * shape_.num_kv_heads) * shape_.head_dim;
  const int width = shape_.num_heads * shape_.head_dim;
  std::vector<float> qkv;
  for (const Query& query : step) {
    for (int i = 0; i < query.tokens; ++i) {
      const std::vector<float> row = Qkv(query.sequence, lengths_[query.sequence] + i);
      qkv.insert(qkv.end(), row.begin(), row.end());
    }
  }
  RopeAndStoreKvArgs rope;
  const std::unique_ptr<DeviceMemory> qkv_memory = OnDevice(&backend_, qkv);
  auto* device_qkv = static_cast<float*>(qkv_memory->data());
  const auto* tables = static_cast<const float*>(rope_->data());
  const auto* norm = static_cast<const float*>(norm_memory_->data());
  rope.qkv = {device_qkv, rows, columns, columns};
  rope.num_heads = shape_.num_heads;
  rope.rope = {tables, tables + cos_.size(), kMaxPositions};
  rope.query_norm = rope.key_norm = shape_.head_norm ? norm : nullptr;
  rope.norm_epsilon = static_cast<float>(kNormEpsilon);
  rope.batch = &batch;
  rope.kv = kv_;
  backend_.RopeAndStoreKv(rope);

  std::vector<float> out(static_cast<std::size_t>(rows) * width, -1.0f);
  const std::unique_ptr<DeviceMemory> out_memory = OnDevice(&backend_, out);
  AttentionArgs args;
  args.queries = {device_qkv, rows, width, columns};
  args.out = {static_cast<float*>(out_memory->data()), rows, width, width};
  args.kv = kv_;
  args.batch = &batch;
  args.plan = plan_.get();
  args.scale = 1.0f / std::sqrt(static_cast<float>(shape_.head_dim));
  args.sliding_window = shape_.sliding_window;
  backend_.PlanAttention(batch, kv_.geometry, plan_.get());
  backend_.Attention(args);
  backend_.Download(out.data(), args.out.data, out.size() * sizeof(float));
  const std::vector<float> first_layer = out;
  backend_.Attention(args);  // the next layer, on the same plan
  backend_.Download(out.data(), args.out.data, out.size() * sizeof(float));
  REQUIRE(backend_.Synchronize().ok());
  REQUIRE(FirstDifference(out, first_layer) == -1);

  const float* row = out.data();
  for (const Query& query : step) {
    output_[query.sequence].insert(output_[query.sequence].end(), row, row + query.tokens * width);
    row += query.tokens * width;
    lengths_[query.sequence] += query.tokens;
  }
}

}  // namespace reprise::test
