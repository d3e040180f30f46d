#include "server/http/generate_handler.h"

#include <ctime>
#include <deque>
#include <iterator>
#include <utility>
#include <vector>

#include "server/http/error_response.h"
#include "server/http/openai_request.h"

namespace reprise {
namespace {

// Bodies up to this size are parsed and tokenised on the network thread: a fraction of a millisecond.
constexpr std::size_t kInlineBodyBytes = 16 * 1024;
// About what is formatted for one stream before the others get their turn.
constexpr std::size_t kMaxWriteBytes = 128 * 1024;

// Calls `task` with the request's body: at once, or on the worker.
void WithBody(HttpServer* server, const std::shared_ptr<Exchange>& exchange,
              std::function<void(const std::string& body)> task) {
  std::string body = std::move(exchange->mutable_request().body);
  if (body.size() <= kInlineBodyBytes) return task(body);
  server->PostWork([body = std::move(body), task = std::move(task)] { task(body); });
}

// An admitted call, or why not.
struct Admission {
  Result<std::shared_ptr<GenerationCall>> call;
  ReplyOptions options;
  TokenFormat tokens;
};

template <typename Parsed, typename Submit>
Admission Admit(Result<Parsed> parsed, Service* service, Submit submit) {
  if (!parsed.ok()) return {parsed.status(), {}, {}};
  const GenerationFields& fields = parsed->request.fields;
  TokenFormat tokens{nullptr, fields.logprobs.has_value(), fields.return_token_ids};
  Result<std::shared_ptr<GenerationCall>> call = submit(parsed->request);
  if (call.ok()) tokens.tokenizer = service->tokenizer();
  return {std::move(call), parsed->reply, tokens};
}

// Answers one admitted call. Owned by the exchange's callbacks; network thread.
class Replier : public std::enable_shared_from_this<Replier> {
 public:
  Replier(ReplyKind kind, Service* service, HttpServer* server, std::shared_ptr<Exchange> exchange,
          Admission admission)
      : service_(*service),
        server_(*server),
        exchange_(std::move(exchange)),
        call_(std::move(admission.call).value()),
        identity_{kind, exchange_->request_id(), service->model_name(), std::time(nullptr)},
        tokens_(admission.tokens),
        stream_(admission.options.stream),
        events_(identity_, tokens_, admission.options) {}

  void Start() {
    exchange_->OnClosed([self = shared_from_this()] { self->OnClientGone(); });
    if (stream_) {
      HttpResponse head;
      head.content_type = "text/event-stream; charset=utf-8";
      head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
      exchange_->BeginStream(std::move(head));
      exchange_->OnWritable([self = shared_from_this()] { self->WriteEvents(); });
    } else {
      choices_.resize(static_cast<std::size_t>(call_->num_choices()));
    }
    // The listener runs on the engine's thread and must not be what keeps the call alive.
    call_->Listen([weak = weak_from_this(), server = &server_] {
      server->Post([weak] {
        if (const auto self = weak.lock()) self->Advance();
      });
    });
  }

 private:
  void Advance() {
    if (done_) return;
    call_->Poll();
    if (stream_) {
      WriteEvents();
    } else {
      Collect();
    }
  }

  // What has come meanwhile, in one write of bounded size. While the last one is still under way text waits
  // in the call, and later pieces join it.
  void WriteEvents() {
    if (done_ || !exchange_->writable()) return;
    if (queue_.empty()) {
      for (ChoiceDelta& delta : call_->TakeDeltas()) queue_.push_back(std::move(delta));
    }
    std::string events;
    const Usage usage = call_->usage();
    for (; !queue_.empty() && events.size() < kMaxWriteBytes; queue_.pop_front()) {
      events_.AppendDelta(queue_.front(), usage, &events);
    }
    const bool ended = queue_.empty() && call_->finished() && !call_->HasDeltas();
    if (ended && call_->status().ok()) events_.AppendEnd(usage, call_->metrics(), &events);
    if (ended && !call_->status().ok()) EventFormatter::AppendError(call_->status(), &events);
    exchange_->Write(events);
    if (!ended) return;
    done_ = true;
    exchange_->EndStream();
  }

  void Collect() {
    for (ChoiceDelta& delta : call_->TakeDeltas()) {
      ChoiceDelta& choice = choices_[static_cast<std::size_t>(delta.index)];
      std::string text = std::move(choice.text) + delta.text;
      std::vector<TokenDetail> tokens = std::move(choice.tokens);
      std::move(delta.tokens.begin(), delta.tokens.end(), std::back_inserter(tokens));
      choice = std::move(delta);
      choice.text = std::move(text);
      choice.tokens = std::move(tokens);
    }
    if (!call_->finished()) return;
    done_ = true;
    if (!call_->status().ok()) {
      return exchange_->Reply(ErrorResponse(call_->status(), service_.options().retry_after_seconds));
    }
    HttpResponse response;
    response.body = FormatReply(identity_, tokens_, choices_, call_->usage(), call_->metrics());
    exchange_->Reply(std::move(response));
  }

  void OnClientGone() {
    if (!std::exchange(done_, true)) service_.metrics().CountClientDisconnect();
    call_->Cancel();
  }

  Service& service_;
  HttpServer& server_;
  const std::shared_ptr<Exchange> exchange_;
  const std::shared_ptr<GenerationCall> call_;
  const ReplyIdentity identity_;
  const TokenFormat tokens_;
  const bool stream_;
  EventFormatter events_;
  std::deque<ChoiceDelta> queue_;     // of a stream: taken from the call, not yet written
  std::vector<ChoiceDelta> choices_;  // what a reply that is not streamed has so far
  bool done_ = false;
};

void Answer(ReplyKind kind, Service* service, HttpServer* server, std::shared_ptr<Exchange> exchange,
            Admission admission) {
  if (!admission.call.ok()) {
    return exchange->Reply(ErrorResponse(admission.call.status(), service->options().retry_after_seconds));
  }
  if (exchange->closed()) {  // gone while it was being admitted; the call ends with `admission`
    return service->metrics().CountClientDisconnect();
  }
  std::make_shared<Replier>(kind, service, server, std::move(exchange), std::move(admission))->Start();
}

}  // namespace

void HandleGenerate(ReplyKind kind, Service* service, HttpServer* server,
                    std::shared_ptr<Exchange> exchange) {
  WithBody(server, exchange, [=](const std::string& body) {
    auto admission = std::make_shared<Admission>(
        kind == ReplyKind::kChat
            ? Admit(ParseChat(body), service, [&](const ChatRequest& r) { return service->Chat(r); })
            : Admit(ParseCompletion(body), service,
                    [&](const CompletionRequest& r) { return service->Complete(r); }));
    server->Post([=] { Answer(kind, service, server, exchange, std::move(*admission)); });
  });
}

void RunBodyWork(HttpServer* server, std::shared_ptr<Exchange> exchange,
                 std::function<HttpResponse(const std::string& body)> work) {
  WithBody(server, exchange, [=, work = std::move(work)](const std::string& body) {
    server->Post([exchange, response = work(body)] { exchange->Reply(response); });
  });
}

}  // namespace reprise
