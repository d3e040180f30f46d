#include "server/server.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/thread_name.h"
#include "engine/engine.h"
#include "server/api_keys.h"
#include "server/grpc/grpc_server.h"
#include "server/http/http_api.h"
#include "server/http/http_server.h"
#include "server/lifecycle.h"
#include "server/metrics/metrics.h"
#include "server/service.h"
#include "server/tls_files.h"

namespace reprise {
namespace {

// How often health is looked at, beside the moments when it is known to change.
constexpr std::chrono::milliseconds kMonitorInterval{200};
// After the last request has ended in the engine: how long its reply may take to leave.
constexpr double kFlushSeconds = 5;

}  // namespace

class Server::Impl {
 public:
  explicit Impl(const ServerOptions& options)
      : lifecycle_(options.stall_seconds), service_(options, &lifecycle_, &metrics_) {}
  ~Impl() { Stop(); }

  Status Start() {
    const ServerOptions& options = service_.options();
    RETURN_IF_ERROR(keys_.Load(options.api_key_file));
    RETURN_IF_ERROR(tls_.Load(options.tls));
    ASSIGN_OR_RETURN(http_, HttpServer::Listen(options.host, options.port, options.limits, &tls_));
    api_ = std::make_unique<HttpApi>(&service_, http_.get(), &keys_);
    http_->Run([this](std::shared_ptr<Exchange> exchange) { api_->Handle(std::move(exchange)); });
    if (options.grpc_port >= 0) {
      ASSIGN_OR_RETURN(grpc_, GrpcServer::Start(&service_, &keys_, &tls_, [this](std::function<void()> task) {
                         http_->Post(std::move(task));
                       }));
    }
    monitor_ = std::thread([this] { Monitor(); });
    return OkStatus();
  }

  void Serve(const Model* model, Engine* engine) {
    engine_ = engine;
    service_.Attach(model, engine);
    UpdateHealth();
  }

  void Fail(const std::string& reason) {
    lifecycle_.Fail(reason);
    UpdateHealth();
  }

  bool Drain(double seconds) {
    const TimePoint deadline =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    // Connections first: whoever reads that we are not ready is told to close as well.
    http_->BeginDrain();
    lifecycle_.BeginDrain();
    UpdateHealth();
    bool all_finished = true;
    if (engine_ != nullptr) {
      engine_->BeginDrain();
      all_finished = engine_->FinishDrain(deadline);
    }
    if (!http_->WaitIdle(kFlushSeconds)) LogWarning("some replies could not be sent before the end");
    return all_finished;
  }

  void Stop() {
    if (std::exchange(stopped_, true)) return;
    {
      const std::lock_guard lock(health_mutex_);
      monitor_stop_ = true;
    }
    monitor_wake_.notify_all();
    if (monitor_.joinable()) monitor_.join();
    // gRPC first: its calls end on the network thread.
    if (grpc_ != nullptr) grpc_->Stop(0.5);
    if (http_ != nullptr) http_->Stop();
  }

  const HttpServer& http() const { return *http_; }
  const GrpcServer* grpc() const { return grpc_.get(); }
  Metrics* metrics() { return &metrics_; }

  Status Reload() {
    const Status keys = keys_.Reload();
    const Status tls = tls_.Reload();
    if (keys.ok() || tls.ok()) return keys.ok() ? tls : keys;
    return Status(keys.code(), keys.message() + "; " + tls.message());
  }

 private:
  // Sees what nobody tells of: an engine that stalls or fails, and one that goes on.
  void Monitor() {
    SetThreadName("monitor");
    std::unique_lock lock(health_mutex_);
    while (!monitor_stop_) {
      UpdateHealthLocked();
      monitor_wake_.wait_for(lock, kMonitorInterval);
    }
  }

  // Brings gRPC's health service in step, and logs when health changes.
  void UpdateHealth() {
    const std::lock_guard lock(health_mutex_);
    UpdateHealthLocked();
  }

  void UpdateHealthLocked() {
    const Status health = lifecycle_.Health();
    if (health.ok() == healthy_) return;
    healthy_ = health.ok();
    if (healthy_) {
      LogInfo("healthy");
    } else {
      LogWarning("not healthy", {{"reason", health.message()}});
    }
    if (grpc_ != nullptr) grpc_->SetServing(healthy_);
  }

  Lifecycle lifecycle_;
  Metrics metrics_;
  Service service_;
  ApiKeys keys_;
  TlsFiles tls_;
  Engine* engine_ = nullptr;
  std::unique_ptr<HttpServer> http_;
  std::unique_ptr<HttpApi> api_;
  std::unique_ptr<GrpcServer> grpc_;
  bool stopped_ = false;

  std::mutex health_mutex_;
  bool healthy_ = false;  // as last published
  std::condition_variable monitor_wake_;
  bool monitor_stop_ = false;
  std::thread monitor_;
};

Result<std::unique_ptr<Server>> Server::Start(const ServerOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

const std::string& Server::http_address() const {
  return impl_->http().address();
}
const std::string& Server::grpc_address() const {
  static const std::string kNone;
  return impl_->grpc() == nullptr ? kNone : impl_->grpc()->address();
}
int Server::http_port() const {
  return impl_->http().port();
}
int Server::grpc_port() const {
  return impl_->grpc() == nullptr ? -1 : impl_->grpc()->port();
}
EngineObserver* Server::observer() {
  return impl_->metrics();
}
void Server::Serve(const Model* model, Engine* engine) {
  impl_->Serve(model, engine);
}
void Server::Fail(const std::string& reason) {
  impl_->Fail(reason);
}
bool Server::Drain(double seconds) {
  return impl_->Drain(seconds);
}
void Server::Stop() {
  impl_->Stop();
}
Status Server::Reload() {
  return impl_->Reload();
}

}  // namespace reprise
