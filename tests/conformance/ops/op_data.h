// Inputs for op tests: repeatable random numbers and weights in file form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"

namespace reprise::test {

inline constexpr WeightType kAllWeightTypes[] = {WeightType::kF32,  WeightType::kF16,  WeightType::kBF16,
                                                 WeightType::kQ4_0, WeightType::kQ4_1, WeightType::kQ5_0,
                                                 WeightType::kQ5_1, WeightType::kQ8_0, WeightType::kQ4_K,
                                                 WeightType::kQ5_K, WeightType::kQ6_K};

// splitmix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t Next();
  float Uniform();  // [-1, 1)

 private:
  std::uint64_t state_;
};

// Row-major [rows, columns]; a few rows are extreme (all equal, alternating, zero, one outlier), so that
// integer ranges are exhausted.
std::vector<float> RandomRows(int rows, int columns, std::uint64_t seed);

// Of a weight.
struct Shape {
  int rows;
  int columns;
};
// What a test packs of types without blocks, with blocks of 32 columns and of 256.
struct WeightShapes {
  std::vector<Shape> without_blocks, blocks_of_32, blocks_of_256;
  const std::vector<Shape>& Of(WeightType type) const;
};

// Random blocks of a type with scales around 0.01.
std::vector<std::byte> RandomWeight(WeightType type, int rows, int columns, std::uint64_t seed);

std::vector<float> DequantizeAll(WeightType type, const std::vector<std::byte>& data, int rows, int columns);

std::unique_ptr<Weight> Pack(Backend* backend, WeightType type, const std::vector<std::byte>& data,
                             Shape shape);

ConstMatrixView View(const std::vector<float>& data, int rows, int columns);
MatrixView View(std::vector<float>* data, int rows, int columns);

// x [m, columns] times the weight: [m, rows].
std::vector<float> Multiply(Backend* backend, const Weight& weight, const std::vector<float>& x);
// Rows [first, first + count) of x.
std::vector<float> RowsOf(const std::vector<float>& x, int columns, int first, int count);

// The values in memory of the backend's.
std::unique_ptr<DeviceMemory> OnDevice(Backend* backend, const std::vector<float>& values);

// Index of the first element whose bits differ, or -1.
std::ptrdiff_t FirstDifference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace reprise::test
