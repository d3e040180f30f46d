// Server reflection that needs the API key as every other method does; gRPC's own plugin cannot ask for one.
#pragma once

#include <string>
#include <vector>

#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "server/api_keys.h"

namespace reprise {

class ReflectionService final : public grpc::reflection::v1alpha::ServerReflection::CallbackService {
 public:
  using Request = grpc::reflection::v1alpha::ServerReflectionRequest;
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;

  // `services` are the names to list. `keys` outlives the service.
  ReflectionService(const ApiKeys* keys, std::vector<std::string> services)
      : keys_(*keys), services_(std::move(services)) {}

  grpc::ServerBidiReactor<Request, Response>* ServerReflectionInfo(
      grpc::CallbackServerContext* context) override;

 private:
  const ApiKeys& keys_;
  const std::vector<std::string> services_;
};

}  // namespace reprise
