#include "server/http/exchange.h"

#include <utility>

namespace reprise {

void Exchange::Reply(HttpResponse response) {
  if (sink_ == nullptr) return;
  status_ = response.status;
  response.headers.insert(response.headers.end(), reply_headers_.begin(), reply_headers_.end());
  const BodyFraming framing = response.status == 204 ? BodyFraming::kNone : BodyFraming::kLength;
  std::string bytes = FormatHead(response, framing, sink_->keep_alive());
  if (request_.method != "HEAD") bytes += response.body;
  sink_->Send(std::move(bytes), /*last=*/true);
}

void Exchange::BeginStream(HttpResponse head) {
  if (sink_ == nullptr) return;
  status_ = head.status;
  head.headers.insert(head.headers.end(), reply_headers_.begin(), reply_headers_.end());
  // HTTP/1.0 has no chunks: the end of the connection ends the body.
  chunked_ = request_.version == 11;
  sink_->Send(FormatHead(head, chunked_ ? BodyFraming::kChunked : BodyFraming::kUntilClose,
                         chunked_ && sink_->keep_alive()),
              /*last=*/false);
}

void Exchange::Write(std::string_view data) {
  if (sink_ == nullptr || data.empty()) return;
  std::string bytes;
  if (chunked_) {
    bytes.reserve(data.size() + 16);
    AppendChunk(data, &bytes);
  } else {
    bytes = data;
  }
  sink_->Send(std::move(bytes), /*last=*/false);
}

void Exchange::EndStream() {
  if (sink_ == nullptr) return;
  sink_->Send(chunked_ ? std::string(kLastChunk) : std::string(), /*last=*/true);
}

void Exchange::NotifyWritable() {
  if (on_writable_) on_writable_();
}

void Exchange::NotifyClosed() {
  client_gone_ = true;
  sink_ = nullptr;
  on_writable_ = nullptr;
  // The callback may hold the last reference to what it is part of.
  if (const auto on_closed = std::exchange(on_closed_, nullptr)) on_closed();
}

void Exchange::Detach() {
  sink_ = nullptr;
  on_writable_ = nullptr;
  on_closed_ = nullptr;
}

}  // namespace reprise
