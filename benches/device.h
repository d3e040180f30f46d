// What a benchmark runs on, by the words of a command line.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace reprise::bench {

// The words that MakeDevice knows.
inline constexpr char kDevices[] = "cpu|cuda:N|reference";

// `threads` of the host; 0: one per core.
Result<std::unique_ptr<Backend>> MakeDevice(const std::string& device, int threads = 0);

// Bytes a second that copies on the device read and write together; 0 where nothing is known.
Result<double> CopyBandwidth(Backend& backend);

}  // namespace reprise::bench
