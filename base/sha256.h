// SHA-256 (FIPS 180-4), to tell one model's weights from another's. Not for secrets: the daemon's TLS uses
// OpenSSL, which a build without the server does not have.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace reprise {

class Sha256 {
 public:
  void Update(std::span<const std::byte> bytes);
  // 64 lower-case hexadecimal digits. Ends the computation.
  std::string HexDigest();

 private:
  void Compress(const std::byte* block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_ = {};
  std::size_t in_block_ = 0;
  std::uint64_t total_ = 0;  // bytes
};

}  // namespace reprise
