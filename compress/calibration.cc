#include "compress/calibration.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/noise.h"
#include "models/formats/text_corpus.h"

namespace reprise::compress {

Result<std::vector<std::vector<TokenId>>> CalibrationSequences(const Tokenizer& tokenizer,
                                                               const CalibrationSpec& spec) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextCorpus(spec.path));
  ASSIGN_OR_RETURN(const std::vector<TokenId> tokens, tokenizer.Encode(text));
  const auto length = static_cast<std::size_t>(spec.length);
  const auto samples = static_cast<std::size_t>(spec.samples);
  std::vector<std::size_t> windows(tokens.size() / length);
  if (windows.size() < samples) {
    return InvalidArgument(spec.path + " has " + std::to_string(tokens.size()) + " tokens, enough for " +
                           std::to_string(windows.size()) + " sequences of " + std::to_string(length) + "; " +
                           std::to_string(samples) + " are wanted (--samples, --seq-len)");
  }
  std::iota(windows.begin(), windows.end(), std::size_t{0});
  // The first `samples` steps of a Fisher-Yates shuffle.
  for (std::size_t i = 0; i < samples; ++i) {
    const std::uint64_t noise = MixBits(MixBits(spec.seed) ^ i);
    std::swap(windows[i], windows[i + noise % (windows.size() - i)]);
  }
  windows.resize(samples);
  std::sort(windows.begin(), windows.end());
  std::vector<std::vector<TokenId>> sequences;
  for (const std::size_t window : windows) {
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(window * length);
    sequences.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(length));
  }
  return sequences;
}

}  // namespace reprise::compress
