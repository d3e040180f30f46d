// A file of the test's own, gone with it.
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "server/request_id.h"

namespace reprise {

struct TempFile {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("reprise_test_" + RandomHexId())).string();

  explicit TempFile(const std::string& text) { Write(text); }
  ~TempFile() { std::remove(path.c_str()); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  void Write(const std::string& text) const { std::ofstream(path) << text; }
};

}  // namespace reprise
