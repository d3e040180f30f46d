// Listens, accepts and owns the connections, on one network thread; a second thread takes work that would
// hold that one up.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "server/http/exchange.h"
#include "server/options.h"
#include "server/tls_files.h"

namespace reprise {

class HttpServer {
 public:
  // Binds and listens; nothing is accepted before Run. UNAVAILABLE names the address and what the system
  // said. `tls` outlives the server: each connection is opened with what it holds then.
  static Result<std::unique_ptr<HttpServer>> Listen(const std::string& host, int port,
                                                    const HttpLimits& limits, const TlsFiles* tls);
  ~HttpServer();

  // "127.0.0.1:8000", with the port that was picked for 0.
  const std::string& address() const;
  int port() const;

  // Starts the threads. `handler` is called on the network thread for each request; it must answer it, now or
  // later, on that thread.
  void Run(std::function<void(std::shared_ptr<Exchange>)> handler);

  // Runs `task` soon on the network thread, or on the worker thread. Any thread.
  void Post(std::function<void()> task);
  void PostWork(std::function<void()> task);

  // Connections end after the reply they are at.
  void BeginDrain();
  // Waits until no request is being answered; false when that took longer.
  bool WaitIdle(double seconds);
  // Closes everything and joins the threads. Once; the destructor does it too.
  void Stop();

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace reprise
