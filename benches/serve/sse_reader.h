// Reads streamed replies off a kept-alive connection: just enough HTTP and JSON to see text go by, so that
// the client costs little beside the daemon it measures.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace reprise::bench {

class SseReader {
 public:
  struct Progress {
    int num_texts = 0;  // events with text in them, in what was fed
    bool done = false;  // a reply has ended
  };

  // Takes bytes as the socket gave them. After the end of a reply the reader is ready for the next one.
  Progress Feed(std::string_view bytes);

  // Of the last reply.
  int status() const { return status_; }
  int prompt_tokens() const { return prompt_tokens_; }           // from its usage
  int completion_tokens() const { return completion_tokens_; }   // from its usage
  const std::string& plain_body() const { return plain_body_; }  // of one that was no stream: an error

 private:
  bool TakeHead();
  bool TakePlainBody();
  // False when no whole chunk is there.
  bool TakeChunk(Progress* progress);
  void TakeEvents(Progress* progress);
  void TakeEvent(std::string_view event, Progress* progress);

  std::string bytes_;   // not taken apart yet
  std::string events_;  // body of the stream: an event that is not complete yet
  bool in_body_ = false;
  bool chunked_ = false;
  std::size_t body_size_ = 0;  // of a plain body

  int status_ = 0;
  int prompt_tokens_ = 0;
  int completion_tokens_ = 0;
  std::string plain_body_;
};

}  // namespace reprise::bench
