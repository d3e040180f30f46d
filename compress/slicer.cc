#include "compress/slicer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "models/model_tensors.h"

namespace reprise::compress {
namespace {

// Rows of an embedding or head that are turned at a time.
constexpr int kRowsAtOnce = 4096;

TensorNaming NamingFor(Architecture architecture) {
  switch (architecture) {
    case Architecture::kOpt:
      return TensorNaming::kOpt;
    case Architecture::kPhi:
      return TensorNaming::kPhi;
    default:
      return TensorNaming::kHuggingFace;
  }
}

std::span<const std::byte> Bytes(const std::vector<float>& values) {
  return std::as_bytes(std::span(values));
}

Status CheckTokens(std::span<const std::vector<TokenId>> sequences, int vocab_size) {
  for (const std::vector<TokenId>& sequence : sequences) {
    for (const TokenId id : sequence) {
      if (id < 0 || id >= vocab_size) {
        return InvalidArgument("the calibration text has token " + std::to_string(id) +
                               ", but the model's vocabulary has " + std::to_string(vocab_size));
      }
    }
  }
  return OkStatus();
}

}  // namespace

std::vector<TensorSpec> SlicedTensors(const ModelConfig& sliced, WeightType type) {
  const TensorNaming naming = NamingFor(sliced.architecture);
  std::vector<TensorSpec> specs;
  for (const ModelTensor& tensor : ModelTensors(sliced)) {
    const bool exact = !tensor.is_matrix() || IsRotation(tensor.role);
    specs.push_back(
        {TensorName(naming, tensor.role, tensor.layer), exact ? WeightType::kF32 : type, tensor.shape});
  }
  return specs;
}

Slicer::Slicer(const Checkpoint& checkpoint, const ModelConfig& dense, const ModelConfig& sliced,
               Backend& backend, TensorWriter& writer, const SlicerOptions& options, SliceProgress progress)
    : checkpoint_(checkpoint),
      dense_(dense),
      sliced_(sliced),
      backend_(backend),
      writer_(writer),
      options_(options),
      progress_(std::move(progress)) {}

Status Slicer::Run(std::span<const std::vector<TokenId>> sequences) {
  RETURN_IF_ERROR(CheckTokens(sequences, dense_.vocab_size));
  RETURN_IF_ERROR(LoadSignal(sequences));
  ASSIGN_OR_RETURN(runner_, LayerRunner::Create(dense_, backend_, length_));
  ASSIGN_OR_RETURN(
      rotation_, NextRotation("embedding", sliced_.embedding_width(), [](MatrixView) { return OkStatus(); }));
  RETURN_IF_ERROR(WriteEmbedding());
  for (int layer = 0; layer < dense_.num_layers; ++layer) {
    RETURN_IF_ERROR(dense_.parallel_block ? SliceParallel(layer) : SliceSequential(layer));
    checkpoint_.ReleasePages();
  }
  return WriteHead();
}

std::string Slicer::Name(TensorRole role, int layer) const {
  return TensorName(NamingFor(sliced_.architecture), role, layer);
}

MatrixView Slicer::Signal(int sequence) const {
  const int width = dense_.hidden_size;
  const std::size_t floats = static_cast<std::size_t>(length_) * width;
  return {signal_.as<float>() + static_cast<std::size_t>(sequence) * floats, length_, width, width};
}

void Slicer::Report(std::string_view stage, double passes) {
  const int half_layers = dense_.num_layers * (dense_.parallel_block ? 1 : 2);
  if (progress_) progress_(stage, std::min(1.0, passes / half_layers));
}

// What the first layer reads: embeddings, of layer norm models without their mean.
Status Slicer::LoadSignal(std::span<const std::vector<TokenId>> sequences) {
  sequences_ = static_cast<int>(sequences.size());
  length_ = static_cast<int>(sequences.front().size());
  const int width = dense_.hidden_size;
  const std::size_t rows = static_cast<std::size_t>(sequences_) * static_cast<std::size_t>(length_);
  ASSIGN_OR_RETURN(signal_, Buffer::Allocate(rows * static_cast<std::size_t>(width) * sizeof(float)));
  const bool centred = dense_.norm == NormKind::kLayer;
  for (int s = 0; s < sequences_; ++s) {
    for (int t = 0; t < length_; ++t) {
      ASSIGN_OR_RETURN(Matrix row,
                       ReadRows(checkpoint_, TensorRole::kTokenEmbedding, 0, dense_.vocab_size, width,
                                sequences[static_cast<std::size_t>(s)][static_cast<std::size_t>(t)], 1));
      if (dense_.learned_positions) {
        ASSIGN_OR_RETURN(const Matrix position,
                         ReadRows(checkpoint_, TensorRole::kPositionEmbedding, 0, dense_.position_rows(),
                                  width, t + ModelConfig::kPositionOffset, 1));
        for (int c = 0; c < width; ++c) row.at(0, c) += position.at(0, c);
      }
      if (centred) SubtractRowMeans(&row);
      std::copy_n(row.row(0), width, Signal(s).row(t));
    }
  }
  return OkStatus();
}

Result<Matrix> Slicer::NextRotation(std::string_view stage, int kept,
                                    const std::function<Status(MatrixView)>& step) {
  Covariance covariance(dense_.hidden_size);
  const bool counts = stage != "embedding";
  for (int s = 0; s < sequences_; ++s) {
    RETURN_IF_ERROR(step(Signal(s)));
    covariance.Add(backend_, Signal(s));
    if (counts) Report(stage, passes_ + (s + 1.0) / sequences_);
  }
  if (counts) passes_ += 1.0;
  return PrincipalRotation(backend_, covariance.Take(),
                           {kept, options_.orientation, options_.seed, rotations_++});
}

Status Slicer::WriteEmbedding() {
  RETURN_IF_ERROR(WriteTable(TensorRole::kTokenEmbedding, dense_.vocab_size));
  if (dense_.learned_positions) {
    RETURN_IF_ERROR(WriteTable(TensorRole::kPositionEmbedding, dense_.position_rows()));
  }
  return WriteMatrix(TensorRole::kInputRotation, 0, rotation_.FirstColumns(sliced_.embedding_width()),
                     WeightType::kF32)
      .status();
}

// E Q, a part at a time.
Status Slicer::WriteTable(TensorRole role, int rows) {
  const Matrix basis = rotation_.FirstColumns(sliced_.embedding_width());
  const std::string name = Name(role, 0);
  std::size_t offset = 0;
  for (int first = 0; first < rows; first += kRowsAtOnce) {
    ASSIGN_OR_RETURN(Matrix part, ReadRows(checkpoint_, role, 0, rows, dense_.hidden_size, first,
                                           std::min(kRowsAtOnce, rows - first)));
    if (dense_.norm == NormKind::kLayer) SubtractRowMeans(&part);
    ASSIGN_OR_RETURN(const StoredMatrix stored,
                     Store(Product(backend_, part, Transpose::kNo, basis), options_.type, name));
    RETURN_IF_ERROR(writer_.Write(name, offset, stored.bytes));
    offset += stored.bytes.size();
  }
  return OkStatus();
}

Result<StoredMatrix> Slicer::WriteMatrix(TensorRole role, int layer, const Matrix& matrix, WeightType type) {
  const std::string name = Name(role, layer);
  ASSIGN_OR_RETURN(StoredMatrix stored, Store(matrix, type, name));
  RETURN_IF_ERROR(writer_.Write(name, 0, stored.bytes));
  return stored;
}

Status Slicer::WriteVector(TensorRole role, int layer, std::span<const double> values) {
  const std::vector<float> floats(values.begin(), values.end());
  return writer_.Write(Name(role, layer), 0, Bytes(floats));
}

Result<std::vector<StoredMatrix>> Slicer::WriteReaders(int layer, int kept,
                                                       std::span<const RotatedReader> readers) {
  const Matrix basis = rotation_.FirstColumns(kept);
  std::vector<StoredMatrix> stored;
  for (const RotatedReader& reader : readers) {
    const Matrix turned = Product(backend_, reader.linear->weight, Transpose::kNo, basis);
    ASSIGN_OR_RETURN(StoredMatrix matrix, WriteMatrix(reader.weight, layer, turned, options_.type));
    stored.push_back(std::move(matrix));
    if (reader.linear->bias.empty()) continue;
    RETURN_IF_ERROR(WriteVector(reader.bias, layer, reader.linear->bias));
  }
  return stored;
}

Status Slicer::WriteWriter(int layer, const RotatedReader& writer, const Matrix& next, int kept) {
  const Matrix basis = next.FirstColumns(kept);
  const Matrix turned = Product(backend_, basis, Transpose::kYes, writer.linear->weight);
  RETURN_IF_ERROR(WriteMatrix(writer.weight, layer, turned, options_.type).status());
  const std::vector<double>& bias = writer.linear->bias;
  if (bias.empty()) return OkStatus();
  std::vector<double> turned_bias(static_cast<std::size_t>(kept));
  for (std::size_t r = 0; r < bias.size(); ++r) {
    for (int c = 0; c < kept; ++c)
      turned_bias[static_cast<std::size_t>(c)] += basis.at(static_cast<int>(r), c) * bias[r];
  }
  return WriteVector(writer.bias, layer, turned_bias);
}

Status Slicer::WriteShortcut(TensorRole role, int layer, const Matrix& from, int from_kept, const Matrix& to,
                             int to_kept) {
  const Matrix shortcut =
      Product(backend_, to.FirstColumns(to_kept), Transpose::kYes, from.FirstColumns(from_kept));
  return WriteMatrix(role, layer, shortcut, options_.type).status();
}

Status Slicer::WriteAttentionNorms(int layer, const FusedLayer& fused) {
  if (fused.query_norm.empty()) return OkStatus();
  RETURN_IF_ERROR(writer_.Write(Name(TensorRole::kQueryNorm, layer), 0, Bytes(fused.query_norm)));
  return writer_.Write(Name(TensorRole::kKeyNorm, layer), 0, Bytes(fused.key_norm));
}

Status Slicer::SliceSequential(int layer) {
  const LayerWidths widths = sliced_.layer_widths(layer);
  ASSIGN_OR_RETURN(const FusedLayer fused, LoadFusedLayer(checkpoint_, dense_, layer));
  const std::string stage = "layer " + std::to_string(layer + 1) + " of " + std::to_string(dense_.num_layers);

  const RotatedReader qkv[] = {{TensorRole::kQuery, TensorRole::kQueryBias, &fused.query},
                               {TensorRole::kKey, TensorRole::kKeyBias, &fused.key},
                               {TensorRole::kValue, TensorRole::kValueBias, &fused.value}};
  ASSIGN_OR_RETURN(const std::vector<StoredMatrix> stored_qkv, WriteReaders(layer, widths.in, qkv));
  RETURN_IF_ERROR(WriteAttentionNorms(layer, fused));
  RETURN_IF_ERROR(runner_->SetAttention({&rotation_, widths.in}, stored_qkv, fused));
  ASSIGN_OR_RETURN(Matrix middle, NextRotation(stage + ", attention", widths.mid,
                                               [&](MatrixView x) { return runner_->Attend(x); }));
  RETURN_IF_ERROR(WriteWriter(layer,
                              {TensorRole::kAttentionOutput, TensorRole::kAttentionOutputBias, &fused.output},
                              middle, widths.mid));
  RETURN_IF_ERROR(
      WriteShortcut(TensorRole::kAttentionShortcut, layer, rotation_, widths.in, middle, widths.mid));
  rotation_ = std::move(middle);

  std::vector<RotatedReader> gate_up;
  if (dense_.gated()) gate_up.push_back({TensorRole::kGate, TensorRole::kUpBias, &fused.gate});
  gate_up.push_back({TensorRole::kUp, TensorRole::kUpBias, &fused.up});
  ASSIGN_OR_RETURN(const std::vector<StoredMatrix> stored_up, WriteReaders(layer, widths.mid, gate_up));
  RETURN_IF_ERROR(runner_->SetMlp({&rotation_, widths.mid}, stored_up, fused));
  ASSIGN_OR_RETURN(Matrix next,
                   NextRotation(stage + ", MLP", widths.out, [&](MatrixView x) { return runner_->Mlp(x); }));
  RETURN_IF_ERROR(
      WriteWriter(layer, {TensorRole::kDown, TensorRole::kDownBias, &fused.down}, next, widths.out));
  RETURN_IF_ERROR(WriteShortcut(TensorRole::kMlpShortcut, layer, rotation_, widths.mid, next, widths.out));
  rotation_ = std::move(next);
  return OkStatus();
}

Status Slicer::SliceParallel(int layer) {
  const LayerWidths widths = sliced_.layer_widths(layer);
  ASSIGN_OR_RETURN(const FusedLayer fused, LoadFusedLayer(checkpoint_, dense_, layer));
  const RotatedReader readers[] = {{TensorRole::kQuery, TensorRole::kQueryBias, &fused.query},
                                   {TensorRole::kKey, TensorRole::kKeyBias, &fused.key},
                                   {TensorRole::kValue, TensorRole::kValueBias, &fused.value},
                                   {TensorRole::kUp, TensorRole::kUpBias, &fused.up}};
  ASSIGN_OR_RETURN(const std::vector<StoredMatrix> stored, WriteReaders(layer, widths.in, readers));
  RETURN_IF_ERROR(WriteAttentionNorms(layer, fused));
  const std::span<const StoredMatrix> matrices(stored);
  RETURN_IF_ERROR(runner_->SetAttention({&rotation_, widths.in}, matrices.first(3), fused));
  RETURN_IF_ERROR(runner_->SetMlp({&rotation_, widths.in}, matrices.subspan(3), fused));
  const std::string stage = "layer " + std::to_string(layer + 1) + " of " + std::to_string(dense_.num_layers);
  ASSIGN_OR_RETURN(Matrix next,
                   NextRotation(stage, widths.out, [&](MatrixView x) { return runner_->Parallel(x); }));
  RETURN_IF_ERROR(WriteWriter(layer,
                              {TensorRole::kAttentionOutput, TensorRole::kAttentionOutputBias, &fused.output},
                              next, widths.out));
  RETURN_IF_ERROR(
      WriteWriter(layer, {TensorRole::kDown, TensorRole::kDownBias, &fused.down}, next, widths.out));
  RETURN_IF_ERROR(
      WriteShortcut(TensorRole::kAttentionShortcut, layer, rotation_, widths.in, next, widths.out));
  rotation_ = std::move(next);
  return OkStatus();
}

// The final norm goes into the head, which leaves the last basis; an offset makes a bias.
Status Slicer::WriteHead() {
  Report("head", passes_);
  const int width = dense_.hidden_size;
  ASSIGN_OR_RETURN(const std::vector<double> scale,
                   ReadVector(checkpoint_, TensorRole::kFinalNorm, 0, width));
  std::vector<double> offset, bias(static_cast<std::size_t>(dense_.vocab_size));
  if (dense_.norm == NormKind::kLayer) {
    ASSIGN_OR_RETURN(offset, ReadVector(checkpoint_, TensorRole::kFinalNormBias, 0, width));
  }
  if (dense_.head_bias) {
    ASSIGN_OR_RETURN(bias, ReadVector(checkpoint_, TensorRole::kHeadBias, 0, dense_.vocab_size));
  }
  const TensorRole source = dense_.tie_embeddings ? TensorRole::kTokenEmbedding : TensorRole::kHead;
  const std::string name = Name(TensorRole::kHead, 0);
  const Matrix basis = rotation_.FirstColumns(sliced_.hidden_size);
  std::size_t written = 0;
  for (int first = 0; first < dense_.vocab_size; first += kRowsAtOnce) {
    const int rows = std::min(kRowsAtOnce, dense_.vocab_size - first);
    const auto part_bias = bias.begin() + first;
    Linear part{{}, {part_bias, part_bias + rows}};
    ASSIGN_OR_RETURN(part.weight, ReadRows(checkpoint_, source, 0, dense_.vocab_size, width, first, rows));
    FoldNorm(scale, offset, &part);
    std::copy(part.bias.begin(), part.bias.end(), part_bias);
    ASSIGN_OR_RETURN(const StoredMatrix stored,
                     Store(Product(backend_, part.weight, Transpose::kNo, basis), options_.type, name));
    RETURN_IF_ERROR(writer_.Write(name, written, stored.bytes));
    written += stored.bytes.size();
  }
  if (sliced_.head_bias) RETURN_IF_ERROR(WriteVector(TensorRole::kHeadBias, 0, bias));
  return WriteMatrix(TensorRole::kOutputRotation, 0, basis, WeightType::kF32).status();
}

}  // namespace reprise::compress
