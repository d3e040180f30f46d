#include "server/http/connection.h"

#include <chrono>
#include <utility>

#include "server/http/error_response.h"
#include "server/request_id.h"

namespace reprise {
namespace {

// How much of the following requests a client may send before it has the reply to this one.
constexpr std::size_t kMaxReadAhead = 64 * 1024;
// After a refused request: how long the client may take to notice.
constexpr double kLingerSeconds = 2;

Clock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

void Connection::Start() {
  Enter(State::kOpening);
  AsyncOpen();
}

void Connection::OnOpened() {
  if (closed()) return;
  Enter(State::kIdle);
  Read();
}

bool Connection::keep_alive() const {
  return !close_after_reply_ && !host_->draining && exchange_ != nullptr && exchange_->request().keep_alive &&
         exchange_->request().version == 11;
}

void Connection::Enter(State state) {
  if (state == state_ && deadline_ != TimePoint::max()) return;
  state_ = state;
  const HttpLimits& limits = host_->limits;
  double seconds = 0;
  switch (state) {
    case State::kIdle:
      seconds = limits.idle_timeout_s;
      break;
    case State::kOpening:
    case State::kHeader:
      seconds = limits.header_timeout_s;
      break;
    case State::kBody:
      seconds = limits.body_timeout_s;
      break;
    case State::kLingering:
      seconds = kLingerSeconds;
      break;
    case State::kReplying:
    case State::kClosed:
      deadline_ = TimePoint::max();
      return;
  }
  deadline_ = Clock::now() + Seconds(seconds);
}

void Connection::CheckDeadline(TimePoint now) {
  if (writing_ && now - write_start_ > Seconds(host_->limits.write_timeout_s)) return Close();
  if (now < deadline_) return;
  switch (state_) {
    case State::kHeader:
      return Refuse(408, "the request's header did not arrive in time");
    case State::kBody:
      return Refuse(408, "the request's body did not arrive in time");
    case State::kIdle:
      return Linger();
    case State::kOpening:
    case State::kLingering:
      return Close();
    case State::kReplying:
    case State::kClosed:
      return;
  }
}

void Connection::Read() {
  if (reading_ || closed()) return;
  if (exchange_ != nullptr && input_.size() >= kMaxReadAhead) return;
  reading_ = true;
  AsyncRead();
}

void Connection::OnRead(bool gone, std::size_t bytes) {
  reading_ = false;
  if (closed()) return;
  if (gone) {
    // A client that has sent all it wants may still be reading a reply that is complete.
    if (exchange_ != nullptr && reply_complete_) {
      close_after_reply_ = true;
      return;
    }
    return Close();
  }
  if (state_ != State::kLingering) {
    input_.append(read_buffer_.data(), bytes);
    Process();
  }
  Read();
}

// Takes requests off the input until one is to be answered or bytes are missing.
void Connection::Process() {
  if (exchange_ != nullptr || state_ == State::kLingering || closed()) return;
  switch (reader_.Feed(&input_)) {
    case RequestReader::Outcome::kExpectContinue:
      Send("HTTP/1.1 100 Continue\r\n\r\n", /*last=*/false);
      [[fallthrough]];
    case RequestReader::Outcome::kNeedMore:
      Enter(!reader_.started() ? State::kIdle : reader_.has_header() ? State::kBody : State::kHeader);
      return;
    case RequestReader::Outcome::kError:
      return Refuse(reader_.error_status(), reader_.error_message());
    case RequestReader::Outcome::kComplete:
      return BeginExchange();
  }
}

void Connection::BeginExchange() {
  HttpRequest request = reader_.Take();
  std::string request_id = ChooseRequestId(request.request_id);
  exchange_ = std::make_shared<Exchange>(std::move(request), std::move(request_id), this);
  exchange_->reply_headers().emplace_back("x-request-id", exchange_->request_id());
  exchange_start_ = Clock::now();
  reply_complete_ = false;
  Enter(State::kReplying);
  host_->handle(exchange_);
}

void Connection::FinishExchange() {
  const bool go_on = keep_alive();
  const std::shared_ptr<Exchange> exchange = std::exchange(exchange_, nullptr);
  exchange->Detach();
  reply_complete_ = false;
  host_->done(*exchange, std::chrono::duration<double>(Clock::now() - exchange_start_).count());
  if (!go_on) return Linger();
  Enter(State::kIdle);
  Defer([self = shared_from_this()] {
    self->Process();
    self->Read();
  });
}

void Connection::Send(std::string bytes, bool last) {
  if (closed()) return;
  if (output_.empty()) {
    output_ = std::move(bytes);
  } else {
    output_ += bytes;
  }
  reply_complete_ |= last;
  Flush();
}

void Connection::Flush() {
  if (writing_) return;
  if (!output_.empty()) {
    in_flight_ = std::exchange(output_, {});
    writing_ = true;
    write_start_ = Clock::now();
    AsyncWrite(in_flight_);
  } else if (reply_complete_) {
    FinishExchange();
  }
}

void Connection::OnWritten(bool gone) {
  writing_ = false;
  if (closed()) return;
  if (gone) return Close();
  if (!output_.empty() || reply_complete_) return Flush();
  if (state_ == State::kLingering) return Linger();
  if (exchange_ != nullptr) exchange_->NotifyWritable();
}

void Connection::Refuse(int status, const std::string& message) {
  HttpResponse response = ProtocolError(status, message);
  state_ = State::kLingering;
  deadline_ = Clock::now() + Seconds(kLingerSeconds);
  Send(FormatHead(response, BodyFraming::kLength, /*keep_alive=*/false) + response.body, /*last=*/false);
}

void Connection::Linger() {
  Enter(State::kLingering);
  ShutdownSend();
  Read();
}

void Connection::Close() {
  if (closed()) return;
  const std::shared_ptr<Connection> self = shared_from_this();
  Enter(State::kClosed);
  CloseStream();
  if (exchange_ != nullptr) {
    const std::shared_ptr<Exchange> exchange = std::exchange(exchange_, nullptr);
    exchange->NotifyClosed();
    host_->done(*exchange, std::chrono::duration<double>(Clock::now() - exchange_start_).count());
  }
  host_->closed(self);
}

}  // namespace reprise
