// One request and its reply, from a handler's point of view. A handler may answer later and from callbacks,
// but only on the network thread; what it says after the client has gone is dropped.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/http/message.h"

namespace reprise {

// The connection below an exchange.
class ReplySink {
 public:
  // Appends to what is to be sent, and starts sending. `last`: the reply is complete.
  virtual void Send(std::string bytes, bool last) = 0;
  // A write is under way; Exchange::NotifyWritable follows.
  virtual bool writing() const = 0;
  virtual bool keep_alive() const = 0;

 protected:
  ~ReplySink() = default;
};

class Exchange {
 public:
  Exchange(HttpRequest request, std::string request_id, ReplySink* sink)
      : request_(std::move(request)), request_id_(std::move(request_id)), sink_(sink) {}

  const HttpRequest& request() const { return request_; }
  HttpRequest& mutable_request() { return request_; }
  const std::string& request_id() const { return request_id_; }
  // Headers that every reply carries, whatever the handler says.
  HttpHeaders& reply_headers() { return reply_headers_; }

  // --- exactly one of
  void Reply(HttpResponse response);
  // Headers now, the body in pieces.
  void BeginStream(HttpResponse head);

  // --- streams
  // A chunk. Large pieces are better than many.
  void Write(std::string_view data);
  void EndStream();
  // Nothing is waiting to be sent: this is the time to write.
  bool writable() const { return sink_ != nullptr && !sink_->writing(); }
  // Called each time it becomes so.
  void OnWritable(std::function<void()> callback) { on_writable_ = std::move(callback); }

  // Called once if the client goes away before the reply is complete.
  void OnClosed(std::function<void()> callback) { on_closed_ = std::move(callback); }
  bool closed() const { return sink_ == nullptr; }
  // What was answered; 0 before that.
  int status() const { return status_; }
  // The client left before it had the whole reply.
  bool client_gone() const { return client_gone_; }

  // --- connection
  void NotifyWritable();
  void NotifyClosed();
  // The reply has been handed over in full: the connection goes on without this exchange.
  void Detach();

 private:
  HttpRequest request_;
  const std::string request_id_;
  ReplySink* sink_;
  HttpHeaders reply_headers_;
  bool chunked_ = false;
  int status_ = 0;
  bool client_gone_ = false;
  std::function<void()> on_writable_;
  std::function<void()> on_closed_;
};

}  // namespace reprise
