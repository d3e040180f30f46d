// How a generation call is answered over gRPC: as a stream of chunks, or at once.
//
// gRPC's threads only report; everything else happens on the executor's thread, so that nothing needs a lock.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <functional>
#include <memory>
#include <string>

#include "reprise/v1/generation.pb.h"
#include "server/generation_call.h"
#include "server/grpc/call_context.h"
#include "server/grpc/convert.h"
#include "server/grpc/grpc_server.h"
#include "server/service.h"

namespace reprise {

// What both kinds need of an admitted call.
struct GrpcCall {
  CallContext context;
  Service* service = nullptr;
  GrpcServer::Executor executor;
  std::shared_ptr<GenerationCall> call;
  ProtoTokenFormat format;
};

// The reactors delete themselves when gRPC is done with them.
grpc::ServerWriteReactor<v1::GenerateChunk>* StreamCall(GrpcCall call);
grpc::ServerUnaryReactor* AnswerCall(GrpcCall call, v1::CompleteResponse* response);

grpc::ServerWriteReactor<v1::GenerateChunk>* FailStream(grpc::Status status);

}  // namespace reprise
