// Weights of the reference backend: rows as the file holds them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "kernels/backend.h"

namespace reprise {

class ReferenceWeight final : public Weight {
 public:
  // Copies the sources' rows in packed order; they have passed CheckWeightSources.
  static Result<std::unique_ptr<Weight>> Pack(std::span<const WeightSource> sources);

  std::size_t bytes() const override { return buffer_.size(); }
  std::span<const std::byte> host_bytes() const override { return {buffer_.data(), buffer_.size()}; }
  std::string_view form() const override { return form_; }

  // Expands row `row` to columns() floats.
  void DequantizeRow(int row, float* out) const;

 private:
  struct Part {
    WeightType type;
    int first_row;
    std::size_t offset;
    std::size_t row_bytes;
  };
  ReferenceWeight(std::span<const WeightSource> sources, Buffer buffer);

  std::vector<Part> parts_;  // ascending first_row
  Buffer buffer_;
  std::string form_;  // "Q4_K+Q6_K"
};

}  // namespace reprise
