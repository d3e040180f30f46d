#include "server/grpc/grpc_server.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "engine/engine.h"
#include "reprise/v1/generation.grpc.pb.h"
#include "server/grpc/call_context.h"
#include "server/grpc/call_reactors.h"
#include "server/grpc/reflection.h"
#include "server/grpc/tls_credentials.h"
#include "server/version.h"

namespace reprise {
namespace {

constexpr char kServiceName[] = "reprise.v1.Generation";

// gRPC's own complaints, most of them about what a client did, in the form of our log.
void LogFromGrpc(gpr_log_func_args* line) {
  Log(line->severity == GPR_LOG_SEVERITY_ERROR ? LogLevel::kWarning : LogLevel::kDebug, "grpc",
      {{"reason", line->message}, {"source", line->file}});
}

// The methods, each a conversion around one call of the service.
class GenerationService final : public v1::Generation::CallbackService {
 public:
  using Context = grpc::CallbackServerContext;
  using ChunkReactor = grpc::ServerWriteReactor<v1::GenerateChunk>;

  GenerationService(reprise::Service* service, const ApiKeys* keys, GrpcServer::Executor executor)
      : service_(*service), keys_(*keys), executor_(std::move(executor)) {}

  ChunkReactor* Generate(Context* context, const v1::GenerateRequest* request) override {
    return Stream(Open("Generate", context), *request,
                  [this](const CompletionRequest& r) { return service_.Complete(r); });
  }

  ChunkReactor* Chat(Context* context, const v1::ChatRequest* request) override {
    return Stream(Open("Chat", context), *request, [this](const ChatRequest& r) { return service_.Chat(r); });
  }

  grpc::ServerUnaryReactor* Complete(Context* context, const v1::GenerateRequest* request,
                                     v1::CompleteResponse* response) override {
    CallContext call_context = Open("Complete", context);
    Result<GrpcCall> call =
        Admit(&call_context, *request, [this](const CompletionRequest& r) { return service_.Complete(r); });
    if (call.ok()) return AnswerCall(std::move(call).value(), response);
    return Finish(context, call_context.Close(call.status()));
  }

  grpc::ServerUnaryReactor* Tokenize(Context* context, const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) override {
    return Answer("Tokenize", context, [&]() -> Status {
      ASSIGN_OR_RETURN(const TokenizeRequest parsed, FromProto(*request));
      ASSIGN_OR_RETURN(const TokenizeReply reply, service_.Tokenize(parsed));
      response->set_count(static_cast<int>(reply.tokens.size()));
      response->set_max_model_len(reply.max_model_len);
      response->mutable_tokens()->Assign(reply.tokens.begin(), reply.tokens.end());
      for (const std::string& text : reply.token_strs) response->add_token_strs(text);
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* Detokenize(Context* context, const v1::DetokenizeRequest* request,
                                       v1::DetokenizeResponse* response) override {
    return Answer("Detokenize", context, [&]() -> Status {
      ASSIGN_OR_RETURN(const DetokenizeRequest parsed, FromProto(*request));
      ASSIGN_OR_RETURN(*response->mutable_prompt(), service_.Detokenize(parsed));
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ListModels(Context* context, const v1::ListModelsRequest*,
                                       v1::ListModelsResponse* response) override {
    return Answer("ListModels", context, [&]() -> Status {
      ASSIGN_OR_RETURN(const ModelCard card, service_.Card());
      v1::ModelCard* model = response->add_models();
      model->set_id(card.id);
      model->set_created(card.created);
      model->set_owned_by("reprise");
      model->set_max_model_len(card.max_model_len);
      for (const std::string& method : card.decoding_methods) model->add_decoding_methods(method);
      for (const std::string& proposer : card.proposers) model->add_proposers(proposer);
      return OkStatus();
    });
  }

  grpc::ServerUnaryReactor* ServerInfo(Context* context, const v1::ServerInfoRequest*,
                                       v1::ServerInfoResponse* response) override {
    return Answer("ServerInfo", context, [&]() -> Status {
      response->set_version(kServerVersion);
      response->set_state(std::string(PhaseName(service_.lifecycle().phase())));
      const Result<ModelCard> card = service_.Card();
      if (!card.ok()) return OkStatus();  // loading: the state says so
      const EngineInfo& info = service_.engine()->info();
      response->set_model(card->id);
      for (const std::string& method : card->decoding_methods) response->add_decoding_methods(method);
      for (const std::string& proposer : card->proposers) response->add_proposers(proposer);
      response->set_backend(info.backend);
      response->set_max_model_len(info.max_model_len);
      response->set_max_num_seqs(info.max_num_seqs);
      response->set_block_size(info.block_size);
      response->set_num_blocks(info.num_blocks);
      response->set_kv_cache_bytes(info.kv_cache_bytes);
      return OkStatus();
    });
  }

 private:
  CallContext Open(const char* method, Context* context) {
    return CallContext(method, context, service_.options().retry_after_seconds);
  }

  template <typename Proto, typename Submit>
  Result<GrpcCall> Admit(CallContext* context, const Proto& proto, Submit submit) {
    RETURN_IF_ERROR(context->Open(keys_));
    ASSIGN_OR_RETURN(const auto request, FromProto(proto));
    ASSIGN_OR_RETURN(std::shared_ptr<GenerationCall> call, submit(request));
    return GrpcCall{.context = *context,
                    .service = &service_,
                    .executor = executor_,
                    .call = std::move(call),
                    .format = {.tokenizer = service_.tokenizer(),
                               .logprobs = request.fields.logprobs.has_value(),
                               .token_ids = request.fields.return_token_ids}};
  }

  template <typename Proto, typename Submit>
  ChunkReactor* Stream(CallContext context, const Proto& proto, Submit submit) {
    Result<GrpcCall> call = Admit(&context, proto, submit);
    return call.ok() ? StreamCall(std::move(call).value()) : FailStream(context.Close(call.status()));
  }

  // For methods that do not wait for the engine.
  template <typename Work>
  grpc::ServerUnaryReactor* Answer(const char* method, Context* context, Work work) {
    CallContext call_context = Open(method, context);
    Status status = call_context.Open(keys_);
    if (status.ok()) status = work();
    return Finish(context, call_context.Close(status));
  }

  grpc::ServerUnaryReactor* Finish(Context* context, const grpc::Status& status) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  reprise::Service& service_;  // the generated class has a Service too
  const ApiKeys& keys_;
  const GrpcServer::Executor executor_;
};

}  // namespace

class GrpcServer::Impl {
 public:
  Impl(Service* service, const ApiKeys* keys, const TlsFiles* tls, Executor executor)
      : generation_(service, keys, std::move(executor)),
        reflection_(keys,
                    {kServiceName, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}),
        credentials_(tls->current() == nullptr ? grpc::InsecureServerCredentials()
                                               : MakeTlsCredentials(tls)) {}

  Status Start(const ServerOptions& options) {
    static std::once_flag process_wide;
    std::call_once(process_wide, [] {
      gpr_set_log_function(&LogFromGrpc);
      grpc::EnableDefaultHealthCheckService(true);
    });
    const std::string host = options.grpc_host.empty() ? options.host : options.grpc_host;
    const std::string wanted = host + ":" + std::to_string(options.grpc_port);
    grpc::ServerBuilder builder;
    // Without this two daemons would share a port, and each get some of the calls.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options.limits.max_body_bytes));
    builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                               static_cast<int>(options.limits.header_timeout_s * 1000));
    builder.AddListeningPort(wanted, credentials_, &port_);
    builder.RegisterService(&generation_);
    builder.RegisterService(&reflection_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      server_.reset();
      return Unavailable("cannot listen on " + wanted + " (gRPC): the address is in use or not ours");
    }
    address_ = host + ":" + std::to_string(port_);
    SetServing(false);
    return OkStatus();
  }

  void SetServing(bool serving) {
    server_->GetHealthCheckService()->SetServingStatus(serving);
    server_->GetHealthCheckService()->SetServingStatus(kServiceName, serving);
  }

  void Stop(double seconds) {
    if (server_ == nullptr) return;
    server_->Shutdown(std::chrono::system_clock::now() +
                      std::chrono::duration_cast<std::chrono::system_clock::duration>(
                          std::chrono::duration<double>(seconds)));
    server_->Wait();
    server_.reset();
  }

  ~Impl() { Stop(0); }

  const std::string& address() const { return address_; }
  int port() const { return port_; }

 private:
  GenerationService generation_;
  ReflectionService reflection_;
  const std::shared_ptr<grpc::ServerCredentials> credentials_;  // the server does not keep them
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  int port_ = 0;
};

Result<std::unique_ptr<GrpcServer>> GrpcServer::Start(Service* service, const ApiKeys* keys,
                                                      const TlsFiles* tls, Executor executor) {
  auto impl = std::make_unique<Impl>(service, keys, tls, std::move(executor));
  RETURN_IF_ERROR(impl->Start(service->options()));
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcServer::~GrpcServer() = default;

const std::string& GrpcServer::address() const {
  return impl_->address();
}
int GrpcServer::port() const {
  return impl_->port();
}
void GrpcServer::SetServing(bool serving) {
  impl_->SetServing(serving);
}
void GrpcServer::Stop(double seconds) {
  impl_->Stop(seconds);
}

}  // namespace reprise
