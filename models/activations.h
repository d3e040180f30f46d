// Lays out the float arrays of a step in one piece of device memory.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "base/status.h"
#include "kernels/backend.h"

namespace reprise {

struct ActivationArea {
  float** pointer;  // set to the area's first element, 64-byte aligned
  std::size_t floats;
};

// RESOURCE_EXHAUSTED with the size and `what` they are for.
Result<std::unique_ptr<DeviceMemory>> AllocateActivations(Backend& backend,
                                                          std::span<const ActivationArea> areas,
                                                          std::string_view what);

}  // namespace reprise
