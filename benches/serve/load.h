// Drives a daemon with streaming requests over kept-alive connections, each of which sends its next request
// when the last one has ended.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise::bench {

struct LoadOptions {
  std::string host = "127.0.0.1";
  int port = 8000;
  bool chat = false;  // chat completions instead of completions
  int concurrency = 8;
  int requests_per_stream = 4;
  int prompt_words = 64;
  int max_tokens = 64;
  std::uint64_t seed = 1;  // of the prompts' words: no two prompts begin alike
};

struct LoadResult {
  double seconds = 0;  // from the first request to the last byte
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::vector<double> first_text_seconds;  // per request: sent to first text
  std::vector<double> gap_seconds;         // from one event with text to the next of the same stream
};

// UNAVAILABLE when the daemon cannot be reached or goes away; INTERNAL with its words when it refuses.
Result<LoadResult> RunLoad(const LoadOptions& options);

}  // namespace reprise::bench
