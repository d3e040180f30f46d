#include "server/grpc/reflection.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <set>
#include <utility>

#include "server/grpc/call_context.h"

namespace reprise {
namespace {

using Request = ReflectionService::Request;
using Response = ReflectionService::Response;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

void AddFile(const FileDescriptor& file, std::set<const FileDescriptor*>* seen, Response* out) {
  if (!seen->insert(&file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  out->mutable_file_descriptor_response()->add_file_descriptor_proto(proto.SerializeAsString());
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), seen, out);
}

void AnswerFile(const FileDescriptor* file, const std::string& wanted, Response* out) {
  if (file == nullptr) {
    out->mutable_error_response()->set_error_code(grpc::StatusCode::NOT_FOUND);
    out->mutable_error_response()->set_error_message("'" + wanted + "' is not known here");
    return;
  }
  std::set<const FileDescriptor*> seen;
  AddFile(*file, &seen, out);
}

void Answer(const Request& request, const std::vector<std::string>& services, Response* out) {
  out->Clear();
  out->set_valid_host(request.host());
  *out->mutable_original_request() = request;
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      return AnswerFile(pool.FindFileByName(request.file_by_filename()), request.file_by_filename(), out);
    case Request::kFileContainingSymbol:
      return AnswerFile(pool.FindFileContainingSymbol(request.file_containing_symbol()),
                        request.file_containing_symbol(), out);
    case Request::kListServices:
      for (const std::string& name : services) {
        out->mutable_list_services_response()->add_service()->set_name(name);
      }
      return;
    case Request::kFileContainingExtension:
    case Request::kAllExtensionNumbersOfType:
    case Request::MESSAGE_REQUEST_NOT_SET:
      break;
  }
  out->mutable_error_response()->set_error_code(grpc::StatusCode::UNIMPLEMENTED);
  out->mutable_error_response()->set_error_message("there are no extensions here, only files and services");
}

// One answer a request, until the client has no more.
class AnswerStream final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit AnswerStream(const std::vector<std::string>& services) : services_(services) {
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    Answer(request_, services_, &response_);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  const std::vector<std::string>& services_;
  Request request_;
  Response response_;
};

class Refusal final : public grpc::ServerBidiReactor<Request, Response> {
 public:
  explicit Refusal(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

auto ReflectionService::ServerReflectionInfo(grpc::CallbackServerContext* context)
    -> grpc::ServerBidiReactor<Request, Response>* {
  CallContext call("ServerReflectionInfo", context, /*retry_after_seconds=*/0);
  if (Status status = call.Open(keys_); !status.ok()) return new Refusal(call.Close(status));
  return new AnswerStream(services_);
}

}  // namespace reprise
