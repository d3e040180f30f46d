#include "server/request_id.h"

#include <algorithm>
#include <cstdint>
#include <random>

namespace reprise {
namespace {

constexpr std::size_t kMaxLength = 128;
constexpr int kDigits = 24;

bool IsHarmless(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == ':' || c == '-';
}

}  // namespace

std::string RandomHexId() {
  thread_local std::mt19937_64 generator{(std::uint64_t{std::random_device{}()} << 32) |
                                         std::random_device{}()};
  constexpr char kHex[] = "0123456789abcdef";
  std::string id;
  std::uint64_t bits = 0;
  for (int i = 0; i < kDigits; ++i) {
    if (i % 16 == 0) bits = generator();
    id += kHex[bits & 15];
    bits >>= 4;
  }
  return id;
}

std::string ChooseRequestId(std::string_view sent) {
  const bool usable =
      !sent.empty() && sent.size() <= kMaxLength && std::all_of(sent.begin(), sent.end(), IsHarmless);
  return usable ? std::string(sent) : RandomHexId();
}

}  // namespace reprise
