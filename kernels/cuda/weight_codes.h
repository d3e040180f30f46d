// The codes and scales of quantised weights, out of the files' blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/packed_weight.h"
#include "kernels/weight_type.h"

namespace reprise::cuda {

// 32 consecutive elements: code * scale [+ minimum].
struct CodeGroup {
  std::int8_t codes[kGroupColumns];
  // By the type's ScaleType: kHalf and kHalfPair give the fp16 bits as the file has them, kFloatPair floats.
  std::uint16_t half[2];
  float pair[2];
};

struct CodeFormat {
  WeightForm form;
  ScaleType scale_type;
  int code_offset;  // what is added to a code for storage, so that it is not negative
};

// For the quantised types; for 4-bit types with a scale only, codes are -8..7.
CodeFormat CodeFormatOf(WeightType type);

// Group `group` of a row in file form.
void ReadCodeGroup(WeightType type, const std::byte* row, int group, CodeGroup* out);

}  // namespace reprise::cuda
