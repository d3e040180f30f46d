#include "models/quantize_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "base/float_types.h"
#include "kernels/quantize.h"
#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "models/formats/quoted.h"
#include "models/formats/tensor_writer.h"
#include "models/gguf_metadata.h"
#include "models/model_tensors.h"
#include "models/tokenizer/embedded_tokenizer.h"

namespace reprise {
namespace {

constexpr int kBlock = 32;  // columns that share a scale, in all three types
constexpr char kRopeDivisors[] = "rope_freqs.weight";

int Padded(int width, int most) {
  return std::min((width + kBlock - 1) / kBlock * kBlock, most);
}

// Widths up to whole blocks. The extra dimensions hold zeros throughout, and norms do not count them.
ModelConfig PaddedConfig(const ModelConfig& config) {
  ModelConfig padded = config;
  for (LayerWidths& layer : padded.widths) {
    layer = {Padded(layer.in, config.hidden_size), Padded(layer.mid, config.hidden_size),
             Padded(layer.out, config.hidden_size)};
  }
  return padded;
}

class Quantizer {
 public:
  Quantizer(const QuantizeOptions& options, const Checkpoint& checkpoint, const ModelConfig& config)
      : options_(options),
        checkpoint_(checkpoint),
        config_(config),
        tensors_(ModelTensors(config)),
        padded_(ModelTensors(PaddedConfig(config))) {}

  Result<QuantizeSummary> Run(const std::function<void(double)>& progress) {
    ASSIGN_OR_RETURN(GgufFile::Metadata metadata, tokenizer::TokenizerMetadata(options_.model));
    metadata.merge(
        ModelMetadata(PaddedConfig(config_), std::filesystem::path(options_.model).stem().string()));
    const std::vector<TensorSpec> specs = Specs();
    ASSIGN_OR_RETURN(const std::unique_ptr<TensorWriter> writer,
                     TensorWriter::CreateGguf(options_.out, specs, metadata));
    const std::vector<float> divisors = RopeFrequencyDivisors(config_);
    if (!divisors.empty()) {
      RETURN_IF_ERROR(writer->Write(kRopeDivisors, 0, std::as_bytes(std::span(divisors))));
    }
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, Convert(tensors_[i], padded_[i].shape));
      RETURN_IF_ERROR(writer->Write(Name(tensors_[i]), 0, bytes));
      if (progress) progress(static_cast<double>(i + 1) / static_cast<double>(tensors_.size()));
      if (i % kTensorsBetweenReleases == 0) checkpoint_.ReleasePages();
    }
    RETURN_IF_ERROR(writer->Finish());
    return Summary(specs);
  }

 private:
  static constexpr std::size_t kTensorsBetweenReleases = 16;

  static std::string Name(const ModelTensor& tensor) {
    return TensorName(TensorNaming::kGguf, tensor.role, tensor.layer);
  }

  WeightType TypeOf(const ModelTensor& padded) const {
    if (!padded.is_matrix() || IsRotation(padded.role)) return WeightType::kF32;
    if (padded.role == TensorRole::kPositionEmbedding || padded.shape[1] % kBlock != 0)
      return WeightType::kF16;
    const bool shortcut =
        padded.role == TensorRole::kAttentionShortcut || padded.role == TensorRole::kMlpShortcut;
    return shortcut ? options_.shortcut_type : options_.type;
  }

  std::vector<TensorSpec> Specs() const {
    std::vector<TensorSpec> specs;
    const std::vector<float> divisors = RopeFrequencyDivisors(config_);
    if (!divisors.empty()) {
      specs.push_back({kRopeDivisors, WeightType::kF32, {static_cast<std::int64_t>(divisors.size())}});
    }
    for (const ModelTensor& tensor : padded_) specs.push_back({Name(tensor), TypeOf(tensor), tensor.shape});
    return specs;
  }

  QuantizeSummary Summary(const std::vector<TensorSpec>& specs) const {
    QuantizeSummary summary;
    summary.parameters = NumParameters(config_);
    for (const TensorSpec& spec : specs) summary.bytes += spec.bytes();
    for (const ModelTensor& tensor : padded_) {
      summary.unquantized_matrices += tensor.is_matrix() && tensor.role != TensorRole::kPositionEmbedding &&
                                      !IsRotation(tensor.role) && TypeOf(tensor) == WeightType::kF16;
    }
    return summary;
  }

  // Row of the checkpoint's tensor that becomes row `row` of the file's.
  std::vector<int> RowOrder(const ModelTensor& tensor) const {
    const bool heads = tensor.role == TensorRole::kQuery || tensor.role == TensorRole::kKey ||
                       tensor.role == TensorRole::kQueryBias || tensor.role == TensorRole::kKeyBias;
    std::vector<int> order(static_cast<std::size_t>(tensor.shape[0]));
    for (std::size_t r = 0; r < order.size(); ++r) order[r] = static_cast<int>(r);
    if (!heads || config_.gguf_permuted_qk || !GgufPermutesHeads(config_)) return order;
    const std::vector<int> file_rows =
        GgufRowOrder(static_cast<int>(tensor.shape[0]) / config_.head_dim, config_.head_dim);
    for (std::size_t r = 0; r < file_rows.size(); ++r)
      order[static_cast<std::size_t>(file_rows[r])] = static_cast<int>(r);
    return order;
  }

  Result<std::vector<std::byte>> Convert(const ModelTensor& tensor, const std::vector<std::int64_t>& shape) {
    ASSIGN_OR_RETURN(const TensorInfo* source, FindTensor(checkpoint_, tensor.role, tensor.layer));
    RETURN_IF_ERROR(CheckShape(*source, tensor.shape));
    const WeightType type = TypeOf({tensor.role, tensor.layer, shape});
    const std::vector<int> order = RowOrder(tensor);
    const bool same_order = std::is_sorted(order.begin(), order.end());
    if (source->type == type && shape == tensor.shape && same_order) {
      return std::vector<std::byte>(source->data, source->data + source->bytes);
    }
    const int columns = tensor.is_matrix() ? static_cast<int>(tensor.shape[1]) : 1;
    const int padded_columns = tensor.is_matrix() ? static_cast<int>(shape[1]) : 1;
    std::vector<float> values(static_cast<std::size_t>(shape[0]) * static_cast<std::size_t>(padded_columns));
    RETURN_IF_ERROR(ReadRows(*source, columns, order, padded_columns, values.data()));
    return Encode(values, static_cast<int>(shape[0]), padded_columns, type);
  }

  // The source's rows in file order, each to the first columns of a row of `out`.
  static Status ReadRows(const TensorInfo& source, int columns, std::span<const int> order, int stride,
                         float* out) {
    const std::size_t row_bytes = source.bytes / order.size();
    for (std::size_t r = 0; r < order.size(); ++r, out += stride) {
      Dequantize(source.type, source.data + row_bytes * static_cast<std::size_t>(order[r]), columns, out);
      if (!std::all_of(out, out + columns, [](float value) { return std::isfinite(value); })) {
        return DataLoss("tensor " + Quoted(source.name) + " has an element that is not a finite number");
      }
    }
    return OkStatus();
  }

  static std::vector<std::byte> Encode(const std::vector<float>& values, int rows, int columns,
                                       WeightType type) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    if (CanQuantizeTo(type)) return Quantize({WeightType::kF32, bytes, rows, columns, {}}, type);
    if (type == WeightType::kF32) return {bytes, bytes + values.size() * sizeof(float)};
    std::vector<std::byte> halves(values.size() * 2);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint16_t half = FloatToFp16(values[i]);
      std::memcpy(halves.data() + 2 * i, &half, sizeof(half));
    }
    return halves;
  }

  const QuantizeOptions& options_;
  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  std::vector<ModelTensor> tensors_;
  std::vector<ModelTensor> padded_;  // the same with padded widths
};

}  // namespace

Result<QuantizeSummary> QuantizeModel(const QuantizeOptions& options,
                                      const std::function<void(double)>& progress) {
  if (!CanQuantizeTo(options.type) || !CanQuantizeTo(options.shortcut_type)) {
    return InvalidArgument("the types to quantise to are q8_0, q4_0 and q4_1");
  }
  std::error_code ignored;
  if (std::filesystem::exists(options.out, ignored)) {
    return FailedPrecondition(options.out + " exists already; choose another --out");
  }
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(options.model));
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(options.model));
  return Quantizer(options, *checkpoint, config).Run(progress);
}

}  // namespace reprise
