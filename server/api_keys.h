// The keys that clients must show, from a file with one a line.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace reprise {

// Any thread.
class ApiKeys {
 public:
  // An empty path: no keys are needed, ever. Empty lines and lines that begin with # are skipped. NOT_FOUND
  // when the file cannot be read, INVALID_ARGUMENT when it has no key.
  Status Load(const std::string& path);
  // Reads the same file again; on an error the old keys stay.
  Status Reload();

  bool required() const;
  // OK, or UNAUTHENTICATED, for an Authorization header's value ("Bearer KEY"). The time it takes does not
  // depend on how much of a key was right.
  Status Check(std::string_view authorization) const;

 private:
  using Keys = std::vector<std::string>;
  std::shared_ptr<const Keys> keys() const;

  mutable std::mutex mutex_;
  std::string path_;
  std::shared_ptr<const Keys> keys_ = std::make_shared<Keys>();
};

}  // namespace reprise
