// Drives a server of OpenAI's API with streaming requests and takes the times a client sees.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"

namespace reprise::bench {

struct LoadRequest {
  double arrival_seconds = 0;  // from the start of the run; only of a paced one
  std::string body;            // JSON, with "stream":true
};

struct LoadOptions {
  std::string host = "127.0.0.1";
  int port = 8000;
  std::string path = "/v1/completions";
  int concurrency = 8;  // connections, each with one request at a time
  // Requests are sent at their arrival, or when a connection is free after it, and wait from their arrival
  // on. Otherwise a connection sends the next one as soon as its last has ended.
  bool paced = false;
  // A new connection for every request, as servers close those that were idle. Otherwise all are kept alive.
  bool reconnect = false;
};

struct LoadResult {
  double seconds = 0;  // from the first request to the last byte
  std::int64_t prompt_tokens = 0;
  std::int64_t completion_tokens = 0;
  std::vector<double> first_text_seconds;  // per request: sent, or arrived, to first text
  std::vector<double> gap_seconds;         // from one event with text to the next of the same stream
};

// UNAVAILABLE when the server cannot be reached or goes away; INTERNAL with its words when it refuses.
Result<LoadResult> RunLoad(const LoadOptions& options, std::span<const LoadRequest> requests);

}  // namespace reprise::bench
