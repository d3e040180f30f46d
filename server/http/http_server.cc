#include "server/http/http_server.h"

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/thread_name.h"
#include "server/http/error_response.h"
#include "server/http/stream_connection.h"
#include "server/http/tls_connection.h"

namespace reprise {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// How often connections are looked at for timeouts, while there are any.
constexpr std::chrono::milliseconds kSweepInterval{100};
// When accepting fails for want of file descriptors.
constexpr std::chrono::milliseconds kAcceptRetry{100};

std::string FormatAddress(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port());
}

bool IsProbe(const std::string& path) {
  return path == "/health" || path == "/ready" || path == "/live" || path == "/metrics";
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpLimits& limits, const TlsFiles* tls)
      : tls_(*tls), acceptor_(io_), sweep_timer_(io_), accept_timer_(io_) {
    host_.limits = limits;
    host_.done = [this](const Exchange& exchange, double seconds) { OnDone(exchange, seconds); };
    host_.closed = [this](const std::shared_ptr<Connection>& connection) { connections_.erase(connection); };
  }
  ~Impl() { Stop(); }

  Status Listen(const std::string& host, int port) {
    const std::string wanted = host + ":" + std::to_string(port);
    ErrorCode error;
    tcp::resolver resolver(io_);
    const auto found = resolver.resolve(host, std::to_string(port), tcp::resolver::passive, error);
    if (error || found.empty()) {
      return Unavailable("cannot listen on " + wanted + ": '" + host + "' is not an address (" +
                         error.message() + ")");
    }
    const tcp::endpoint endpoint = *found.begin();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
    if (error) return Unavailable("cannot listen on " + wanted + " (HTTP): " + error.message());
    address_ = FormatAddress(acceptor_.local_endpoint());
    port_ = acceptor_.local_endpoint().port();
    return OkStatus();
  }

  void Run(std::function<void(std::shared_ptr<Exchange>)> handler) {
    host_.handle = [this, handler = std::move(handler)](std::shared_ptr<Exchange> exchange) {
      ++num_active_;
      handler(std::move(exchange));
    };
    Accept();
    asio::post(worker_, [] { SetThreadName("http-worker"); });
    thread_ = std::thread([this] {
      SetThreadName("http");
      io_.run();
    });
  }

  void Post(std::function<void()> task) { asio::post(io_, std::move(task)); }
  void PostWork(std::function<void()> task) { asio::post(worker_, std::move(task)); }
  void BeginDrain() {
    Post([this] { host_.draining = true; });
  }

  bool WaitIdle(double seconds) {
    std::unique_lock lock(idle_mutex_);
    return idle_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return num_active_ == 0; });
  }

  void Stop() {
    if (std::exchange(stopped_, true)) return;
    if (thread_.joinable()) {
      std::promise<void> closed;
      Post([&] {
        CloseAll();
        closed.set_value();
      });
      closed.get_future().wait();
    }
    worker_.join();
    // Everything is closed or cancelled: the network thread ends when it has run the last callbacks.
    work_.reset();
    if (thread_.joinable()) thread_.join();
  }

  const std::string& address() const { return address_; }
  int port() const { return port_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](ErrorCode error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (error) {
        accept_timer_.expires_after(kAcceptRetry);
        accept_timer_.async_wait([this](ErrorCode cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      Admit(std::move(socket));
      Accept();
    });
  }

  void Admit(tcp::socket socket) {
    ErrorCode ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const std::shared_ptr<const TlsSet> tls = tls_.current();
    if (connections_.size() >= static_cast<std::size_t>(host_.limits.max_connections)) {
      // Over TLS it could be said only after a handshake: the client just sees the connection closed.
      if (tls == nullptr) RefuseFull(&socket);
      return;
    }
    const std::shared_ptr<Connection> connection =
        tls == nullptr ? std::make_shared<StreamConnection<tcp::socket>>(&host_, std::move(socket))
                       : MakeTlsConnection(std::move(socket), tls->context.get(), &host_);
    const bool first = connections_.empty();
    connections_.insert(connection);
    if (first && !sweeping_) Sweep();
    connection->Start();
  }

  static void RefuseFull(tcp::socket* socket) {
    HttpResponse full = ProtocolError(503, "too many connections");
    full.headers.emplace_back("Retry-After", "1");
    // One attempt, without waiting: the few bytes fit a new socket's buffer.
    ErrorCode ignored;
    socket->non_blocking(true, ignored);
    socket->write_some(asio::buffer(FormatHead(full, BodyFraming::kLength, false) + full.body), ignored);
    socket->shutdown(tcp::socket::shutdown_send, ignored);
  }

  void Sweep() {
    sweeping_ = !connections_.empty();
    if (!sweeping_) return;
    sweep_timer_.expires_after(kSweepInterval);
    sweep_timer_.async_wait([this](ErrorCode cancelled) {
      if (cancelled) return;
      const TimePoint now = Clock::now();
      const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
      for (const auto& connection : all) connection->CheckDeadline(now);
      Sweep();
    });
  }

  void CloseAll() {
    ErrorCode ignored;
    acceptor_.close(ignored);
    accept_timer_.cancel();
    sweep_timer_.cancel();
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const auto& connection : all) connection->Close();
  }

  void OnDone(const Exchange& exchange, double seconds) {
    const HttpRequest& request = exchange.request();
    Log(IsProbe(request.path) ? LogLevel::kDebug : LogLevel::kInfo, "http request",
        {{"method", request.method},
         {"path", request.path},
         {"status", exchange.client_gone() ? 499 : exchange.status()},
         {"seconds", seconds},
         {"request_id", exchange.request_id()}});
    const std::lock_guard lock(idle_mutex_);
    if (--num_active_ == 0) idle_.notify_all();
  }

  const TlsFiles& tls_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  asio::thread_pool worker_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer sweep_timer_;
  asio::steady_timer accept_timer_;
  std::string address_;
  int port_ = 0;
  bool stopped_ = false;

  // Network thread.
  ConnectionHost host_;
  std::unordered_set<std::shared_ptr<Connection>> connections_;
  bool sweeping_ = false;

  std::atomic<int> num_active_{0};
  std::mutex idle_mutex_;
  std::condition_variable idle_;

  std::thread thread_;
};

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const std::string& host, int port,
                                                       const HttpLimits& limits, const TlsFiles* tls) {
  auto impl = std::make_unique<Impl>(limits, tls);
  RETURN_IF_ERROR(impl->Listen(host, port));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

const std::string& HttpServer::address() const {
  return impl_->address();
}
int HttpServer::port() const {
  return impl_->port();
}
void HttpServer::Run(std::function<void(std::shared_ptr<Exchange>)> handler) {
  impl_->Run(std::move(handler));
}
void HttpServer::Post(std::function<void()> task) {
  impl_->Post(std::move(task));
}
void HttpServer::PostWork(std::function<void()> task) {
  impl_->PostWork(std::move(task));
}
void HttpServer::BeginDrain() {
  impl_->BeginDrain();
}
bool HttpServer::WaitIdle(double seconds) {
  return impl_->WaitIdle(seconds);
}
void HttpServer::Stop() {
  impl_->Stop();
}

}  // namespace reprise
