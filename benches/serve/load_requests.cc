#include "benches/serve/load_requests.h"

#include <array>
#include <charconv>
#include <fstream>
#include <random>

namespace reprise::bench {
namespace {

constexpr std::array kWords = {"time", "river",  "small", "garden", "never",  "letter", "under", "music",
                               "old",  "window", "green", "story",  "winter", "road",   "night", "house"};

std::string MakeBody(const RandomWords& words, std::mt19937_64& random) {
  std::string prompt;
  for (int i = 0; i < words.prompt_words; ++i) {
    if (i > 0) prompt += ' ';
    prompt += kWords[random() % kWords.size()];
  }
  return (words.chat ? R"({"messages":[{"role":"user","content":")" + prompt + R"("}])"
                     : R"({"prompt":")" + prompt + '"') +
         R"(,"max_tokens":)" + std::to_string(words.max_tokens) +
         R"(,"temperature":0,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}})";
}

}  // namespace

std::vector<LoadRequest> MakeRequests(const RandomWords& words) {
  std::mt19937_64 random(words.seed);
  std::vector<LoadRequest> requests(static_cast<std::size_t>(words.requests));
  for (LoadRequest& request : requests) request.body = MakeBody(words, random);
  return requests;
}

Result<std::vector<LoadRequest>> ReadRequests(const std::string& path) {
  std::ifstream file(path);
  if (!file) return NotFound("cannot read '" + path + "'");
  std::vector<LoadRequest> requests;
  for (std::string line; std::getline(file, line);) {
    LoadRequest request;
    const char* end = line.data() + line.size();
    const auto [tab, error] = std::from_chars(line.data(), end, request.arrival_seconds);
    if (error != std::errc() || tab == end || *tab != '\t') {
      return InvalidArgument(path + ": line " + std::to_string(requests.size() + 1) +
                             " is not seconds, a tab and a body");
    }
    request.body.assign(tab + 1, end);
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace reprise::bench
