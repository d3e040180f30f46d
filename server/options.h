// Everything the server can be told: what `reprise serve` sets from flags, environment and configuration.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/request.h"

namespace reprise {

struct HttpLimits {
  std::size_t max_header_bytes = 16 * 1024;
  std::size_t max_body_bytes = std::size_t{32} << 20;  // also the largest gRPC message
  int max_connections = 4096;
  // Seconds. A request's header must be complete that long after its first byte, and so must the handshake
  // that opens a connection over TLS or gRPC; a request's body that long after the header; a connection may
  // idle that long between requests; a client may leave us unable to write that long.
  double header_timeout_s = 15;
  double body_timeout_s = 120;
  double idle_timeout_s = 120;
  double write_timeout_s = 120;
};

// Files in PEM. All empty: no TLS.
struct TlsOptions {
  std::string cert;       // the server's certificate, then those between it and a root
  std::string key;        // of that certificate; RSA or EC, without a passphrase
  std::string client_ca;  // roots: only clients with a certificate under one of them get in; empty: all do
};

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 8000;        // 0: a free one
  std::string grpc_host;  // empty: `host`
  int grpc_port = 50051;  // 0: a free one; -1: no gRPC
  HttpLimits limits;
  TlsOptions tls;  // for HTTP and gRPC alike

  // What clients call the model; empty: the model's own name.
  std::string served_model_name;
  DecodingMethod default_decoding = DecodingMethod::kAuto;
  // The engine's bound on waiting requests: a call with more prompts x n can never be taken.
  int max_queued_requests = 1024;

  std::string api_key_file;                  // one key a line; empty: no keys needed
  bool metrics_open = false;                 // /metrics needs no key
  std::vector<std::string> allowed_origins;  // for browsers (CORS); "*" is any

  // Work pending and no step finished for that long: /health turns red.
  double stall_seconds = 10;
  // What Retry-After and the gRPC retry metadata say.
  int retry_after_seconds = 1;
};

}  // namespace reprise
