#include "models/activations.h"

#include <string>

#include "base/text.h"

namespace reprise {
namespace {

std::size_t Aligned(std::size_t floats) {
  constexpr std::size_t kAlign = 16;  // floats in 64 bytes
  return (floats + kAlign - 1) / kAlign * kAlign;
}

}  // namespace

Result<std::unique_ptr<DeviceMemory>> AllocateActivations(Backend& backend,
                                                          std::span<const ActivationArea> areas,
                                                          std::string_view what) {
  std::size_t total = 0;
  for (const ActivationArea& area : areas) total += Aligned(area.floats);
  auto memory = backend.Allocate(total * sizeof(float));
  if (!memory.ok()) {
    return ResourceExhausted("cannot allocate " + FormatBytes(total * sizeof(float)) + " of " +
                             std::string(what) + ": " + memory.status().message());
  }
  auto* next = static_cast<float*>((*memory)->data());
  for (const ActivationArea& area : areas) {
    *area.pointer = next;
    next += Aligned(area.floats);
  }
  return memory;
}

}  // namespace reprise
