#include "benches/serve/sse_reader.h"

#include <charconv>

namespace reprise::bench {
namespace {

// The number that follows `key`, or 0.
int NumberAfter(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return 0;
  text.remove_prefix(at + key.size());
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Whether the string member is there and not empty.
bool HasText(std::string_view event, std::string_view member) {
  const std::size_t at = event.find(member);
  return at != std::string_view::npos && at + member.size() < event.size() &&
         event[at + member.size()] != '"';
}

}  // namespace

SseReader::Progress SseReader::Feed(std::string_view bytes) {
  bytes_ += bytes;
  Progress progress;
  while (!progress.done) {
    if (!in_body_ && !TakeHead()) break;
    if (!chunked_) {
      progress.done = TakePlainBody();
      break;
    }
    if (!TakeChunk(&progress)) break;
  }
  if (progress.done) in_body_ = false;
  return progress;
}

bool SseReader::TakeHead() {
  const std::size_t end = bytes_.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  const std::string_view head(bytes_.data(), end);
  status_ = NumberAfter(head, "HTTP/1.1 ");
  chunked_ = head.find("chunked") != std::string_view::npos;
  body_size_ = static_cast<std::size_t>(NumberAfter(head, "Content-Length: "));
  prompt_tokens_ = completion_tokens_ = 0;
  plain_body_.clear();
  bytes_.erase(0, end + 4);
  in_body_ = true;
  return true;
}

bool SseReader::TakePlainBody() {
  if (bytes_.size() < body_size_) return false;
  plain_body_ = bytes_.substr(0, body_size_);
  bytes_.erase(0, body_size_);
  return true;
}

bool SseReader::TakeChunk(Progress* progress) {
  const std::size_t line_end = bytes_.find("\r\n");
  if (line_end == std::string::npos) return false;
  std::size_t size = 0;
  std::from_chars(bytes_.data(), bytes_.data() + line_end, size, 16);
  const std::size_t begin = line_end + 2;
  if (bytes_.size() < begin + size + 2) return false;
  events_.append(bytes_, begin, size);
  bytes_.erase(0, begin + size + 2);
  TakeEvents(progress);
  progress->done = size == 0;
  return true;
}

void SseReader::TakeEvents(Progress* progress) {
  std::size_t begin = 0;
  for (std::size_t end; (end = events_.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
    TakeEvent(std::string_view(events_).substr(begin, end - begin), progress);
  }
  events_.erase(0, begin);
}

void SseReader::TakeEvent(std::string_view event, Progress* progress) {
  if (HasText(event, "\"text\":\"") || HasText(event, "\"content\":\"")) ++progress->num_texts;
  if (const int tokens = NumberAfter(event, "\"completion_tokens\":"); tokens > 0) {
    completion_tokens_ = tokens;
    prompt_tokens_ = NumberAfter(event, "\"prompt_tokens\":");
  }
}

}  // namespace reprise::bench
