// Reads the fields of a JSON object into typed values, remembers the first mistake, and refuses what nobody
// asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/json.h"

namespace reprise {

// A null counts as absent. After the first error the rest are no-ops, and Finish returns that error.
class JsonReader {
 public:
  // `path` is what messages put before a field's name: "" or "stream_options.". The object must outlive it.
  JsonReader(const Json& object, std::string path);

  // The value, or nullptr when the field is absent or null.
  const Json* Find(std::string_view name);
  void Read(std::string_view name, std::optional<double>* out);
  void Read(std::string_view name, std::optional<std::int64_t>* out);
  void Read(std::string_view name, std::optional<bool>* out);
  void Read(std::string_view name, std::optional<std::string>* out);
  void Read(std::string_view name, bool* out);
  void Read(std::string_view name, std::vector<std::int64_t>* out);
  void Read(std::string_view name, std::vector<std::string>* out);
  // Known, but of no effect.
  void Accept(std::string_view name) { Find(name); }
  // Known, and refused when present: "'tools' is not supported yet".
  void RefuseUnsupported(std::string_view name);

  void Fail(Status status);
  void FailType(std::string_view name, std::string_view expected, const Json& value);
  bool failed() const { return !status_.ok(); }
  std::string Path(std::string_view name) const { return path_ + std::string(name); }

  // The first error; else the first field that no call above named, with the nearest known name.
  Status Finish() const;

 private:
  const Json& object_;
  const std::string path_;
  std::set<std::string, std::less<>> known_;
  Status status_;
};

// Whole numbers, also when written as 16.0; false when `value` is not one of 64 bits.
bool ToInteger(const Json& value, std::int64_t* out);

}  // namespace reprise
