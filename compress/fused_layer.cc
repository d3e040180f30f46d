#include "compress/fused_layer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "models/formats/quoted.h"

namespace reprise::compress {
namespace {

// Reads the tensors of one layer.
class Reader {
 public:
  Reader(const Checkpoint& checkpoint, const ModelConfig& config, int layer)
      : checkpoint_(checkpoint), config_(config), layer_(layer) {}

  Result<Linear> Read(TensorRole weight, int rows, int columns) const {
    Linear linear;
    ASSIGN_OR_RETURN(linear.weight, ReadRows(checkpoint_, weight, layer_, rows, columns, 0, rows));
    return linear;
  }
  Result<Linear> ReadBiased(TensorRole weight, TensorRole bias, int rows, int columns) const {
    ASSIGN_OR_RETURN(Linear linear, Read(weight, rows, columns));
    ASSIGN_OR_RETURN(linear.bias, ReadVector(checkpoint_, bias, layer_, rows));
    return linear;
  }

  // Of q or k, whose rows GGUF may have permuted.
  Result<Linear> ReadHeads(TensorRole weight, TensorRole bias, int heads) const {
    const int rows = heads * config_.head_dim;
    ASSIGN_OR_RETURN(Linear stored, config_.attention_bias
                                        ? ReadBiased(weight, bias, rows, config_.hidden_size)
                                        : Read(weight, rows, config_.hidden_size));
    if (!config_.gguf_permuted_qk) return stored;
    const std::vector<int> order = GgufRowOrder(heads, config_.head_dim);
    Linear linear{Matrix(stored.weight.rows(), stored.weight.columns()), stored.bias};
    for (std::size_t r = 0; r < order.size(); ++r) {
      std::copy_n(stored.weight.row(order[r]), stored.weight.columns(),
                  linear.weight.row(static_cast<int>(r)));
      if (!stored.bias.empty()) linear.bias[r] = stored.bias[static_cast<std::size_t>(order[r])];
    }
    return linear;
  }

  Result<std::vector<double>> Vector(TensorRole role, int size) const {
    return ReadVector(checkpoint_, role, layer_, size);
  }

 private:
  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  int layer_;
};

Result<std::vector<float>> FloatVector(const Reader& reader, TensorRole role, int size) {
  ASSIGN_OR_RETURN(const std::vector<double> values, reader.Vector(role, size));
  return std::vector<float>(values.begin(), values.end());
}

Status ReadAttention(const Reader& reader, const ModelConfig& config, FusedLayer* layer) {
  const int width = config.hidden_size;
  const int queries = config.num_heads * config.head_dim;
  const int values = config.num_kv_heads * config.head_dim;
  ASSIGN_OR_RETURN(layer->query,
                   reader.ReadHeads(TensorRole::kQuery, TensorRole::kQueryBias, config.num_heads));
  ASSIGN_OR_RETURN(layer->key, reader.ReadHeads(TensorRole::kKey, TensorRole::kKeyBias, config.num_kv_heads));
  ASSIGN_OR_RETURN(layer->value,
                   config.attention_bias
                       ? reader.ReadBiased(TensorRole::kValue, TensorRole::kValueBias, values, width)
                       : reader.Read(TensorRole::kValue, values, width));
  ASSIGN_OR_RETURN(layer->output, config.attention_output_bias
                                      ? reader.ReadBiased(TensorRole::kAttentionOutput,
                                                          TensorRole::kAttentionOutputBias, width, queries)
                                      : reader.Read(TensorRole::kAttentionOutput, width, queries));
  if (!config.qk_norm) return OkStatus();
  ASSIGN_OR_RETURN(layer->query_norm, FloatVector(reader, TensorRole::kQueryNorm, config.head_dim));
  ASSIGN_OR_RETURN(layer->key_norm, FloatVector(reader, TensorRole::kKeyNorm, config.head_dim));
  return OkStatus();
}

Status ReadMlp(const Reader& reader, const ModelConfig& config, FusedLayer* layer) {
  const int width = config.hidden_size;
  const int inner = config.intermediate_size;
  if (config.gated()) {
    ASSIGN_OR_RETURN(layer->gate, reader.Read(TensorRole::kGate, inner, width));
  }
  ASSIGN_OR_RETURN(layer->up, config.mlp_bias
                                  ? reader.ReadBiased(TensorRole::kUp, TensorRole::kUpBias, inner, width)
                                  : reader.Read(TensorRole::kUp, inner, width));
  ASSIGN_OR_RETURN(layer->down,
                   config.mlp_bias ? reader.ReadBiased(TensorRole::kDown, TensorRole::kDownBias, width, inner)
                                   : reader.Read(TensorRole::kDown, width, inner));
  return OkStatus();
}

struct Norm {
  std::vector<double> scale;
  std::vector<double> offset;  // empty for RMS norms
};

Result<Norm> ReadNorm(const Reader& reader, const ModelConfig& config, TensorRole scale, TensorRole offset) {
  Norm norm;
  ASSIGN_OR_RETURN(norm.scale, reader.Vector(scale, config.hidden_size));
  if (config.norm == NormKind::kLayer) {
    ASSIGN_OR_RETURN(norm.offset, reader.Vector(offset, config.hidden_size));
  }
  return norm;
}

// What is added to the residual stream has no mean over the residual's dimensions.
void RemoveOutputMean(Linear* writer) {
  Matrix& weight = writer->weight;
  std::vector<double> means(static_cast<std::size_t>(weight.columns()));
  for (int r = 0; r < weight.rows(); ++r) {
    for (int c = 0; c < weight.columns(); ++c)
      means[static_cast<std::size_t>(c)] += weight.at(r, c) / weight.rows();
  }
  for (int r = 0; r < weight.rows(); ++r) {
    for (int c = 0; c < weight.columns(); ++c) weight.at(r, c) -= means[static_cast<std::size_t>(c)];
  }
  double mean = 0.0;
  for (const double value : writer->bias) mean += value / static_cast<double>(writer->bias.size());
  for (double& value : writer->bias) value -= mean;
}

Status CheckFinite(const TensorInfo& tensor, std::span<const float> values) {
  if (std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
    return OkStatus();
  }
  return DataLoss("tensor " + Quoted(tensor.name) + " has an element that is not a finite number");
}

}  // namespace

Result<Matrix> ReadRows(const Checkpoint& checkpoint, TensorRole role, int layer, int total_rows, int columns,
                        int first, int rows) {
  ASSIGN_OR_RETURN(const TensorInfo* tensor, FindTensor(checkpoint, role, layer));
  const std::array<std::int64_t, 2> shape{total_rows, columns};
  RETURN_IF_ERROR(CheckShape(*tensor, shape));
  const std::size_t row_bytes = *WeightBytes(tensor->type, columns);
  Matrix out(rows, columns);
  std::vector<float> row(static_cast<std::size_t>(columns));
  for (int r = 0; r < rows; ++r) {
    Dequantize(tensor->type, tensor->data + row_bytes * static_cast<std::size_t>(first + r), columns,
               row.data());
    RETURN_IF_ERROR(CheckFinite(*tensor, row));
    std::copy(row.begin(), row.end(), out.row(r));
  }
  return out;
}

Result<std::vector<double>> ReadVector(const Checkpoint& checkpoint, TensorRole role, int layer, int size) {
  ASSIGN_OR_RETURN(const TensorInfo* tensor, FindTensor(checkpoint, role, layer));
  const std::array<std::int64_t, 1> shape{size};
  RETURN_IF_ERROR(CheckShape(*tensor, shape));
  std::vector<float> values(static_cast<std::size_t>(size));
  Dequantize(tensor->type, tensor->data, size, values.data());
  RETURN_IF_ERROR(CheckFinite(*tensor, values));
  return std::vector<double>(values.begin(), values.end());
}

void FoldNorm(std::span<const double> scale, std::span<const double> offset, Linear* reader) {
  Matrix& weight = reader->weight;
  if (!offset.empty() && reader->bias.empty()) reader->bias.resize(static_cast<std::size_t>(weight.rows()));
  for (int r = 0; r < weight.rows(); ++r) {
    double* row = weight.row(r);
    double shift = 0.0;
    for (std::size_t c = 0; c < offset.size(); ++c) shift += row[c] * offset[c];
    if (!offset.empty()) reader->bias[static_cast<std::size_t>(r)] += shift;
    for (std::size_t c = 0; c < scale.size(); ++c) row[c] *= scale[c];
  }
}

void SubtractRowMeans(Matrix* rows) {
  for (int r = 0; r < rows->rows(); ++r) {
    double mean = 0.0;
    for (int c = 0; c < rows->columns(); ++c) mean += rows->at(r, c) / rows->columns();
    for (int c = 0; c < rows->columns(); ++c) rows->at(r, c) -= mean;
  }
}

Result<FusedLayer> LoadFusedLayer(const Checkpoint& checkpoint, const ModelConfig& config, int layer) {
  const Reader reader(checkpoint, config, layer);
  FusedLayer fused;
  RETURN_IF_ERROR(ReadAttention(reader, config, &fused));
  RETURN_IF_ERROR(ReadMlp(reader, config, &fused));
  ASSIGN_OR_RETURN(const Norm attention,
                   ReadNorm(reader, config, TensorRole::kAttentionNorm, TensorRole::kAttentionNormBias));
  Norm mlp = attention;
  if (!config.parallel_block) {
    ASSIGN_OR_RETURN(mlp, ReadNorm(reader, config, TensorRole::kMlpNorm, TensorRole::kMlpNormBias));
  }
  for (Linear* linear : {&fused.query, &fused.key, &fused.value})
    FoldNorm(attention.scale, attention.offset, linear);
  if (config.gated()) FoldNorm(mlp.scale, mlp.offset, &fused.gate);
  FoldNorm(mlp.scale, mlp.offset, &fused.up);
  if (config.norm == NormKind::kLayer) {
    RemoveOutputMean(&fused.output);
    RemoveOutputMean(&fused.down);
  }
  return fused;
}

}  // namespace reprise::compress
