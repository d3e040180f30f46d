// The gRPC side of the daemon: reprise.v1.Generation, health and reflection.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "server/api_keys.h"
#include "server/service.h"
#include "server/tls_files.h"

namespace reprise {

class GrpcServer {
 public:
  // Runs a task soon, on one thread for all of them: where replies are put together.
  using Executor = std::function<void(std::function<void()>)>;

  // Binds and serves. All arguments outlive the server; `executor` must run every task before the server is
  // destroyed. UNAVAILABLE names an address that cannot be had.
  static Result<std::unique_ptr<GrpcServer>> Start(Service* service, const ApiKeys* keys, const TlsFiles* tls,
                                                   Executor executor);
  ~GrpcServer();

  const std::string& address() const;
  int port() const;

  // What the health service says. Any thread.
  void SetServing(bool serving);
  // Takes no more calls, waits until those that run have ended, and cancels the rest after `seconds`. Once.
  void Stop(double seconds);

 private:
  class Impl;
  explicit GrpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reprise
