#include "tests/conformance/decoder/prompt_runner.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "models/config.h"
#include "models/formats/checkpoint.h"

namespace reprise {
namespace {

constexpr int kBlockSize = 16;

}  // namespace

std::vector<float> RunPrompt(Decoder& decoder, Backend& backend, const std::vector<TokenId>& tokens, int rows,
                             int chunk, KvType type) {
  KvGeometry geometry = decoder.kv_geometry();
  geometry.type = type;
  const auto forward = [&](const BatchView& batch, std::span<const KvLayer> kv) {
    return decoder.Forward(batch, kv).logits;
  };
  return RunSteps(forward, geometry, decoder.num_layers(), backend, tokens, rows, chunk);
}

std::vector<float> RunSteps(const ForwardStep& forward, KvGeometry geometry, int num_layers, Backend& backend,
                            const std::vector<TokenId>& tokens, int rows, int chunk) {
  const int length = static_cast<int>(tokens.size());
  const int blocks = (length + kBlockSize - 1) / kBlockSize;
  geometry.num_blocks = 2 * blocks + 1;
  const std::size_t bytes = geometry.block_bytes() * geometry.num_blocks;
  std::vector<std::unique_ptr<DeviceMemory>> memory;
  std::vector<KvLayer> kv;
  const std::vector<std::byte> poison(bytes, std::byte{0xff});
  for (int layer = 0; layer < num_layers; ++layer) {
    KvLayer entry{geometry, nullptr, nullptr};
    for (std::byte** pointer : {&entry.keys, &entry.values}) {
      memory.push_back(std::move(backend.Allocate(bytes)).value());
      backend.Upload(memory.back()->data(), poison.data(), bytes);
      *pointer = static_cast<std::byte*>(memory.back()->data());
    }
    kv.push_back(entry);
  }
  std::vector<BlockId> table(blocks);
  for (int i = 0; i < blocks; ++i) table[i] = 2 * (blocks - i) - 1;  // descending, with holes

  std::vector<float> logits;
  for (int first = 0; first < length; first += chunk) {
    const int count = std::min(chunk, length - first);
    std::vector<int> positions(count), slots(count), wanted;
    for (int i = 0; i < count; ++i) {
      positions[i] = first + i;
      slots[i] = table[(first + i) / kBlockSize] * kBlockSize + (first + i) % kBlockSize;
      if (first + i >= length - rows) wanted.push_back(i);
    }
    const std::vector<int> query_start{0, count}, context{first};
    const int used = (first + count + kBlockSize - 1) / kBlockSize;
    const std::vector<int> block_start{0, used};
    const BatchView batch{std::span(tokens).subspan(first, count),
                          positions,
                          slots,
                          query_start,
                          context,
                          block_start,
                          std::span(table).first(used),
                          wanted};
    const ConstMatrixView output = forward(batch, kv);
    REQUIRE(backend.Synchronize().ok());
    const ConstMatrixView host = backend.ToHost(output);
    for (int r = 0; r < host.rows; ++r) logits.insert(logits.end(), host.row(r), host.row(r) + host.columns);
  }
  return logits;
}

std::vector<float> ModelLogits(const std::string& path, Backend& backend, const std::vector<TokenId>& tokens,
                               int chunk) {
  const auto config = LoadModelConfig(path);
  const auto checkpoint = Checkpoint::Open(path);
  INFO(path << ": " << config.status().ToString() << ", " << checkpoint.status().ToString());
  REQUIRE((config.ok() && checkpoint.ok()));
  const auto decoder = Decoder::Load(**checkpoint, *config, backend, config->max_position);
  INFO(decoder.status().ToString());
  REQUIRE(decoder.ok());
  const int rows = static_cast<int>(tokens.size());
  REQUIRE((*decoder)->Reserve(rows, rows).ok());
  return RunPrompt(**decoder, backend, tokens, rows, chunk > 0 ? chunk : rows, KvType::kF32);
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - b[i]);
    worst = std::max(worst, std::isnan(difference) ? INFINITY : difference);
  }
  return worst;
}

double RelativeDifference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double squares = 0.0, total = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    squares += difference * difference;
    total += static_cast<double>(a[i]) * a[i];
  }
  return std::isnan(squares) ? INFINITY : std::sqrt(squares / total);
}

}  // namespace reprise
