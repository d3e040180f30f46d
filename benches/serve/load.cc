#include "benches/serve/load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "benches/serve/sse_reader.h"

namespace reprise::bench {
namespace {

using Clock = std::chrono::steady_clock;

Status SystemError(const std::string& what) {
  return Unavailable(what + ": " + std::strerror(errno));
}

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

Result<Socket> Connect(const LoadOptions& options) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(options.port));
  if (inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1) {
    return InvalidArgument("'" + options.host + "' is not an IPv4 address");
  }
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return SystemError("no socket");
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return SystemError("cannot connect to " + options.host + ":" + std::to_string(options.port));
  }
  const int on = 1;
  setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return socket;
}

// One connection, and the request that is on it.
class Stream {
 public:
  bool busy() const { return busy_; }
  int fd() const { return socket_.fd(); }

  // `since`: what the client waits from.
  Status Send(const LoadOptions& options, const LoadRequest& request, Clock::time_point since) {
    if (fd() < 0 || options.reconnect) {
      ASSIGN_OR_RETURN(socket_, Connect(options));
      reader_ = SseReader();
    }
    busy_ = true;
    has_text_ = false;
    last_ = since;
    const std::string message =
        "POST " + options.path + " HTTP/1.1\r\nHost: bench\r\n" +
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(request.body.size()) +
        "\r\n\r\n" + request.body;
    for (std::string_view left = message; !left.empty();) {
      const ssize_t sent = send(fd(), left.data(), left.size(), MSG_NOSIGNAL);
      if (sent <= 0) return SystemError("cannot send a request");
      left.remove_prefix(static_cast<std::size_t>(sent));
    }
    return OkStatus();
  }

  // Reads what has come.
  Status Receive(LoadResult* result) {
    char bytes[16384];
    const ssize_t size = recv(fd(), bytes, sizeof(bytes), 0);
    if (size <= 0) return SystemError("the server closed a connection");
    const SseReader::Progress progress = reader_.Feed({bytes, static_cast<std::size_t>(size)});
    if (progress.num_texts > 0) {
      const Clock::time_point now = Clock::now();
      (has_text_ ? result->gap_seconds : result->first_text_seconds).push_back(Seconds(last_, now));
      // Events that came together have no gap between them.
      if (has_text_) result->gap_seconds.resize(result->gap_seconds.size() + progress.num_texts - 1);
      has_text_ = true;
      last_ = now;
    }
    if (!progress.done) return OkStatus();
    if (reader_.status() != 200) {
      return Internal("the server answered " + std::to_string(reader_.status()) + ": " +
                      reader_.plain_body());
    }
    result->prompt_tokens += reader_.prompt_tokens();
    result->completion_tokens += reader_.completion_tokens();
    busy_ = false;
    return OkStatus();
  }

 private:
  Socket socket_;
  SseReader reader_;
  bool busy_ = false;
  bool has_text_ = false;
  Clock::time_point last_{};  // request sent or arrived, or last event with text
};

class Load {
 public:
  Load(const LoadOptions& options, std::span<const LoadRequest> requests)
      : options_(options), left_(requests), streams_(static_cast<std::size_t>(options.concurrency)) {}

  Result<LoadResult> Run() {
    start_ = Clock::now();
    for (;;) {
      RETURN_IF_ERROR(SendWaiting());
      const bool busy =
          std::any_of(streams_.begin(), streams_.end(), [](const Stream& s) { return s.busy(); });
      if (!busy && left_.empty()) break;
      RETURN_IF_ERROR(ReceiveSome());
    }
    result_.seconds = Seconds(start_, Clock::now());
    return std::move(result_);
  }

 private:
  Clock::time_point Arrival(const LoadRequest& request) const {
    return start_ + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(request.arrival_seconds));
  }

  // On the connections that are free.
  Status SendWaiting() {
    for (Stream& stream : streams_) {
      if (stream.busy()) continue;
      const Clock::time_point now = Clock::now();
      if (left_.empty() || (options_.paced && Arrival(left_.front()) > now)) break;
      RETURN_IF_ERROR(stream.Send(options_, left_.front(), options_.paced ? Arrival(left_.front()) : now));
      left_ = left_.subspan(1);
    }
    return OkStatus();
  }

  // Waits for news, but not beyond the next arrival.
  Status ReceiveSome() {
    std::vector<pollfd> polled;
    for (const Stream& stream : streams_) polled.push_back({stream.busy() ? stream.fd() : -1, POLLIN, 0});
    const bool any_free =
        std::any_of(streams_.begin(), streams_.end(), [](const Stream& s) { return !s.busy(); });
    int timeout_ms = -1;
    if (options_.paced && any_free && !left_.empty()) {
      const double seconds = Seconds(Clock::now(), Arrival(left_.front()));
      timeout_ms = static_cast<int>(std::ceil(1e3 * std::max(0.0, seconds)));
    }
    if (poll(polled.data(), polled.size(), timeout_ms) < 0) return SystemError("cannot wait for sockets");
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      if (polled[i].revents != 0) RETURN_IF_ERROR(streams_[i].Receive(&result_));
    }
    return OkStatus();
  }

  const LoadOptions& options_;
  std::span<const LoadRequest> left_;  // not sent yet
  std::vector<Stream> streams_;
  Clock::time_point start_;
  LoadResult result_;
};

}  // namespace

Result<LoadResult> RunLoad(const LoadOptions& options, std::span<const LoadRequest> requests) {
  return Load(options, requests).Run();
}

}  // namespace reprise::bench
