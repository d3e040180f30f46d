#include "tests/conformance/cuda/cuda_legs.h"

#include <catch2/catch.hpp>
#include <utility>

#include "kernels/cuda/cuda_backend.h"
#include "tests/conformance/ops/legs.h"
#include "tests/conformance/ops/op_data.h"

namespace reprise::test {

std::unique_ptr<Backend> MakeCudaLeg(bool draw_tokens) {
  CudaBackendOptions options;
  options.num_threads = 2;
  options.draw_tokens = draw_tokens;
  Result<std::unique_ptr<Backend>> backend = cuda::MakeBackend(options);
  INFO(backend.status().ToString());
  REQUIRE(backend.ok());
  return std::move(backend).value();
}

std::vector<Leg> AttentionLegs(int) {
  std::vector<Leg> legs;
  legs.push_back({"cuda", MakeCudaLeg()});
  return legs;
}
std::vector<int> ThreadCounts() {
  return {2};
}
// Each padded head_dim there is a kernel for but 256, both caches, loads of 16 bytes and of single elements.
std::vector<SceneShape> AttentionShapes() {
  return {{2, 1, 128, 16, KvType::kBF16, 0, false},
          {4, 2, 80, 16, KvType::kF32, 0, true},
          {7, 1, 2, 16, KvType::kF32, 0, false},
          {6, 2, 62, 48, KvType::kBF16, 100, false}};
}

DeviceRows::DeviceRows(Backend* backend, const std::vector<float>& values, int rows, int columns)
    : backend_(*backend), memory_(OnDevice(backend, values)), rows_(rows), columns_(columns) {}

std::vector<float> DeviceRows::Read() const {
  std::vector<float> values(static_cast<std::size_t>(rows_) * columns_);
  backend_.Download(values.data(), memory_->data(), values.size() * sizeof(float));
  REQUIRE(backend_.Synchronize().ok());
  return values;
}

DeviceTokens::DeviceTokens(Backend* backend, const std::vector<TokenId>& tokens)
    : backend_(*backend), memory_(std::move(backend->Allocate(tokens.size() * sizeof(TokenId))).value()) {
  backend->Upload(memory_->data(), tokens.data(), tokens.size() * sizeof(TokenId));
}

std::vector<TokenId> DeviceTokens::Read() const {
  std::vector<TokenId> tokens(memory_->bytes() / sizeof(TokenId));
  backend_.Download(tokens.data(), memory_->data(), memory_->bytes());
  REQUIRE(backend_.Synchronize().ok());
  return tokens;
}

}  // namespace reprise::test
