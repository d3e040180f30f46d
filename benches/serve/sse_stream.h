// One streamed request over one connection, fed with whatever the socket gives.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace reprise::bench {

// Takes an HTTP/1.1 response with a chunked body of server-sent events apart, just far enough to see events
// go by. Keeps no text.
class SseStream {
 public:
  struct Progress {
    int num_text_events = 0;  // in this piece
    bool done = false;        // the whole response has been read
  };

  // Bytes as they came. After `done` the stream is ready for the next response.
  Progress Feed(std::string_view bytes);

  int status() const { return status_; }
  int completion_tokens() const { return completion_tokens_; }  // of the last `usage` object
  // The body of a response that is no stream, for an error message.
  const std::string& error_body() const { return error_body_; }

 private:
  enum class State { kHead, kChunkSize, kChunk, kChunkEnd, kPlainBody };

  bool TakeHead(std::string_view* bytes);
  bool TakeLine(std::string_view* bytes);
  void TakeEvents(std::string_view body, Progress* progress);
  void TakeEvent(std::string_view event, Progress* progress);

  State state_ = State::kHead;
  std::string line_;  // head, chunk size or event that is not complete yet
  std::string event_;
  std::size_t left_ = 0;  // of the chunk or the plain body
  int status_ = 0;
  int completion_tokens_ = 0;
  std::string error_body_;
};

}  // namespace reprise::bench
