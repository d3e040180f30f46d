#include "server/grpc/call_reactors.h"

#include <ctime>
#include <deque>
#include <utility>

namespace reprise {
namespace {

// A stream whose admission failed.
class FailedStream final : public grpc::ServerWriteReactor<v1::GenerateChunk> {
 public:
  explicit FailedStream(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

// The part that streams and single answers share. Keeps itself alive until OnDone; methods below run on the
// executor's thread.
template <typename Reactor>
class CallReactor : public Reactor, public std::enable_shared_from_this<CallReactor<Reactor>> {
 public:
  explicit CallReactor(GrpcCall call) : call_(std::move(call)) {}

  void Start() {
    self_ = this->shared_from_this();
    call_.call->Listen([weak = this->weak_from_this(), executor = call_.executor] {
      executor([weak] {
        if (const auto self = weak.lock()) self->Advance();
      });
    });
  }

  // gRPC's threads.
  void OnCancel() override {
    Post([](CallReactor* self) { self->HandleCancel(); });
  }
  void OnDone() override {
    Post([](CallReactor* self) { self->self_.reset(); });
  }

 protected:
  void Post(void (*task)(CallReactor*)) {
    call_.executor([self = this->shared_from_this(), task] { task(self.get()); });
  }

  virtual void Advance() = 0;

  GenerationCall& generation() { return *call_.call; }
  const GrpcCall& call() const { return call_; }
  bool finished() const { return finished_; }
  // The call ends with this; nothing may be sent any more.
  grpc::Status Close(const Status& status) {
    finished_ = true;
    return call_.context.Close(status);
  }

 private:
  void HandleCancel() {
    if (finished_) return;
    call_.service->metrics().CountClientDisconnect();
    generation().Cancel();
    this->Finish(Close(Status(StatusCode::kCancelled, "cancelled by the client, or past its deadline")));
  }

  GrpcCall call_;
  std::shared_ptr<CallReactor> self_;
  bool finished_ = false;
};

class ChunkStream final : public CallReactor<grpc::ServerWriteReactor<v1::GenerateChunk>> {
 public:
  using CallReactor::CallReactor;

  void OnWriteDone(bool ok) override {
    // A failed write is followed by OnCancel.
    if (!ok) return;
    Post([](CallReactor* self) {
      auto* stream = static_cast<ChunkStream*>(self);
      stream->writing_ = false;
      stream->WriteNext();
    });
  }

 private:
  void Advance() override {
    if (finished()) return;
    generation().Poll();
    WriteNext();
  }

  void WriteNext() {
    if (finished() || writing_) return;
    if (queue_.empty()) {
      for (ChoiceDelta& delta : generation().TakeDeltas()) queue_.push_back(std::move(delta));
    }
    chunk_.Clear();
    chunk_.set_id(call().context.request_id());
    if (!queue_.empty()) {
      ToProto(queue_.front(), call().format, &chunk_);
      queue_.pop_front();
      writing_ = true;
      StartWrite(&chunk_);
    } else if (generation().finished()) {
      const grpc::Status status = Close(generation().status());
      if (!status.ok()) return Finish(status);
      ToProto(generation().usage(), chunk_.mutable_usage());
      ToProto(generation().metrics(), chunk_.mutable_metrics());
      StartWriteAndFinish(&chunk_, grpc::WriteOptions(), status);
    }
  }

  v1::GenerateChunk chunk_;  // being written
  bool writing_ = false;
  std::deque<ChoiceDelta> queue_;
};

class SingleAnswer final : public CallReactor<grpc::ServerUnaryReactor> {
 public:
  SingleAnswer(GrpcCall call, v1::CompleteResponse* response)
      : CallReactor(std::move(call)), response_(*response) {
    response_.set_id(this->call().context.request_id());
    response_.set_model(this->call().service->model_name());
    response_.set_created(std::time(nullptr));
    for (int i = 0; i < generation().num_choices(); ++i) response_.add_choices()->set_index(i);
  }

 private:
  void Advance() override {
    if (finished()) return;
    generation().Poll();
    for (const ChoiceDelta& delta : generation().TakeDeltas()) {
      MergeIntoProto(delta, call().format, response_.mutable_choices(delta.index));
    }
    if (!generation().finished()) return;
    ToProto(generation().usage(), response_.mutable_usage());
    ToProto(generation().metrics(), response_.mutable_metrics());
    Finish(Close(generation().status()));
  }

  v1::CompleteResponse& response_;  // gRPC's, until Finish
};

}  // namespace

grpc::ServerWriteReactor<v1::GenerateChunk>* StreamCall(GrpcCall call) {
  const auto reactor = std::make_shared<ChunkStream>(std::move(call));
  reactor->Start();
  return reactor.get();
}

grpc::ServerUnaryReactor* AnswerCall(GrpcCall call, v1::CompleteResponse* response) {
  const auto reactor = std::make_shared<SingleAnswer>(std::move(call), response);
  reactor->Start();
  return reactor.get();
}

grpc::ServerWriteReactor<v1::GenerateChunk>* FailStream(grpc::Status status) {
  return new FailedStream(std::move(status));
}

}  // namespace reprise
