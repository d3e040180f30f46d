#include "models/quantize_model.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/quantize.h"
#include "models/config.h"
#include "models/formats/checkpoint.h"
#include "models/formats/tensor_writer.h"
#include "models/gguf_metadata.h"
#include "models/model_tensors.h"
#include "models/quantize_draft.h"
#include "models/tensor_conversion.h"
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
        types_{options.type, options.shortcut_type},
        checkpoint_(checkpoint),
        config_(config),
        tensors_(TensorsThere(config)),
        padded_(TensorsThere(PaddedConfig(config))) {}

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
      ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, Convert(tensors_[i], padded_[i]));
      RETURN_IF_ERROR(writer->Write(Name(tensors_[i]), 0, bytes));
      if (progress) progress(static_cast<double>(i + 1) / static_cast<double>(tensors_.size()));
      if (i % kTensorsBetweenReleases == 0) checkpoint_.ReleasePages();
    }
    RETURN_IF_ERROR(writer->Finish());
    return Summary(specs);
  }

 private:
  static constexpr std::size_t kTensorsBetweenReleases = 16;

  // Sliced models that were made elsewhere lack the rotations.
  std::vector<ModelTensor> TensorsThere(const ModelConfig& config) const {
    std::vector<ModelTensor> tensors = ModelTensors(config);
    std::erase_if(tensors, [&](const ModelTensor& tensor) {
      return IsRotation(tensor.role) && !FindTensor(checkpoint_, tensor.role).ok();
    });
    return tensors;
  }

  static std::string Name(const ModelTensor& tensor) {
    return TensorName(TensorNaming::kGguf, tensor.role, tensor.layer);
  }

  std::vector<TensorSpec> Specs() const {
    std::vector<TensorSpec> specs;
    const std::vector<float> divisors = RopeFrequencyDivisors(config_);
    if (!divisors.empty()) {
      specs.push_back({kRopeDivisors, WeightType::kF32, {static_cast<std::int64_t>(divisors.size())}});
    }
    for (const ModelTensor& tensor : padded_) {
      specs.push_back({Name(tensor), TypeInQuantizedFile(tensor, types_), tensor.shape});
    }
    return specs;
  }

  QuantizeSummary Summary(const std::vector<TensorSpec>& specs) const {
    QuantizeSummary summary;
    summary.parameters = NumParameters(config_);
    for (const TensorSpec& spec : specs) summary.bytes += spec.bytes();
    for (const ModelTensor& tensor : padded_) {
      summary.unquantized_matrices += StaysUnquantized(tensor, types_);
    }
    return summary;
  }

  // Row of the checkpoint's tensor that becomes each row of the file's; empty: the same one.
  std::vector<int> RowOrder(const ModelTensor& tensor) const {
    const bool heads = tensor.role == TensorRole::kQuery || tensor.role == TensorRole::kKey ||
                       tensor.role == TensorRole::kQueryBias || tensor.role == TensorRole::kKeyBias;
    if (!heads || config_.gguf_permuted_qk || !GgufPermutesHeads(config_)) return {};
    const std::vector<int> file_rows =
        GgufRowOrder(static_cast<int>(tensor.shape[0]) / config_.head_dim, config_.head_dim);
    std::vector<int> order(file_rows.size());
    for (std::size_t r = 0; r < file_rows.size(); ++r)
      order[static_cast<std::size_t>(file_rows[r])] = static_cast<int>(r);
    return order;
  }

  Result<std::vector<std::byte>> Convert(const ModelTensor& tensor, const ModelTensor& padded) {
    ASSIGN_OR_RETURN(const TensorInfo* source, FindTensor(checkpoint_, tensor.role, tensor.layer));
    RETURN_IF_ERROR(CheckShape(*source, tensor.shape));
    return ConvertTensor(*source, RowOrder(tensor), padded, TypeInQuantizedFile(padded, types_));
  }

  const QuantizeOptions& options_;
  MatrixTypes types_;
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
  if (const auto draft_class = DraftClassOf(options.model)) {
    return QuantizeDraft(options, *draft_class, progress);
  }
  ASSIGN_OR_RETURN(const ModelConfig config, LoadModelConfig(options.model));
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(options.model));
  return Quantizer(options, *checkpoint, config).Run(progress);
}

}  // namespace reprise
