#include "models/quantize_draft.h"

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "models/draft_checkpoint.h"
#include "models/formats/output_directory.h"
#include "models/formats/tensor_writer.h"
#include "models/tensor_conversion.h"

namespace reprise {
namespace {

namespace fs = std::filesystem;

constexpr char kVocabularyMap[] = "d2t";

GgufFile::Metadata Metadata(DraftClass draft_class) {
  return {{"general.architecture", GgufValue(std::string(DraftArchitecture(draft_class)))},
          {"general.quantization_version", GgufValue(std::int64_t{2})}};
}

// The original's text with its order of keys, but for the type of the floats that are no more.
Result<std::string> ConfigWithoutDtype(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const auto* text = reinterpret_cast<const char*>(file.bytes().data());
  auto config = nlohmann::ordered_json::parse(text, text + file.bytes().size(), nullptr, false);
  if (!config.is_object()) return DataLoss(path + ": is no JSON object");
  config.erase("torch_dtype");
  return config.dump(2) + "\n";
}

class DraftQuantizer {
 public:
  // An empty vocabulary is that of all tokens. Fails where the checkpoint does not hold `tensors`.
  static Result<DraftQuantizer> Create(const Checkpoint& checkpoint, const MatrixTypes& types,
                                       std::vector<ModelTensor> tensors, std::vector<TokenId> vocabulary) {
    DraftQuantizer quantizer(types, std::move(tensors), std::move(vocabulary));
    for (const ModelTensor& tensor : quantizer.tensors_) {
      ASSIGN_OR_RETURN(const TensorInfo* source, FindTensor(checkpoint, tensor.role, tensor.layer));
      RETURN_IF_ERROR(CheckShape(*source, tensor.shape));
      quantizer.sources_.push_back(source);
    }
    return quantizer;
  }

  const std::vector<TensorSpec>& specs() const { return specs_; }

  Status Write(TensorWriter& writer, const std::function<void(double)>& progress) const {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      ASSIGN_OR_RETURN(const std::vector<std::byte> bytes,
                       ConvertTensor(*sources_[i], {}, tensors_[i], specs_[i].type));
      RETURN_IF_ERROR(writer.Write(specs_[i].name, 0, bytes));
      if (progress) progress(static_cast<double>(i + 1) / static_cast<double>(tensors_.size()));
    }
    if (!vocabulary_.empty()) {
      RETURN_IF_ERROR(writer.Write(kVocabularyMap, 0, std::as_bytes(std::span(vocabulary_))));
    }
    return writer.Finish();
  }

  QuantizeSummary Summary() const {
    QuantizeSummary summary;
    for (const TensorSpec& spec : specs_) summary.bytes += spec.bytes();
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      summary.parameters += specs_[i].elements();
      summary.unquantized_matrices += StaysUnquantized(tensors_[i], types_);
    }
    return summary;
  }

 private:
  DraftQuantizer(const MatrixTypes& types, std::vector<ModelTensor> tensors, std::vector<TokenId> vocabulary)
      : types_(types), tensors_(std::move(tensors)), vocabulary_(std::move(vocabulary)) {
    for (const ModelTensor& tensor : tensors_) {
      const std::string name = TensorName(TensorNaming::kGguf, tensor.role, tensor.layer);
      specs_.push_back({name, TypeInQuantizedFile(tensor, types_), tensor.shape});
    }
    if (vocabulary_.empty()) return;
    const auto size = static_cast<std::int64_t>(vocabulary_.size());
    specs_.push_back({kVocabularyMap, WeightType::kF32, {size}, true});
  }

  MatrixTypes types_;
  std::vector<ModelTensor> tensors_;
  std::vector<const TensorInfo*> sources_;  // of each tensor, in the checkpoint
  std::vector<TokenId> vocabulary_;
  std::vector<TensorSpec> specs_;  // of the tensors, then of the vocabulary
};

}  // namespace

Result<QuantizeSummary> QuantizeDraft(const QuantizeOptions& options, DraftClass draft_class,
                                      const std::function<void(double)>& progress) {
  static_assert(sizeof(TokenId) == 4, "the file's I32");
  const fs::path model(options.model);
  ASSIGN_OR_RETURN(const DraftConfig config, LoadDraftConfig(options.model, draft_class));
  ASSIGN_OR_RETURN(const std::string config_text, ConfigWithoutDtype((model / "config.json").string()));
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                   OpenDraftCheckpoint(options.model, draft_class));
  ASSIGN_OR_RETURN(std::vector<TokenId> vocabulary, LoadDraftVocabulary(*checkpoint, config));
  ASSIGN_OR_RETURN(const DraftQuantizer quantizer,
                   DraftQuantizer::Create(*checkpoint, {options.type, options.shortcut_type},
                                          DraftTensors(config, draft_class), std::move(vocabulary)));
  ASSIGN_OR_RETURN(const std::unique_ptr<OutputDirectory> directory, OutputDirectory::Create(options.out));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<TensorWriter> writer,
      TensorWriter::CreateGguf(directory->FilePath(kDraftGguf), quantizer.specs(), Metadata(draft_class)));
  RETURN_IF_ERROR(quantizer.Write(*writer, progress));
  RETURN_IF_ERROR(directory->WriteFile("config.json", config_text));
  const fs::path card = model / "README.md";
  std::error_code ignored;
  if (fs::exists(card, ignored)) RETURN_IF_ERROR(directory->CopyFile(card.string(), "README.md"));
  RETURN_IF_ERROR(directory->Finish());
  return quantizer.Summary();
}

}  // namespace reprise
