// The network face of the daemon as one object. `reprise serve` uses it like this:
//
//   Server::Start(options)               binds; probes are answered, everything else is 503 "loading"
//   Engine::Create(..., server->observer())
//   server->Serve(model, engine)         ready
//   server->Drain(seconds)               on SIGTERM: takes nothing new, lets what runs finish
//   server->Stop()                       before the engine and the model go
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "server/options.h"

namespace reprise {

class Engine;
class EngineObserver;
class Model;

// Any thread, but one at a time.
class Server {
 public:
  // UNAVAILABLE names an address that cannot be had; NOT_FOUND or INVALID_ARGUMENT a bad file of API keys or
  // for TLS.
  static Result<std::unique_ptr<Server>> Start(const ServerOptions& options);
  ~Server();  // Stop

  // "127.0.0.1:8000", with the ports that were picked; the gRPC one is empty when it is off.
  const std::string& http_address() const;
  const std::string& grpc_address() const;
  int http_port() const;
  int grpc_port() const;  // -1 when off

  // For Engine::Create. Lives as long as the server.
  EngineObserver* observer();

  // The model is loaded. Once; both must outlive Stop.
  void Serve(const Model* model, Engine* engine);
  // Loading failed, or the daemon cannot go on: health and readiness say so.
  void Fail(const std::string& reason);

  // Readiness off at once; in-flight requests may finish for `seconds`, then end with finish_reason "abort".
  // True when none had to.
  bool Drain(double seconds);
  // Closes every connection. Once; the destructor does it too.
  void Stop();

  // Reads the API keys and the files for TLS again (SIGHUP): new requests meet
  // the new keys, new connections the new certificate. What cannot be used leaves the old in place, and the
  // error says why.
  Status Reload();

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reprise
