#include "compress/slice_model.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "models/formats/gguf.h"
#include "models/formats/output_directory.h"
#include "models/formats/tensor_writer.h"
#include "models/model_tensors.h"
#include "models/sliced_config.h"
#include "models/tokenizer/embedded_tokenizer.h"
#include "models/tokenizer/tokenizer.h"

namespace reprise::compress {
namespace {

namespace fs = std::filesystem;

// With a length of its own.
Result<CalibrationSpec> CalibrationFor(const ModelConfig& config, CalibrationSpec spec) {
  if (spec.samples < 1) return InvalidArgument("--samples must be at least 1");
  if (spec.length == 0) spec.length = std::min(kUsualCalibrationLength, config.max_position);
  if (spec.length >= 1 && spec.length <= config.max_position) return spec;
  return InvalidArgument("--seq-len is " + std::to_string(spec.length) + "; the model's context is " +
                         std::to_string(config.max_position));
}

Result<WeightType> OutputType(const std::string& dtype, const Checkpoint& checkpoint) {
  if (dtype == "f32") return WeightType::kF32;
  if (dtype == "f16") return WeightType::kF16;
  if (dtype == "bf16") return WeightType::kBF16;
  ASSIGN_OR_RETURN(const TensorInfo* embedding, FindTensor(checkpoint, TensorRole::kTokenEmbedding));
  return embedding->type == WeightType::kF32 ? WeightType::kF32 : WeightType::kF16;
}

std::string DtypeName(WeightType type) {
  return type == WeightType::kF32 ? "float32" : type == WeightType::kF16 ? "float16" : "bfloat16";
}

// A vocabulary-only GGUF file: everything that belongs to the tokenizer, as it was.
Status WriteGgufTokenizer(const std::string& model, const OutputDirectory& directory) {
  ASSIGN_OR_RETURN(GgufFile::Metadata metadata, tokenizer::TokenizerMetadata(model));
  metadata.insert({"general.architecture", GgufValue(std::string("tokenizer"))});
  ASSIGN_OR_RETURN(const std::unique_ptr<TensorWriter> writer,
                   TensorWriter::CreateGguf(directory.FilePath("tokenizer.gguf"), {}, metadata));
  return writer->Finish();
}

Status CopyTokenizer(const std::string& model, const OutputDirectory& directory) {
  std::error_code ignored;
  const bool is_directory = fs::is_directory(model, ignored);
  if (!is_directory) {
    ASSIGN_OR_RETURN(const bool is_gguf, IsGguf(model));
    if (is_gguf) return WriteGgufTokenizer(model, directory);
  }
  const fs::path source = is_directory ? fs::path(model) : fs::path(model).parent_path();
  for (const char* name : {"tokenizer.json", "tokenizer.gguf", "tokenizer_config.json",
                           "special_tokens_map.json", "chat_template.jinja", "generation_config.json"}) {
    if (!fs::exists(source / name, ignored)) continue;
    RETURN_IF_ERROR(directory.CopyFile((source / name).string(), name));
  }
  return OkStatus();
}

std::map<std::string, std::string> Provenance(const SliceOptions& options,
                                              const CalibrationSpec& calibration) {
  char sparsity[32];
  std::snprintf(sparsity, sizeof sparsity, "%g", options.schedule.sparsity);
  const bool by_file = !options.schedule.layer_config.empty();
  return {{"method", "SliceGPT"},
          {"widths", by_file ? "layer config" : std::string("sparsity ") + sparsity},
          {"calibration", std::to_string(calibration.samples) + " x " + std::to_string(calibration.length) +
                              " tokens of " + fs::path(calibration.path).filename().string()},
          {"orientation", options.orientation == Orientation::kRandom ? "random" : "pca"},
          {"seed", std::to_string(calibration.seed)}};
}

}  // namespace

Result<SliceSummary> SliceModel(const SliceOptions& options, Backend& backend, SliceProgress progress) {
  ASSIGN_OR_RETURN(const ModelConfig dense, LoadModelConfig(options.model));
  ASSIGN_OR_RETURN(const ModelConfig sliced, SlicedConfig(dense, options.schedule));
  ASSIGN_OR_RETURN(const CalibrationSpec calibration, CalibrationFor(dense, options.calibration));
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(options.model));
  ASSIGN_OR_RETURN(const WeightType type, OutputType(options.dtype, *checkpoint));
  ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::Load(options.model));
  ASSIGN_OR_RETURN(const std::vector<std::vector<TokenId>> sequences,
                   CalibrationSequences(*tokenizer, calibration));
  ASSIGN_OR_RETURN(const std::unique_ptr<OutputDirectory> directory, OutputDirectory::Create(options.out));
  ASSIGN_OR_RETURN(const std::unique_ptr<TensorWriter> writer,
                   TensorWriter::CreateSafetensors(directory->FilePath("model.safetensors"),
                                                   SlicedTensors(sliced, type), {{"format", "pt"}}));
  const SlicerOptions slicer_options{options.orientation, calibration.seed, type};
  Slicer slicer(*checkpoint, dense, sliced, backend, *writer, slicer_options, std::move(progress));
  RETURN_IF_ERROR(slicer.Run(sequences));
  RETURN_IF_ERROR(writer->Finish());
  RETURN_IF_ERROR(CopyTokenizer(options.model, *directory));
  RETURN_IF_ERROR(directory->WriteFile(
      "config.json", SlicedConfigJson(sliced, DtypeName(type), Provenance(options, calibration))));
  RETURN_IF_ERROR(directory->Finish());
  return SliceSummary{NumParameters(dense), NumParameters(sliced)};
}

}  // namespace reprise::compress
