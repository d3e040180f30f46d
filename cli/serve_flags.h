// The flags of `reprise serve`, apart from the command itself so that a test can hold configs/serve.yaml
// equal to them.
#pragma once

#include <string>

#include "cli/flags.h"
#include "cli/session.h"
#include "server/options.h"

namespace reprise {

struct ServeFlags {
  ModelFlags model;
  EngineFlags engine;
  ServerOptions server;
  int max_queued_requests = 1024;
  int block_size = 16;
  bool prefix_cache = true;
  std::string decoding = "auto";
  std::string allowed_origins;
  std::string log_format = "text";
  double drain_timeout_s = 30;
  bool exit_on_engine_failure = false;
  std::uint64_t max_body = std::uint64_t{32} << 20;

  ServeFlags() { engine.kv_cache_memory = std::uint64_t{2} << 30; }

  void Declare(Flags* flags);
  // INVALID_ARGUMENT for combinations that cannot work.
  Result<EngineOptions> EngineSettings() const;
  ServerOptions ServerSettings() const;
};

}  // namespace reprise
