// A directory that appears under its name only when it is complete.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace reprise {

class OutputDirectory {
 public:
  // Makes PATH.partial, replacing what a run that was killed may have left there. FAILED_PRECONDITION when
  // `path` exists already or cannot be made.
  static Result<std::unique_ptr<OutputDirectory>> Create(const std::string& path);
  // Removes what there is unless Finish has succeeded.
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  // The path of a file while it is being made.
  std::string FilePath(std::string_view name) const;
  Status WriteFile(std::string_view name, std::string_view contents) const;
  Status CopyFile(const std::string& source, std::string_view name) const;
  // Gives the directory its name.
  Status Finish();

 private:
  explicit OutputDirectory(std::string path);

  std::string path_;
  std::string partial_;
  bool finished_ = false;
};

}  // namespace reprise
