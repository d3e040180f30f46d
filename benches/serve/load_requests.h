// What a load is made of: requests of random words, or those of a file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "benches/serve/load.h"

namespace reprise::bench {

struct RandomWords {
  bool chat = false;  // for chat completions instead of completions
  int requests = 32;
  int prompt_words = 64;
  int max_tokens = 64;
  std::uint64_t seed = 1;  // of the words: no two prompts begin alike
};
std::vector<LoadRequest> MakeRequests(const RandomWords& words);

// One request a line: seconds of its arrival, a tab, its body. NOT_FOUND or INVALID_ARGUMENT with the line.
Result<std::vector<LoadRequest>> ReadRequests(const std::string& path);

}  // namespace reprise::bench
