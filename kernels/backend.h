// The Backend interface: every operation a decoder step is made of. Implementations: reference (scalar, the
// oracle), cpu (vector code per instruction set) and, where built, cuda.
//
// Contract shared by all operations
// - Batch invariance: what a row of output holds depends on that row's inputs only, bit for bit, and not on
// how many rows,
//   sequences or threads share the step, nor on how a prompt was cut into chunks.
// - Views are row-major float; the caller owns them and has sized them; outputs do not alias inputs unless
// said.
// - One thread drives a backend at a time. Operations may be asynchronous; only Synchronize reports device
// errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/batch_view.h"
#include "kernels/draw.h"
#include "kernels/kv_type.h"
#include "kernels/weight_type.h"

namespace reprise {

// [rows, columns], row r at data + r * stride.
struct ConstMatrixView {
  const float* data = nullptr;
  int rows = 0;
  int columns = 0;
  std::int64_t stride = 0;

  const float* row(int r) const { return data + r * stride; }
};
struct MatrixView {
  float* data = nullptr;
  int rows = 0;
  int columns = 0;
  std::int64_t stride = 0;

  float* row(int r) const { return data + r * stride; }
  operator ConstMatrixView() const {
    return {data, rows, columns, stride};
  }  // NOLINT: views convert like spans
};

// A weight matrix in file form: `rows` rows of `columns` elements, row-major, in host memory that only has to
// live until Pack returns.
struct WeightSource {
  WeightType type = WeightType::kF32;
  const std::byte* data = nullptr;
  int rows = 0;
  int columns = 0;
  // When not empty, packed row r is source row row_order[r] (undoes the q/k permutation of GGUF files).
  std::span<const int> row_order;
};

// A matrix [rows, columns] in the backend's own packed form; quantised weights stay quantised. Immutable.
class Weight {
 public:
  virtual ~Weight() = default;
  int rows() const { return rows_; }
  int columns() const { return columns_; }
  virtual std::size_t bytes() const = 0;  // memory held
  // The packed form itself; empty where host code cannot read it.
  virtual std::span<const std::byte> host_bytes() const { return {}; }
  virtual std::string_view form() const = 0;  // packed form, for reports: "q4", "q8", "bf16", ...

 protected:
  Weight(int rows, int columns) : rows_(rows), columns_(columns) {}

 private:
  int rows_;
  int columns_;
};

// Memory on the backend's device, 64-byte aligned, zero-filled.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual void* data() const = 0;
  virtual std::size_t bytes() const = 0;
};

// What the device has computed, on its way to the host while the device goes on. One copy at a time.
class Readback {
 public:
  virtual ~Readback() = default;
  // Starts all operations so far and, behind them, a copy of `bytes` from `source`; does not wait.
  virtual void Start(const void* source, std::size_t bytes) = 0;
  // Waits for the copy, and for nothing that was started after it. Device errors as Backend::Synchronize.
  virtual Status Wait() = 0;
  // The copy, once Wait has returned; good until the next Start.
  virtual const std::byte* data() const = 0;
};

// Of the memory that Allocate takes from, in bytes; total 0: the host's, which is nobody's to divide up.
struct MemoryUse {
  std::size_t free = 0;
  std::size_t total = 0;
};

// Shape of one layer's share of the paged KV cache. head_dim is even; block_size is a positive multiple
// of 16.
struct KvGeometry {
  int num_blocks = 0;
  int block_size = 16;
  int num_kv_heads = 0;
  int head_dim = 0;
  KvType type = KvType::kBF16;

  std::size_t element_bytes() const { return type == KvType::kF32 ? 4 : type == KvType::kBF16 ? 2 : 1; }
  std::size_t scale_bytes() const { return type == KvType::kInt8 ? sizeof(float) : 0; }
  // Keys of one head of one token; values take the same.
  std::size_t head_bytes() const {
    return static_cast<std::size_t>(head_dim) * element_bytes() + scale_bytes();
  }
  // Keys of one block of one layer; values take the same.
  std::size_t block_bytes() const {
    return static_cast<std::size_t>(block_size) * num_kv_heads * head_bytes();
  }
};

// One layer's keys and values: device memory of num_blocks * geometry.block_bytes() each. Where in it a
// slot's lie is the backend's affair.
struct KvLayer {
  KvGeometry geometry;
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
};

// y = x * rsqrt(sum(x^2) / norm_dim + epsilon) * weight. norm_dim is the divisor, which stays the original
// width in sliced models (SliceGPT, section 3.1 of the official code: modules.py mean_dim).
struct RmsNormSpec {
  const float* weight = nullptr;  // [columns], device; nullptr: weightless
  float epsilon = 1e-5f;
  int norm_dim = 0;
};

// y = (x - mean(x)) * rsqrt(variance(x) + epsilon) * weight + bias, over the columns of a row (Ba et al.,
// 2016).
struct LayerNormSpec {
  const float* weight = nullptr;  // [columns], device
  const float* bias = nullptr;    // [columns], device
  float epsilon = 1e-5f;
};

// What happens to the rows of x before they are multiplied.
enum class Prologue : std::uint8_t {
  kNone,       // x is [T, K]
  kRmsNorm,    // x is [T, K], normalised by `norm`
  kLayerNorm,  // x is [T, K], normalised by `layer_norm`
  kSiluMul,    // x is [T, 2K] = [gate | up]; the product's input is silu(gate) * up
  kRelu,       // x is [T, K]; max(x, 0)
  kGeluTanh,   // x is [T, K]; x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3))), GELU's tanh form
};

// A second product that is summed with the first before anything is written: the shortcut of a sliced layer
// (SliceGPT, section 3.4), so that [W_o ; S] is one pass over the output.
struct SecondProduct {
  ConstMatrixView x;               // [T, K2], no prologue
  const Weight* weight = nullptr;  // [N, K2]; nullptr: there is none
};

// out[t, n] (+)= sum_k prologue(x)[t, k] * weight[n, k] + sum_k second.x[t, k] * second.weight[n, k] +
// bias[n]. With a second product, both weights have been packed from a single source each.
struct MatMulArgs {
  ConstMatrixView x;
  const Weight* weight = nullptr;  // [N, K]
  MatrixView out;                  // [T, N]
  Prologue prologue = Prologue::kNone;
  RmsNormSpec norm = {};          // for kRmsNorm
  LayerNormSpec layer_norm = {};  // for kLayerNorm
  const float* bias = nullptr;    // [N], device, or nullptr
  bool accumulate = false;        // add to what `out` holds (the residual stream)
  SecondProduct second = {};
};

// cos and sin of position * frequency: [max_position, rotary_dim / 2] each, device, row-major. Llama's
// layout: dimension i rotates with dimension i + rotary_dim / 2, and those from rotary_dim on stay as they
// are.
struct RopeTable {
  const float* cos = nullptr;  // nullptr: nothing rotates (models with learned positions)
  const float* sin = nullptr;
  int max_position = 0;
  int rotary_dim = 0;  // even, at most head_dim; 0: head_dim
};

struct RopeAndStoreKvArgs {
  MatrixView
      qkv;  // [T, (Hq + 2 Hkv) * head_dim]: queries rotated in place; keys and values left as they were
  int num_heads = 0;  // Hq
  RopeTable rope;
  const float* query_norm = nullptr;  // [head_dim] per-head RMSNorm before rope (Qwen3), or nullptr
  const float* key_norm = nullptr;
  float norm_epsilon = 1e-6f;
  const BatchView* batch = nullptr;  // positions, slots
  KvLayer kv;                        // rotated keys and values are stored here
};

struct AttentionShape {
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
};

// Work for one step's attention, the same in every layer: made once a step, reused, so that layers plan and
// allocate nothing. Created by the backend that uses it.
class AttentionPlan {
 public:
  virtual ~AttentionPlan() = default;
};

// Bounds of the steps to come, over all models that the backend computes.
struct StepLimits {
  int max_tokens = 0;
  int max_sequences = 0;
  int max_logit_rows = 0;  // that tokens are drawn from at a time
  int max_columns = 0;     // of logits
  int max_context = 0;     // tokens of one sequence, the step's included
  int block_size = 16;
};

// Causal attention of every token over its sequence's cache, the tokens of this step included (they have been
// stored).
struct AttentionArgs {
  ConstMatrixView queries;  // [T, Hq * head_dim] rotated (a column range of qkv)
  MatrixView out;           // [T, Hq * head_dim]
  KvLayer kv;
  const BatchView* batch = nullptr;
  const AttentionPlan* plan = nullptr;
  float scale = 1.0f;      // usually 1 / sqrt(head_dim)
  int sliding_window = 0;  // > 0: a token sees the last `sliding_window` positions, itself included
};

// Tokens for rows of logits (kernels/draw.h).
struct DrawArgs {
  ConstMatrixView logits;         // [R, V], device
  std::span<const RowDraw> rows;  // [R]
  std::span<const LogitAdjustment> adjustments;
  std::span<const TokenId> ahead;  // below zero: as BatchView::drawn has it
  const TokenId* drawn = nullptr;  // device; tokens of this call may lie in it, but none that a row names
  // [V], device, ascending: which token a column scores; nullptr: its own number.
  const TokenId* ids = nullptr;
  TokenId* tokens = nullptr;     // [R], device
  TokenScore* scores = nullptr;  // device; as far as the rows ask for log-probabilities
};

// Operations a second (a multiply-add is two) that registers alone allow, all host threads together; 0: not
// known.
struct PeakRates {
  double integers = 0;  // what quantised weights are multiplied with
  double bf16 = 0;      // what bfloat16 weights are
  double floats = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;  // "reference", "cpu/avx512-vnni"
  virtual int num_threads() const = 0;

  // RESOURCE_EXHAUSTED with the size.
  virtual Result<std::unique_ptr<DeviceMemory>> Allocate(std::size_t bytes) = 0;
  virtual void Upload(void* destination, const void* host, std::size_t bytes) = 0;
  virtual void Download(void* host, const void* source, std::size_t bytes) = 0;
  // The same matrix where host code can read it, valid until the next operation. On the host, `x` itself.
  virtual ConstMatrixView ToHost(ConstMatrixView x) { return x; }
  // Runs body(begin, end, thread) over [0, count) on the backend's host threads, so that host work between
  // two operations (sampling) shares them. thread < num_threads(). Pieces of at most `grain`.
  virtual void ParallelFor(int count, int grain, RangeFunction body);
  // Waits for all work; a device error shows here and means the device is lost.
  virtual Status Synchronize() = 0;
  virtual MemoryUse memory() const { return {}; }
  // Takes some milliseconds.
  virtual PeakRates MeasurePeaks() { return {}; }
  // Takes now the memory that steps within the limits will need besides what their operations are given: of
  // the weights packed and the attention plans made so far. Without it, and beyond the limits, operations
  // take memory when they need it, and where there is none the device is lost. Returns how much more of
  // memory() steps may come to take if it is free, and do without if it is not. RESOURCE_EXHAUSTED with the
  // size.
  virtual Result<std::size_t> Reserve(const StepLimits&) { return std::size_t{0}; }
  // INVALID_ARGUMENT, naming what is allowed, for a type that this backend cannot keep keys and values in.
  virtual Status CheckKvType(KvType) const { return OkStatus(); }

  // Stacks the sources along rows (fused QKV, gate+up) and packs them. All have the same number of columns.
  // INVALID_ARGUMENT for shapes this backend cannot pack, naming them.
  virtual Result<std::unique_ptr<Weight>> Pack(std::span<const WeightSource> sources) = 0;

  // out[t] = row token_ids[t] of table, as float. Ids are in range, or, where draws_tokens(), below zero: see
  // BatchView::drawn. A drawn -1, which nothing may depend on, counts as 0.
  virtual void Embed(const BatchView& batch, const Weight& table, MatrixView out) = 0;
  virtual void RmsNorm(ConstMatrixView x, const RmsNormSpec& spec, MatrixView out) = 0;
  virtual void LayerNorm(ConstMatrixView x, const LayerNormSpec& spec, MatrixView out) = 0;
  // out[i] = x[rows[i]].
  virtual void GatherRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) = 0;
  // out[rows[i]] = x[i]. No row twice.
  virtual void ScatterRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) = 0;
  // out[i] += x[rows[i]] (learned positions).
  virtual void AddRows(ConstMatrixView x, std::span<const int> rows, MatrixView out) = 0;
  virtual void MatMul(const MatMulArgs& args) = 0;
  // Whether tokens are drawn where the logits are; if not, DrawRows must not be called, and the host draws.
  virtual bool draws_tokens() const { return false; }
  virtual void DrawRows(const DrawArgs&) {}
  // For copies of up to `bytes`, where draws_tokens(). RESOURCE_EXHAUSTED with the size.
  virtual Result<std::unique_ptr<Readback>> NewReadback(std::size_t bytes);
  virtual void RopeAndStoreKv(const RopeAndStoreKvArgs& args) = 0;
  virtual std::unique_ptr<AttentionPlan> NewAttentionPlan(const AttentionShape& shape) = 0;
  virtual void PlanAttention(const BatchView& batch, const KvGeometry& geometry, AttentionPlan* plan) = 0;
  virtual void Attention(const AttentionArgs& args) = 0;
  // Slot dst[i] gets the keys and values of slot src[i] (copy-on-write, tree compaction). No overlap between
  // the two.
  virtual void CopyKvSlots(std::span<const int> src, std::span<const int> dst, const KvLayer& kv) = 0;
  // Keys and values of `slots` as floats on the host, [n, Hkv, head_dim] each: for tests and for inspection.
  virtual void ReadKvSlots(std::span<const int> slots, const KvLayer& kv, std::vector<float>* keys,
                           std::vector<float>* values) = 0;
};

// Scalar code in one fixed order: what every other backend is tested against. Slow; not for serving.
std::unique_ptr<Backend> MakeReferenceBackend();

struct CpuBackendOptions {
  int num_threads = 0;  // 0: one per core this process may use
  // "avx2", "avx512-vnni", "avx512-bf16", "amx"; empty: $REPRISE_ISA, or else the best this CPU has.
  std::string isa;
};
// FAILED_PRECONDITION naming what the CPU lacks; INVALID_ARGUMENT listing the legs for an unknown name.
Result<std::unique_ptr<Backend>> MakeCpuBackend(const CpuBackendOptions& options);

// The legs this CPU can run, worst first; empty when it lacks even AVX2.
std::vector<std::string> AvailableCpuIsas();

struct CudaBackendOptions {
  int device = 0;       // as CUDA numbers them
  int num_threads = 0;  // of the host, for packing and sampling; 0: one per core
  // false: logits come back and the host draws, to compare with.
  bool draw_tokens = true;
  // CUDA graphs of steps that repeat take at most so much of the device's memory; 0: no graphs.
  std::size_t graph_bytes = std::size_t{512} << 20;
  // Parts of attention, of keys that are split over the device, take at most so much; what finds no room
  // there is computed in one piece, to the same bits.
  std::size_t attention_bytes = std::size_t{256} << 20;
};
// FAILED_PRECONDITION when this build has no CUDA (preset `cuda`) or the machine no such device.
Result<std::unique_ptr<Backend>> MakeCudaBackend(const CudaBackendOptions& options);

}  // namespace reprise
