#include "benches/serve/load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>

#include "benches/serve/sse_reader.h"

namespace reprise::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::array kWords = {"time", "river",  "small", "garden", "never",  "letter", "under", "music",
                               "old",  "window", "green", "story",  "winter", "road",   "night", "house"};

Status SystemError(const std::string& what) {
  return Unavailable(what + ": " + std::strerror(errno));
}

double Seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
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

std::string MakeRequest(const LoadOptions& options, std::mt19937_64& random) {
  std::string prompt;
  for (int i = 0; i < options.prompt_words; ++i) {
    if (i > 0) prompt += ' ';
    prompt += kWords[random() % kWords.size()];
  }
  const std::string body =
      (options.chat ? R"({"messages":[{"role":"user","content":")" + prompt + R"("}])"
                    : R"({"prompt":")" + prompt + '"') +
      R"(,"max_tokens":)" + std::to_string(options.max_tokens) +
      R"(,"temperature":0,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}})";
  return std::string("POST ") + (options.chat ? "/v1/chat/completions" : "/v1/completions") +
         " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

// One connection and the requests it still has to send.
class Stream {
 public:
  Stream(Socket socket, int num_requests) : socket_(std::move(socket)), requests_left_(num_requests) {}

  bool finished() const { return finished_; }
  int fd() const { return socket_.fd(); }

  Status SendNext(const LoadOptions& options, std::mt19937_64& random) {
    if (requests_left_ == 0) {
      finished_ = true;
      return OkStatus();
    }
    --requests_left_;
    const std::string request = MakeRequest(options, random);
    has_text_ = false;
    last_ = Clock::now();
    // Far smaller than a socket's buffer: it goes out whole.
    if (send(fd(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
      return SystemError("cannot send a request");
    }
    return OkStatus();
  }

  // Reads what has come. True when a reply has ended.
  Result<bool> Receive(LoadResult* result) {
    char bytes[16384];
    const ssize_t size = recv(fd(), bytes, sizeof(bytes), 0);
    if (size <= 0) return SystemError("the daemon closed a connection");
    const SseReader::Progress progress = reader_.Feed({bytes, static_cast<std::size_t>(size)});
    if (progress.num_texts > 0) {
      const Clock::time_point now = Clock::now();
      (has_text_ ? result->gap_seconds : result->first_text_seconds).push_back(Seconds(last_, now));
      // Events that came together have no gap between them.
      if (has_text_) result->gap_seconds.resize(result->gap_seconds.size() + progress.num_texts - 1);
      has_text_ = true;
      last_ = now;
    }
    if (!progress.done) return false;
    if (reader_.status() != 200) {
      return Internal("the daemon answered " + std::to_string(reader_.status()) + ": " +
                      reader_.plain_body());
    }
    result->prompt_tokens += reader_.prompt_tokens();
    result->completion_tokens += reader_.completion_tokens();
    return true;
  }

 private:
  Socket socket_;
  SseReader reader_;
  int requests_left_;
  bool finished_ = false;
  bool has_text_ = false;
  Clock::time_point last_{};  // request sent, or last event with text
};

}  // namespace

Result<LoadResult> RunLoad(const LoadOptions& options) {
  std::mt19937_64 random(options.seed);
  std::vector<Stream> streams;
  for (int i = 0; i < options.concurrency; ++i) {
    ASSIGN_OR_RETURN(Socket socket, Connect(options));
    streams.emplace_back(std::move(socket), options.requests_per_stream);
  }
  LoadResult result;
  const Clock::time_point start = Clock::now();
  for (Stream& stream : streams) RETURN_IF_ERROR(stream.SendNext(options, random));
  std::vector<pollfd> polled(streams.size());
  for (;;) {
    bool any = false;
    for (std::size_t i = 0; i < streams.size(); ++i) {
      polled[i] = {streams[i].finished() ? -1 : streams[i].fd(), POLLIN, 0};
      any |= !streams[i].finished();
    }
    if (!any) break;
    if (poll(polled.data(), polled.size(), -1) < 0) return SystemError("cannot wait for sockets");
    for (std::size_t i = 0; i < streams.size(); ++i) {
      if (polled[i].revents == 0) continue;
      ASSIGN_OR_RETURN(const bool ended, streams[i].Receive(&result));
      if (ended) RETURN_IF_ERROR(streams[i].SendNext(options, random));
    }
  }
  result.seconds = Seconds(start, Clock::now());
  return result;
}

}  // namespace reprise::bench
