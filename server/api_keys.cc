#include "server/api_keys.h"

#include <fstream>
#include <utility>

namespace reprise {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

Result<std::vector<std::string>> ReadKeys(const std::string& path) {
  std::ifstream file(path);
  if (!file) return NotFound("cannot read the API key file '" + path + "'", "api_key_file");
  std::vector<std::string> keys;
  for (std::string line; std::getline(file, line);) {
    const std::string_view key = Trim(line);
    if (!key.empty() && key[0] != '#') keys.emplace_back(key);
  }
  if (keys.empty()) {
    return InvalidArgument("the API key file '" + path + "' has no key: one a line is needed",
                           "api_key_file");
  }
  return keys;
}

// Looks at every byte of `sent` whatever it finds, so that the time tells nothing about `key`.
bool EqualInConstantTime(std::string_view sent, std::string_view key) {
  unsigned difference = sent.size() == key.size() ? 0u : 1u;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    difference |= static_cast<unsigned char>(sent[i]) ^ static_cast<unsigned char>(key[i % key.size()]);
  }
  return difference == 0;
}

}  // namespace

Status ApiKeys::Load(const std::string& path) {
  if (path.empty()) return OkStatus();
  ASSIGN_OR_RETURN(Keys keys, ReadKeys(path));
  const std::lock_guard lock(mutex_);
  path_ = path;
  keys_ = std::make_shared<Keys>(std::move(keys));
  return OkStatus();
}

Status ApiKeys::Reload() {
  std::string path;
  {
    const std::lock_guard lock(mutex_);
    path = path_;
  }
  return Load(path);
}

std::shared_ptr<const ApiKeys::Keys> ApiKeys::keys() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

bool ApiKeys::required() const {
  return !keys()->empty();
}

Status ApiKeys::Check(std::string_view authorization) const {
  const std::shared_ptr<const Keys> known = keys();
  if (known->empty()) return OkStatus();
  constexpr std::string_view kScheme = "Bearer ";
  if (!authorization.starts_with(kScheme)) {
    return Status(StatusCode::kUnauthenticated, "an API key is needed: send 'Authorization: Bearer KEY'");
  }
  const std::string_view sent = Trim(authorization.substr(kScheme.size()));
  bool found = false;
  for (const std::string& key : *known) found |= EqualInConstantTime(sent, key);
  if (found) return OkStatus();
  return Status(StatusCode::kUnauthenticated, "the API key is not one of this server's");
}

}  // namespace reprise
