// The bytes of a GGUF file before its tensors' contents.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "models/formats/gguf.h"
#include "models/formats/tensor_writer.h"

namespace reprise {

inline constexpr std::size_t kGgufAlignment = 32;  // of every tensor, and of the header's end

std::string GgufHeader(std::span<const TensorSpec> tensors, const GgufFile::Metadata& metadata);

}  // namespace reprise
