// Where optional test data lives: ../shared beside the checkout, or $REPRISE_SHARED. Tests that need it skip,
// and say so, when it is absent.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace reprise {

inline std::string SharedPath(const std::string& relative) {
  const char* root = std::getenv("REPRISE_SHARED");
  return (std::filesystem::path(root != nullptr ? root : "../shared") / relative).string();
}

inline bool HasShared(const std::string& relative) {
  return std::filesystem::exists(SharedPath(relative));
}

}  // namespace reprise
