// reprise serve: the daemon. The parts in order, torn down in reverse.
#include <cstdio>
#include <memory>

#include "base/log.h"
#include "cli/command.h"
#include "cli/logging.h"
#include "cli/serve_flags.h"
#include "cli/signals.h"
#include "cli/yaml_config.h"
#include "engine/decoding/methods.h"
#include "engine/engine.h"
#include "server/server.h"

namespace reprise {
namespace {

void LogReady(const Server& server, const LoadedModel& loaded, const EngineInfo& info, const TlsOptions& tls,
              double seconds) {
  LogInfo("ready", {{"http", (tls.cert.empty() ? "http://" : "https://") + server.http_address()},
                    {"grpc", server.grpc_address().empty() ? std::string("off") : server.grpc_address()},
                    {"tls", tls.cert.empty()        ? "off"
                            : tls.client_ca.empty() ? "on"
                                                    : "on, clients need a certificate"},
                    {"model", loaded.model().name()},
                    {"decoding", ListMethods(info.proposers)},
                    {"backend", info.backend},
                    {"threads", loaded.backend->num_threads()},
                    {"max_model_len", info.max_model_len},
                    {"kv_blocks", info.num_blocks},
                    {"load_seconds", seconds}});
}

// The listening sockets come first, so that probes are answered and a port in use is known before a long
// load.
Status Serve(const ServeFlags& flags, SignalWatcher& signals) {
  const TimePoint start = Clock::now();
  ASSIGN_OR_RETURN(EngineOptions engine_options, flags.EngineSettings());
  ASSIGN_OR_RETURN(const std::unique_ptr<Server> server, Server::Start(flags.ServerSettings()));
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(flags.model, flags.engine.max_model_len));
  if (flags.exit_on_engine_failure) engine_options.on_failure = [&signals] { signals.EndServing(); };
  ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                   Engine::Create(*loaded.backend, loaded.models(), engine_options, server->observer()));
  RETURN_IF_ERROR(CheckDecoding(flags.decoding, engine->info()));
  signals.OnReload([&server] {
    const Status status = server->Reload();
    if (status.ok()) {
      LogInfo("API keys and TLS files re-read");
    } else {
      LogError("not all re-read: what is bad stays as it was", {{"reason", status.message()}});
    }
  });
  signals.BeginServing();
  server->Serve(&loaded.model(), engine.get());
  LogReady(*server, loaded, engine->info(), flags.server.tls,
           std::chrono::duration<double>(Clock::now() - start).count());

  signals.WaitForTermination();
  LogInfo("draining", {{"timeout_seconds", flags.drain_timeout_s}});
  const bool clean = server->Drain(flags.drain_timeout_s);
  signals.OnReload(nullptr);
  server->Stop();
  LogInfo("stopped", {{"aborted_requests", clean ? "no" : "yes"}});
  const EngineState state = engine->state();
  if (flags.exit_on_engine_failure && state.failed) return Internal("the engine failed: " + state.failure);
  return OkStatus();
}

}  // namespace

int RunServe(const std::vector<std::string>& arguments) {
  ServeFlags values;
  Flags flags("reprise serve", "Serve a model over HTTP (OpenAI's API) and gRPC");
  values.Declare(&flags);
  flags.EnableConfig(ReadYamlConfig);
  int exit_code = kExitOk;
  if (!ParseFlags(&flags, arguments, &exit_code)) return exit_code;
  SignalWatcher signals;
  InstallLogging(values.log_format == "json");
  const Status status = Serve(values, signals);
  if (status.ok()) return kExitOk;
  LogError("cannot serve", {{"reason", status.message()}});
  return kExitFailed;
}

}  // namespace reprise
