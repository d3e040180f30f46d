#include "kernels/cuda/cuda_backend.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/cuda_weight.h"
#include "kernels/cuda/draw.h"
#include "kernels/cuda/kv_cache.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/prologue.h"
#include "kernels/cuda/readback.h"
#include "kernels/cuda/rows.h"
#include "kernels/weight_sources.h"

namespace reprise::cuda {
namespace {

// What a pass stages beside attention's plan, at most: token ids, positions, slots, rows of hidden states, of
// logits and of learned positions.
constexpr std::size_t kArraysOfPass = 6;
// What a list of passes keeps in staging.
constexpr std::size_t kMaxListRoom = std::size_t{32} << 20;
constexpr std::size_t kMostPartials = std::size_t{1} << 28;  // indices are int

class CudaMemory final : public DeviceMemory {
 public:
  CudaMemory(Stream& stream, void* data, std::size_t bytes) : stream_(stream), data_(data), bytes_(bytes) {}
  ~CudaMemory() override { stream_.Free(data_); }
  void* data() const override { return data_; }
  std::size_t bytes() const override { return bytes_; }

 private:
  Stream& stream_;
  void* data_;
  std::size_t bytes_;
};

// A host array that several operations of a step name: staged once, again only when it changed or a flush
// came in between.
class StepArray {
 public:
  const int* Stage(Stream& stream, std::span<const int> values) {
    if (device_ != nullptr && generation_ == stream.generation() &&
        std::equal(values.begin(), values.end(), values_.begin(), values_.end()))
      return device_;
    values_.assign(values.begin(), values.end());
    device_ = stream.Stage(values);
    generation_ = stream.generation();
    return device_;
  }

 private:
  std::vector<int> values_;
  const int* device_ = nullptr;
  std::uint64_t generation_ = 0;
};

// What ToHost returns: pinned memory, or ordinary where that cannot be had.
class HostRows {
 public:
  ~HostRows() { cudaFreeHost(memory_); }
  HostRows() = default;
  HostRows(const HostRows&) = delete;
  HostRows& operator=(const HostRows&) = delete;

  float* Reserve(std::size_t floats) {
    if (memory_ != nullptr && floats <= floats_) return static_cast<float*>(memory_);
    cudaFreeHost(std::exchange(memory_, nullptr));
    if (cudaHostAlloc(&memory_, floats * sizeof(float), cudaHostAllocDefault) == cudaSuccess) {
      floats_ = floats;
      return static_cast<float*>(memory_);
    }
    memory_ = nullptr;
    pageable_.resize(floats);
    return pageable_.data();
  }

 private:
  void* memory_ = nullptr;
  std::size_t floats_ = 0;
  std::vector<float> pageable_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(std::unique_ptr<Stream> stream, int num_threads, const CudaBackendOptions& options)
      : stream_(std::move(stream)),
        name_("cuda/" + stream_->device_name()),
        threads_(num_threads),
        options_(options),
        matmul_(*stream_),
        partials_(*stream_),
        read_rows_(*stream_),
        draws_(*stream_) {}

  std::string_view name() const override { return name_; }
  int num_threads() const override { return threads_.num_threads(); }
  const GraphCache& graphs() const { return stream_->graphs(); }
  Stream& stream() { return *stream_; }

  Result<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) override;
  void Upload(void* destination, const void* host, std::size_t bytes) override {
    stream_->Upload(destination, host, bytes);
  }
  void Download(void* host, const void* source, std::size_t bytes) override {
    stream_->Download(host, source, bytes);
  }
  ConstMatrixView ToHost(ConstMatrixView x) override;
  void ParallelFor(int count, int grain, RangeFunction body) override {
    threads_.ParallelFor(count, grain, body);
  }
  Status Synchronize() override { return stream_->Synchronize(); }
  MemoryUse memory() const override;
  Result<std::size_t> Reserve(const StepLimits& limits) override;
  Status CheckKvType(KvType type) const override {
    if (type != KvType::kInt8) return OkStatus();
    return InvalidArgument("a GPU keeps keys and values in bf16 or f32, not in int8");
  }

  Result<std::unique_ptr<Weight>> Pack(std::span<const WeightSource> sources) override {
    RETURN_IF_ERROR(CheckWeightSources(sources));
    ASSIGN_OR_RETURN(std::unique_ptr<CudaWeight> weight, CudaWeight::Pack(sources, *stream_, threads_));
    matmul_.Note(*weight);
    return std::unique_ptr<Weight>(std::move(weight));
  }

  void Embed(const BatchView& batch, const Weight& table, MatrixView out) override;
  void RmsNorm(ConstMatrixView x, const RmsNormSpec& spec, MatrixView out) override {
    RmsNormRows(*stream_, x, spec, out);
  }
  void LayerNorm(ConstMatrixView x, const LayerNormSpec& spec, MatrixView out) override {
    LayerNormRows(*stream_, x, spec, out);
  }
  void GatherRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    cuda::GatherRows(*stream_, x, stream_->Stage(rows), out);
  }
  void ScatterRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    cuda::ScatterRows(*stream_, x, slots_.Stage(*stream_, rows), out);
  }
  void AddRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) override {
    cuda::AddRows(*stream_, x, stream_->Stage(rows), out);
  }
  void MatMul(const MatMulArgs& args) override { matmul_.Run(args); }
  bool draws_tokens() const override { return options_.draw_tokens; }
  void DrawRows(const DrawArgs& args) override { draws_.Draw(args); }
  Result<std::unique_ptr<Readback>> NewReadback(std::size_t bytes) override {
    return PinnedReadback::Create(*stream_, bytes);
  }

  void RopeAndStoreKv(const RopeAndStoreKvArgs& args) override {
    stream_->MakeRoom(2 * StepStaging::RoomFor(args.batch->slots.size_bytes()));
    const int* positions = positions_.Stage(*stream_, args.batch->positions);
    const int* slots = slots_.Stage(*stream_, args.batch->slots);
    RotateAndStore(*stream_, args, positions, slots);
  }

  std::unique_ptr<AttentionPlan> NewAttentionPlan(const AttentionShape& shape) override {
    attention_shapes_.push_back(shape);
    return std::make_unique<CudaAttentionPlan>(shape, MaxPartials(shape));
  }
  void PlanAttention(const BatchView& batch, const KvGeometry&, AttentionPlan* plan) override {
    static_cast<CudaAttentionPlan*>(plan)->Plan(batch);
  }
  void Attention(const AttentionArgs& args) override {
    const auto& plan = static_cast<const CudaAttentionPlan&>(*args.plan);
    auto* partials = static_cast<float*>(partials_.Get(PartialBytes(plan.shape(), plan.num_partials())));
    RunAttention(*stream_, args, plan, partials);
  }

  void CopyKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) override {
    stream_->MakeRoom(2 * StepStaging::RoomFor(src.size_bytes()));
    CopySlots(*stream_, stream_->Stage(src), stream_->Stage(dst), static_cast<int>(src.size()), kv);
  }
  void ReadKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                   std::vector<float>* values) override;

 private:
  int MaxPartials(const AttentionShape& shape) const {
    return static_cast<int>(std::min(options_.attention_bytes / PartialBytes(shape, 1), kMostPartials));
  }

  std::unique_ptr<Stream> stream_;  // first: what follows holds memory of its device
  const std::string name_;
  ThreadPool threads_;
  const CudaBackendOptions options_;
  CudaMatMul matmul_;
  std::vector<AttentionShape> attention_shapes_;  // of the plans made
  DeviceBuffer partials_;                         // of attention
  DeviceBuffer read_rows_;
  TokenDraws draws_;
  StepArray positions_, slots_;
  HostRows host_rows_;
};

Result<std::unique_ptr<DeviceMemory>> CudaBackend::Allocate(std::size_t bytes) {
  void* data = stream_->Allocate(bytes);
  if (data == nullptr) return stream_->OutOfMemory(bytes, "device memory");
  stream_->Fill(data, 0, bytes);
  return std::unique_ptr<DeviceMemory>(new CudaMemory(*stream_, data, bytes));
}

MemoryUse CudaBackend::memory() const {
  std::size_t free = 0;
  std::size_t total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return {};
  return {free, total};
}

// A draft's passes are one list of commands, and what they stage lies side by side as far as that is not
// much; beyond that a list is handed over in parts.
Result<std::size_t> CudaBackend::Reserve(const StepLimits& limits) {
  RETURN_IF_ERROR(matmul_.Reserve(limits.max_tokens));
  if (options_.draw_tokens) {
    RETURN_IF_ERROR(draws_.Reserve(limits));
  } else {
    host_rows_.Reserve(static_cast<std::size_t>(limits.max_logit_rows) * limits.max_columns);
  }
  std::size_t attention_room = 0;
  for (const AttentionShape& shape : attention_shapes_) {
    const AttentionBounds bounds = BoundAttention(shape, limits, MaxPartials(shape));
    RETURN_IF_ERROR(partials_.Reserve(PartialBytes(shape, bounds.num_partials)));
    attention_room = std::max(attention_room, bounds.staging_room);
  }
  const std::size_t draw_room = TokenDraws::StagingRoom(limits.max_columns);
  const std::size_t pass_room =
      attention_room +
      kArraysOfPass * StepStaging::RoomFor(static_cast<std::size_t>(limits.max_tokens) * sizeof(int));
  const std::size_t list_room = std::min(kMaxListRoom, kMaxDraftTokens * (pass_room + draw_room));
  RETURN_IF_ERROR(stream_->ReserveStaging(std::max({list_room, pass_room, draw_room})));
  return options_.graph_bytes;
}

ConstMatrixView CudaBackend::ToHost(ConstMatrixView x) {
  const std::size_t floats = static_cast<std::size_t>(x.rows) * x.stride;
  float* host = host_rows_.Reserve(floats);
  stream_->Download(host, x.data, floats * sizeof(float));
  return {host, x.rows, x.columns, x.stride};
}

void CudaBackend::Embed(const BatchView& batch, const Weight& table, MatrixView out) {
  const TokenId* ids = stream_->Stage(batch.token_ids);
  for (const CudaWeight::Part& part : static_cast<const CudaWeight&>(table).parts())
    EmbedRows(*stream_, ids, batch.drawn, part.first_row, part.packed, out);
}

void CudaBackend::ReadKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                              std::vector<float>* values) {
  const KvGeometry& geometry = kv.geometry;
  const std::size_t floats = slots.size() * geometry.num_kv_heads * geometry.head_dim;
  keys->resize(floats);
  values->resize(floats);
  auto* rows = static_cast<float*>(read_rows_.Get(2 * floats * sizeof(float)));
  ReadSlots(*stream_, stream_->Stage(slots), static_cast<int>(slots.size()), kv, rows, rows + floats);
  stream_->Download(keys->data(), rows, floats * sizeof(float));
  stream_->Download(values->data(), rows + floats, floats * sizeof(float));
}

}  // namespace

Result<std::unique_ptr<Backend>> MakeBackend(const CudaBackendOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Stream> stream, Stream::Create(options.device, options.graph_bytes));
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const int num_threads = options.num_threads > 0 ? options.num_threads : cores;
  return std::unique_ptr<Backend>(new CudaBackend(std::move(stream), num_threads, options));
}

GraphCounts GraphCountsOf(const Backend& backend) {
  const GraphCache& graphs = static_cast<const CudaBackend&>(backend).graphs();
  return {graphs.num_captured(), graphs.num_replayed(), graphs.bytes()};
}

Result<double> CopyBandwidth(Backend& backend, std::size_t bytes) {
  constexpr int kCopies = 10;
  Stream& stream = static_cast<CudaBackend&>(backend).stream();
  ASSIGN_OR_RETURN(const std::unique_ptr<DeviceMemory> from, backend.Allocate(bytes));
  ASSIGN_OR_RETURN(const std::unique_ptr<DeviceMemory> to, backend.Allocate(bytes));
  double seconds = 0.0;
  for (int round = 0; round < 2; ++round) {  // the first one warms up
    RETURN_IF_ERROR(stream.Synchronize());
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCopies; ++i) stream.Copy(to->data(), from->data(), bytes);
    RETURN_IF_ERROR(stream.Synchronize());
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return 2.0 * static_cast<double>(bytes) * kCopies / seconds;
}

}  // namespace reprise::cuda
