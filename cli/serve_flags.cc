#include "cli/serve_flags.h"

#include "engine/decoding/methods.h"

namespace reprise {
namespace {

std::vector<std::string> SplitList(const std::string& text) {
  std::vector<std::string> items;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    std::string item = text.substr(begin, end - begin);
    item.erase(0, item.find_first_not_of(' '));
    item.erase(item.find_last_not_of(' ') + 1);
    if (!item.empty()) items.push_back(std::move(item));
    begin = end + 1;
  }
  return items;
}

}  // namespace

void ServeFlags::Declare(Flags* flags) {
  model.Declare(flags);
  flags->Text("served-model-name", "NAME",
              "What clients call the model; without it, the file's or directory's name",
              &server.served_model_name);
  flags->Text("host", "HOST", "Address to listen on", &server.host);
  flags->Integer("port", "HTTP port; 0 picks a free one", &server.port, 0, 65535);
  flags->Integer("grpc-port", "gRPC port; 0 picks a free one, -1 turns gRPC off", &server.grpc_port, -1,
                 65535);
  engine.Declare(flags);
  flags->Integer("block-size", "Tokens in one block of the KV cache; a multiple of 16", &block_size, 16, 256);
  flags->Switch("prefix-cache",
                "Reuse keys and values of prompts that begin alike; --no-prefix-cache turns it off",
                &prefix_cache);
  flags->Integer("max-queued-requests", "Requests that may wait; more are refused with 429",
                 &max_queued_requests, 1, 1 << 20);
  DeclareDecoding(flags, "Decoding method of requests that name none", &decoding);
  flags->Text("api-key-file", "FILE", "Keys that clients must send, one a line; without it none is needed",
              &server.api_key_file);
  flags->Text(
      "tls-cert", "FILE",
      "Certificate chain in PEM, the server's own first: HTTP and gRPC speak TLS only; needs --tls-key",
      &server.tls.cert);
  flags->Text("tls-key", "FILE", "The certificate's private key in PEM, without a passphrase",
              &server.tls.key);
  flags->Text("tls-client-ca", "FILE",
              "Root certificates in PEM: only clients with a certificate under one of them get in",
              &server.tls.client_ca);
  flags->Switch("metrics-open", "Let /metrics be read without a key", &server.metrics_open);
  flags->Text("allowed-origins", "LIST",
              "Web pages that may call from a browser (CORS), separated by commas; * is any",
              &allowed_origins);
  flags->Bytes("max-body-size", "Largest request body", &max_body);
  flags->Integer("max-connections", "Open HTTP connections", &server.limits.max_connections, 1, 1 << 20);
  flags->Duration("stall-timeout", "Work pending and no step finished for that long turns /health red",
                  &server.stall_seconds);
  flags->Duration("drain-timeout", "After SIGTERM, how long running requests may take to finish",
                  &drain_timeout_s);
  flags->Switch("exit-on-engine-failure",
                "Exit with code 1 when the device is lost, instead of serving a red /health",
                &exit_on_engine_failure);
  flags->Choice("log-format", "Form of the log on standard error", &log_format, {"text", "json"});
}

Result<EngineOptions> ServeFlags::EngineSettings() const {
  ASSIGN_OR_RETURN(EngineOptions options, engine.Options());
  if (block_size % 16 != 0) {
    return InvalidArgument("--block-size must be a multiple of 16, not " + std::to_string(block_size));
  }
  options.block_size = block_size;
  options.max_queued_requests = max_queued_requests;
  options.enable_prefix_cache = prefix_cache;
  return options;
}

ServerOptions ServeFlags::ServerSettings() const {
  ServerOptions options = server;
  options.limits.max_body_bytes = static_cast<std::size_t>(max_body);
  options.max_queued_requests = max_queued_requests;
  options.default_decoding = *FindDecodingMethod(decoding);
  options.allowed_origins = SplitList(allowed_origins);
  return options;
}

}  // namespace reprise
