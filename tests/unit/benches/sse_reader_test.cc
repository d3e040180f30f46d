// The load client counts what the daemon sent, wherever the network cut it.
#include "benches/serve/sse_reader.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <string>

namespace reprise::bench {
namespace {

std::string Chunk(const std::string& body) {
  char size[32];
  std::snprintf(size, sizeof(size), "%zx\r\n", body.size());
  return size + body + "\r\n";
}

// Three events with text, one of them cut by a chunk, then usage and the end.
std::string StreamedReply() {
  return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
         Chunk(R"(data: {"choices":[{"delta":{"role":"assistant","content":""}}]})"
               "\n\n") +
         Chunk(R"(data: {"choices":[{"delta":{"content":"a"}}]})"
               "\n\n"
               R"(data: {"choices":[{"tex)") +
         Chunk(R"(t":"b"}]})"
               "\n\n"
               R"(data: {"choices":[{"text":"c"}]})"
               "\n\n") +
         Chunk(R"(data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":12}})"
               "\n\n") +
         Chunk("data: [DONE]\n\n") + Chunk("");
}

TEST_CASE("A streamed reply is read the same in pieces of any size, and the next one after it") {
  const std::string reply = StreamedReply();
  for (std::size_t piece = 1; piece <= reply.size(); ++piece) {
    CAPTURE(piece);
    SseReader reader;
    for (int round = 0; round < 2; ++round) {
      int num_texts = 0;
      for (std::size_t begin = 0; begin < reply.size(); begin += piece) {
        const SseReader::Progress progress = reader.Feed(std::string_view(reply).substr(begin, piece));
        num_texts += progress.num_texts;
        REQUIRE(progress.done == (begin + piece >= reply.size()));
      }
      REQUIRE(num_texts == 3);
      REQUIRE(reader.status() == 200);
      REQUIRE(reader.prompt_tokens() == 7);
      REQUIRE(reader.completion_tokens() == 12);
    }
  }
}

TEST_CASE("A refusal is no stream: its words are kept") {
  SseReader reader;
  CHECK_FALSE(reader.Feed("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 9\r\n\r\nthe que").done);
  CHECK(reader.Feed("ue").done);
  CHECK(reader.status() == 429);
  CHECK(reader.plain_body() == "the queue");
  CHECK(reader.completion_tokens() == 0);
}

}  // namespace
}  // namespace reprise::bench
