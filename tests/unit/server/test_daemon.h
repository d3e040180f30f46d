// The real server in this process: a real tiny model, the real engine, real sockets on ports of their own.
#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "engine/engine.h"
#include "kernels/backend.h"
#include "models/model.h"
#include "server/server.h"
#include "tests/unit/models/tiny_family.h"

namespace reprise {

// Small, and with a vocabulary whose first tokens are single bytes; its context is 128.
inline constexpr char kTinyModel[] = "tests/data/models/smollm2";

inline ServerOptions TestOptions() {
  ServerOptions options;
  options.port = 0;
  options.grpc_port = 0;
  options.served_model_name = "tiny";
  return options;
}

inline EngineOptions TestEngineOptions() {
  EngineOptions options;
  options.kv_cache_bytes = std::uint64_t{64} << 20;
  return options;
}

struct TestDaemon {
  std::unique_ptr<Server> server;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Model> model;
  std::unique_ptr<RecycleModule> recycle;  // nullptr: none
  std::unique_ptr<Model> draft;            // nullptr: none
  std::unique_ptr<Engine> engine;

  explicit TestDaemon(const ServerOptions& options = TestOptions(),
                      const EngineOptions& engine_options = TestEngineOptions(), bool ready = true) {
    auto started = Server::Start(options);
    INFO(started.status().ToString());
    REQUIRE(started.ok());
    server = std::move(started).value();
    if (ready) Load(engine_options);
  }

  // `whole_family`: with a recycle module that guesses the last token again, and with the model as its own
  // draft, so that greedy drafts always stand.
  void Load(const EngineOptions& engine_options = TestEngineOptions(), bool whole_family = false) {
    backend =
        AvailableCpuIsas().empty() ? MakeReferenceBackend() : std::move(MakeCpuBackend({1, ""})).value();
    model = std::move(Model::Load(kTinyModel, *backend)).value();
    EngineModels models(model->decoder());
    if (whole_family) {
      recycle = MakeModule(kTinyModel, model->decoder(), *backend, {.kind = ModuleKind::kCopy});
      models.recycle = recycle.get();
      draft = std::move(Model::Load(kTinyModel, *backend)).value();
      models.draft = &draft->decoder();
    }
    engine = std::move(Engine::Create(*backend, models, engine_options, server->observer())).value();
    server->Serve(model.get(), engine.get());
  }

  ~TestDaemon() { server->Stop(); }

  int port() const { return server->http_port(); }
  std::string grpc_target() const { return server->grpc_address(); }
};

// Waits for what another thread is about to do; false when it does not come.
inline bool Eventually(const std::function<bool()>& condition, double seconds = 20) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace reprise
