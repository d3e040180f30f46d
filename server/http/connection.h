// One client connection: opens its transport, reads requests, hands each to the server, sends its reply, then
// reads the next, so that pipelined requests are answered in order. While a reply is being made it keeps
// reading, to notice when the client goes away.
//
// Network thread only.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "scheduler/request.h"
#include "server/http/exchange.h"
#include "server/http/request_reader.h"
#include "server/options.h"

namespace reprise {

class Connection;

// What a connection needs from its server; outlives it.
struct ConnectionHost {
  HttpLimits limits;
  std::function<void(std::shared_ptr<Exchange>)> handle;
  // A reply has been sent in full, or its client has gone.
  std::function<void(const Exchange&, double seconds)> done;
  std::function<void(const std::shared_ptr<Connection>&)> closed;
  bool draining = false;  // no further request on a connection
};

class Connection : public ReplySink, public std::enable_shared_from_this<Connection> {
 public:
  explicit Connection(ConnectionHost* host) : host_(host), reader_(host->limits) {}
  virtual ~Connection() = default;

  void Start();
  // Ends what has waited too long.
  void CheckDeadline(TimePoint now);
  void Close();

  // ReplySink
  void Send(std::string bytes, bool last) override;
  bool writing() const override { return writing_; }
  bool keep_alive() const override;

 protected:
  // The transport below. Each calls back On... once, with true when the peer has gone; reads go to
  // read_buffer_.
  //
  // Before anything else: whatever the transport needs before the first request. OnOpened, or else one of
  // Close, Refuse and Linger.
  virtual void AsyncOpen() = 0;
  virtual void AsyncRead() = 0;
  virtual void AsyncWrite(const std::string& bytes) = 0;
  // Tells the peer that nothing more will come.
  virtual void ShutdownSend() = 0;
  virtual void CloseStream() = 0;
  // Calls `task` soon, not from within this call.
  virtual void Defer(std::function<void()> task) = 0;

  void OnOpened();
  void OnRead(bool gone, std::size_t bytes);
  void OnWritten(bool gone);
  bool closed() const { return state_ == State::kClosed; }

  // Answers what cannot be read as a request, and ends the connection.
  void Refuse(int status, const std::string& message);
  // Says that nothing more will come, then waits for the client to close: closing first, with bytes of it
  // unread, could destroy what was sent last on its way.
  void Linger();

  std::array<char, 16 * 1024> read_buffer_;

 private:
  enum class State { kOpening, kIdle, kHeader, kBody, kReplying, kLingering, kClosed };

  void Read();
  void Process();
  void BeginExchange();
  void FinishExchange();
  void Flush();
  void Enter(State state);

  ConnectionHost* const host_;
  RequestReader reader_;
  std::string input_;
  State state_ = State::kOpening;
  TimePoint deadline_ = TimePoint::max();

  std::shared_ptr<Exchange> exchange_;  // being answered
  TimePoint exchange_start_{};
  bool reply_complete_ = false;
  bool close_after_reply_ = false;

  bool reading_ = false;
  bool writing_ = false;
  TimePoint write_start_{};
  std::string output_;     // to be sent next
  std::string in_flight_;  // being sent
};

}  // namespace reprise
