// Counter-based noise: a pure function of what is drawn, never of batch slot, thread, decoding method or
// time. That is what makes a seeded request repeatable under batching, chunking, preemption and any decoding
// method.
#pragma once

#include <cstdint>

#include "base/types.h"

namespace reprise {

enum class NoiseKind : std::uint32_t {
  kSample = 0,  // the target's draw, residual and bonus tokens, and shared (Gumbel) noise
  kDraft = 1,   // a draft's own draw under the rejection rule
  kAccept = 2,  // the acceptance coin under the rejection rule
};

// Identifies one draw for one choice of one request at one absolute position.
struct NoiseKey {
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;    // index among `n`
  std::uint32_t position = 0;  // absolute position of the token being drawn
  NoiseKind kind = NoiseKind::kSample;
};

// SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014).
inline std::uint64_t MixBits(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// The key reduced to one stream id; hoist it out of loops over the vocabulary.
inline std::uint64_t NoiseStream(const NoiseKey& key) {
  std::uint64_t h = MixBits(key.seed);
  h = MixBits(h ^ ((static_cast<std::uint64_t>(key.choice) << 32) | key.position));
  return MixBits(h ^ (0x51ed27f1ull + static_cast<std::uint64_t>(key.kind)));
}

// How the noise of a token is made from its stream and id; shared with vector code.
inline constexpr std::uint64_t kTokenFactor = 0x2545f4914f6cdd1dull;
inline constexpr int kUniformShift = 41;
inline constexpr float kUniformScale = 1.0f / 8388608.0f;  // 2^-23

// Uniform in the open interval (0, 1) for one token id of the base vocabulary. 23 bits
// and a half: every value is exact in float, and neither end is ever reached.
inline float UniformNoise(std::uint64_t stream, TokenId token) {
  const std::uint64_t bits = MixBits(stream ^ (kTokenFactor * (static_cast<std::uint32_t>(token) + 1ull)));
  return (static_cast<float>(bits >> kUniformShift) + 0.5f) * kUniformScale;
}

// Uniform in [0, 1) for the whole stream, with 53 bits: one draw from a distribution by its cumulative sum,
// or one coin.
inline double UniformNoise(std::uint64_t stream) {
  return static_cast<double>(MixBits(stream) >> 11) * 0x1p-53;
}

// Standard Gumbel noise, -log(-log u).
float GumbelNoise(std::uint64_t stream, TokenId token);

}  // namespace reprise
